package reactor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func appendAll(t *testing.T, st *store.Store, payloads ...store.Payload) {
	t.Helper()
	for _, p := range payloads {
		_, err := st.Append(t.Context(), shop, store.Any, p)
		require.NoError(t, err)
	}
}

func runner(t *testing.T, st *store.Store, r *reactor.Reactor) *cursor.Runner {
	t.Helper()
	w, err := r.CursorWorker()
	require.NoError(t, err)
	run, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	return run
}

// step handles what there is now.
func step(t *testing.T, run *cursor.Runner) error {
	t.Helper()
	_, err := run.Step(t.Context(), 0, 0)
	return err
}

func read(t *testing.T, st *store.Store, kind string) []store.Event {
	t.Helper()
	var events []store.Event
	for e, err := range st.Read(t.Context(), store.Region{Kinds: []string{kind}}, store.Beginning()) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

func revision(t *testing.T, st *store.Store) uint64 {
	t.Helper()
	v, ok, err := st.Side("checkpoint/r")
	require.NoError(t, err)
	require.True(t, ok)
	return v.Revision
}

func TestReactionsAndCheckpointAreOneCommit(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "desk"}, placed{"3", "lamp"})
	run := runner(t, st, reactor.New("r", reactor.On(reserve)))
	before := revision(t, st)
	require.NoError(t, step(t, run))

	require.Len(t, read(t, st, "stock.reserved"), 3)
	require.Equal(t, store.Position(3), run.Progress().Delivered)
	require.Equal(t, before+1, revision(t, st), "the checkpoint was written by the one commit that followed")
	next, err := st.Append(t.Context(), shop, store.Any, cancelled{})
	require.NoError(t, err)
	require.Equal(t, before+2, next.Sequence, "nothing else was committed")
}

func TestAReactionIsLinkedToTheEventItAnswers(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "desk"})
	require.NoError(t, step(t, runner(t, st, reactor.New("r", reactor.On(reserve)))))

	causes, effects := read(t, st, "order.placed"), read(t, st, "stock.reserved")
	require.Len(t, effects, 2)
	for i, e := range effects {
		require.Equal(t, causes[i].ID, e.Cause)
		require.Equal(t, causes[i].Correlation, e.Correlation)
		require.Equal(t, uint32(1), e.Depth)
	}
	require.Equal(t, store.At("stock:lamp", "shop"), effects[0].Coordinate)
	var body reserved
	require.NoError(t, effects[0].Decode(&body))
	require.Equal(t, reserved{Order: "1"}, body)
}

func TestSeveralKindsAreHandledInTheOrderOfTheLog(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", ""}, cancelled{"1"}, reserved{"x"}, placed{"2", ""}, cancelled{"2"})
	var seen []string
	r := reactor.New("r",
		reactor.On(func(_ context.Context, e reactor.Event[cancelled], _ *reactor.Reactions) error {
			seen = append(seen, "cancelled "+e.Body.Order)
			return nil
		}),
		reactor.On(func(_ context.Context, e reactor.Event[placed], _ *reactor.Reactions) error {
			seen = append(seen, "placed "+e.Body.Order)
			return nil
		}))
	require.NoError(t, step(t, runner(t, st, r)))
	require.Equal(t, []string{"placed 1", "cancelled 1", "placed 2", "cancelled 2"}, seen)
}

func TestReactionsOfAFailedEventAreDroppedAndThoseBeforeItKept(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "desk"}, placed{"3", "sofa"})
	down := true
	r := reactor.New("r", reactor.On(func(ctx context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		if err := reserve(ctx, e, out); err != nil {
			return err
		}
		if down && e.Body.Order == "2" {
			return reactor.Halt(errors.New("warehouse is down"))
		}
		return nil
	}))
	run := runner(t, st, r)
	err := step(t, run)
	require.Equal(t, store.Position(2), requireAs[*cursor.HandlerError](t, err).Event)
	directive, ok := supervision.DirectiveOf(err)
	require.True(t, ok, "the directive reaches the runner of the reactor")
	require.Equal(t, supervision.ActionHalt, directive.Action)
	require.Len(t, read(t, st, "stock.reserved"), 1)
	require.Equal(t, store.Position(1), run.Progress().Delivered)

	down = false
	require.NoError(t, step(t, run))
	require.Equal(t, []string{"1", "2", "3"}, orders(t, read(t, st, "stock.reserved")))
}

func orders(t *testing.T, events []store.Event) []string {
	t.Helper()
	var orders []string
	for _, e := range events {
		var body reserved
		require.NoError(t, e.Decode(&body))
		orders = append(orders, body.Order)
	}
	return orders
}

func TestABadReactionNamesItsEventAmongABatch(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "\x00"}, placed{"3", "sofa"})
	err := step(t, runner(t, st, reactor.New("r", reactor.On(reserve))))
	require.Equal(t, store.Position(2), requireAs[*cursor.HandlerError](t, err).Event)
	require.ErrorIs(t, err, reactor.ErrReaction)
	require.Equal(t, []string{"1"}, orders(t, read(t, st, "stock.reserved")))
}

func TestAPanicNamesItsEvent(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "desk"})
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], _ *reactor.Reactions) error {
		if e.Body.Order == "2" {
			panic("a bug")
		}
		return nil
	}))
	failed := requireAs[*cursor.HandlerError](t, step(t, runner(t, st, r)))
	require.True(t, failed.Panic)
	require.Equal(t, store.Position(2), failed.Event)
}

func TestAnUndecodableEventIsNeverSkipped(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, store.Raw{Type: "order.placed", Codec: "protobuf", Data: []byte{1}}, placed{"2", "desk"})
	run := runner(t, st, reactor.New("r", reactor.On(reserve)))
	for range 3 {
		failed := requireAs[*cursor.HandlerError](t, step(t, run))
		require.Equal(t, store.Position(1), failed.Event)
		require.ErrorAs(t, failed, new(*reactor.DecodeError))
		require.Empty(t, read(t, st, "stock.reserved"))
	}
}

func TestKindsWithoutARouteAreNotDecoded(t *testing.T) {
	st := openStore(t)
	appendAll(t, st,
		store.Raw{Type: "secret.kept", Codec: "cipher", Data: []byte{0xff}},
		placed{"1", "lamp"},
		store.Raw{Type: "order.placed.draft", Codec: "cipher", Data: []byte{0xff}})
	run := runner(t, st, reactor.New("r", reactor.On(reserve)))
	out, err := run.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, 1, out.Handled)
	require.Equal(t, []string{"1"}, orders(t, read(t, st, "stock.reserved")))
}

func TestALoopOfReactionsEndsAtTheLimitOfDepth(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, tick{})
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[tick], out *reactor.Reactions) error {
		out.Append(shop, tick{N: e.Body.N + 1})
		return nil
	}))
	r.MaxDepth = 3
	run := runner(t, st, r)
	var err error
	for range 10 {
		if err = step(t, run); err != nil {
			break
		}
	}
	deep := requireAs[*reactor.LoopError](t, err)
	ticks := read(t, st, "clock.tick")
	require.Len(t, ticks, 4, "the first tick and three answers")
	require.Equal(t, ticks[3].Position, deep.Position)
	require.Equal(t, ticks[0].ID, deep.Correlation)
	require.Equal(t, ticks[2].ID, deep.Cause)
}

func TestAnEffectKeyIsTheSameAfterARetryAndARestart(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	var keys []string
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], _ *reactor.Reactions) error {
		keys = append(keys, e.EffectKey())
		return errors.New("again")
	}))
	run := runner(t, st, r)
	require.Error(t, step(t, run))
	require.Error(t, step(t, run))
	require.Error(t, step(t, runner(t, st, r)))
	require.Len(t, keys, 3)
	require.Equal(t, "r/"+read(t, st, "order.placed")[0].ID.String(), keys[0])
	require.Equal(t, keys[0], keys[1])
	require.Equal(t, keys[0], keys[2])
}

func TestEffectKeysOutliveARename(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	var keys []string
	handle := reactor.On(func(_ context.Context, e reactor.Event[placed], _ *reactor.Reactions) error {
		keys = append(keys, e.EffectKey())
		return nil
	})
	require.NoError(t, step(t, runner(t, st, reactor.New("ship", handle))))
	renamed := reactor.New("deliver", handle)
	renamed.Formerly = []string{"ship"}
	run := runner(t, st, renamed)
	_, err := run.Apply(t.Context(), checkpoint.Rewind{}, checkpoint.Request{})
	require.NoError(t, err)
	require.NoError(t, step(t, run))
	require.Len(t, keys, 2)
	require.Equal(t, "ship/"+read(t, st, "order.placed")[0].ID.String(), keys[0])
	require.Equal(t, keys[0], keys[1], "the outside world sees a repetition as one")

	again := reactor.New("forward", handle)
	again.Formerly = []string{"ship", "deliver"}
	run = runner(t, st, again)
	_, err = run.Apply(t.Context(), checkpoint.Rewind{}, checkpoint.Request{})
	require.NoError(t, err)
	require.NoError(t, step(t, run))
	require.Equal(t, keys[0], keys[2])

	w, err := reactor.New("ship", handle).CursorWorker()
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrRenamed, "its effect keys would be those of the other")
	w.Volatile = true
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrRenamed, "without a checkpoint, too")
}

func TestAHandledEventIsNotHandledAgainByTheNextRunner(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	r := reactor.New("r", reactor.On(reserve))
	require.NoError(t, step(t, runner(t, st, r)))
	appendAll(t, st, placed{"2", "desk"})
	require.NoError(t, step(t, runner(t, st, r)))
	require.Equal(t, []string{"1", "2"}, orders(t, read(t, st, "stock.reserved")))
}

func TestAnEndedContextStopsBetweenTwoEvents(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "desk"})
	ctx, cancel := context.WithCancel(t.Context())
	handled := 0
	run := runner(t, st, reactor.New("r", reactor.On(func(context.Context, reactor.Event[placed], *reactor.Reactions) error {
		handled++
		cancel()
		return nil
	})))
	_, err := run.Step(ctx, 0, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, handled)
}

func TestHeadersAndPayloadAreTakenWhenTheReactionIsStaged(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		body, headers, meta := &reserved{Order: "1"}, map[string]string{"by": "r"}, map[string]string{"traceparent": "00-1"}
		out.Propose(store.Proposal{At: shop, Payload: body, Headers: headers, Meta: meta})
		body.Order, headers["by"], meta["traceparent"] = "changed", "changed", "changed"
		return nil
	}))
	require.NoError(t, step(t, runner(t, st, r)))
	got := read(t, st, "stock.reserved")
	require.Equal(t, []string{"1"}, orders(t, got))
	require.Equal(t, map[string]string{"by": "r"}, got[0].Headers())
	require.Equal(t, map[string]string{"traceparent": "00-1"}, got[0].Meta())
}

func TestReactionsInheritMetaOnlyWhereTheirHandlerSaysSo(t *testing.T) {
	st := openStore(t)
	meta := map[string]string{"traceparent": "00-1"}
	_, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{{At: shop, Payload: placed{"1", "lamp"}, Meta: meta}}})
	require.NoError(t, err)
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		out.Append(shop, reserved{Order: "1"})
		out.Propose(store.Proposal{At: shop, Payload: reserved{Order: "2"}, Meta: e.Meta()})
		return nil
	}))
	require.NoError(t, step(t, runner(t, st, r)))
	got := read(t, st, "stock.reserved")
	require.Nil(t, got[0].Meta())
	require.Equal(t, meta, got[1].Meta())
}

func TestAnExpectationThatDoesNotHoldRefusesTheReaction(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	run := runner(t, st, reactor.New("r", reactor.On(
		func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
			out.Propose(store.Proposal{At: e.Coordinate, Payload: reserved{"1"}, Expect: store.Absent})
			return nil
		})))
	require.Equal(t, shop.Entity, requireAs[*store.ConflictError](t, step(t, run)).Entity)
	require.Empty(t, read(t, st, "stock.reserved"))
	require.Equal(t, store.Position(0), run.Progress().Delivered)
}

// versioned declares the version of its schema.
type versioned struct{ HTML string }

func (versioned) Kind() string { return "versioned" }

func (versioned) SchemaVersion() uint16 { return 3 }

func TestAReactionIsEncodedAsTheStoreEncodesIt(t *testing.T) {
	for _, p := range []store.Payload{
		versioned{HTML: "<b>&</b>"},
		store.Raw{Type: "raw", Codec: "protobuf", SchemaVersion: 4, Data: []byte{1, 2}},
		store.Raw{Type: "raw", Data: []byte(`{"a": 1}`)},
	} {
		st := openStore(t)
		appendAll(t, st, p, placed{})
		require.NoError(t, step(t, runner(t, st, reactor.New("r", emit(p, shop)))))
		got := read(t, st, p.Kind())
		require.Len(t, got, 2)
		require.Equal(t, got[0].Payload, got[1].Payload)
		require.Equal(t, got[0].Codec, got[1].Codec)
		require.Equal(t, got[0].SchemaVersion, got[1].SchemaVersion)
	}
}
