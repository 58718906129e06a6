package reactor_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// named is at version 3: first there was only "name", then "first" and "last", now "full".
type named struct{ Full string }

func (named) Kind() string          { return "person.named" }
func (named) SchemaVersion() uint16 { return 3 }

type namedV1 struct{ Name string }

type namedV2 struct{ First, Last string }

func splitName(v namedV1) (namedV2, error) {
	first, last, ok := strings.Cut(v.Name, " ")
	if !ok {
		return namedV2{}, errors.New("no last name")
	}
	return namedV2{First: first, Last: last}, nil
}

func joinName(data []byte) ([]byte, error) {
	var v namedV2
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return json.Marshal(named{Full: v.Last + ", " + v.First})
}

func greeter(upcasters ...reactor.Upcaster) *reactor.Reactor {
	r := reactor.New("greet", reactor.On(func(_ context.Context, e reactor.Event[named], out *reactor.Reactions) error {
		out.Append(store.At("greeting:1", "test"), store.Raw{Type: "greeted", Data: []byte(`"` + e.Body.Full + `"`)})
		return nil
	}))
	r.Types = reactor.NewTypes(reactor.TypeOf[named](upcasters...))
	return r
}

func version(v uint16, data string) store.Raw {
	return store.Raw{Type: "person.named", SchemaVersion: v, Data: []byte(data)}
}

func TestOlderPayloadsAreRaisedStepByStep(t *testing.T) {
	r := greeter(reactor.Upcast(2, joinName), reactor.UpcastFrom(1, splitName))
	got := reactortest.React(t, r,
		version(1, `{"Name":"Ada Lovelace"}`), version(2, `{"First":"Grace","Last":"Hopper"}`), named{Full: "Hamilton, Margaret"})
	require.Len(t, got, 3)
	for i, want := range []string{"Lovelace, Ada", "Hopper, Grace", "Hamilton, Margaret"} {
		require.JSONEq(t, `"`+want+`"`, string(got[i].Payload.(store.Raw).Data))
	}
}

func TestAPayloadThatNoUpcasterReachesIsAnError(t *testing.T) {
	_, err := reactortest.ReactErr(t, greeter(reactor.Upcast(2, joinName)), version(1, `{}`))
	var schema *reactor.DecodeError
	require.ErrorAs(t, err, &schema)
	require.NoError(t, schema.Err)
	require.Equal(t, []uint16{1, 2, 3}, []uint16{schema.Version, schema.Oldest, schema.Newest})
	_, directed := supervision.DirectiveOf(err)
	require.False(t, directed, "it is an attempt")
}

func TestANewerPayloadIsSetAsideAtOnce(t *testing.T) {
	_, err := reactortest.ReactErr(t, greeter(), version(4, `{}`))
	var schema *reactor.DecodeError
	require.ErrorAs(t, err, &schema)
	require.NoError(t, schema.Err)
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionPark, d.Action)
}

func TestAnUpcasterThatFailsIsAFailureToDecode(t *testing.T) {
	r := greeter(reactor.Upcast(2, joinName), reactor.UpcastFrom(1, splitName))
	_, err := reactortest.ReactErr(t, r, version(1, `{"Name":"Plato"}`))
	var decode *reactor.DecodeError
	require.ErrorAs(t, err, &decode)
	require.ErrorContains(t, err, "no last name")
}

func TestAnInvalidChainOfUpcastersIsRefusedWhenTheReactorIsBuilt(t *testing.T) {
	same := func(b []byte) ([]byte, error) { return b, nil }
	for rule, upcasters := range map[string][]reactor.Upcaster{
		"is nil":         {reactor.Upcast(2, nil)},
		"leads beyond":   {reactor.Upcast(3, same)},
		"is there twice": {reactor.Upcast(2, same), reactor.Upcast(2, same)},
		"does not exist": {reactor.Upcast(0, same), reactor.Upcast(1, same), reactor.Upcast(2, same)},
		"leaves a gap":   {reactor.Upcast(1, same)},
	} {
		_, err := greeter(upcasters...).CursorWorker()
		require.ErrorIs(t, err, reactor.ErrDefinition, rule)
		require.ErrorContains(t, err, `"person.named" has an upcaster from version `)
		require.ErrorContains(t, err, " that "+rule)
	}
}

type ping struct{ N int }

func (ping) Kind() string { return "ping" }

func TestALoopIsParkedWithItsChainInTheError(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	loop := reactor.New("loop", reactor.On(func(_ context.Context, e reactor.Event[ping], out *reactor.Reactions) error {
		out.Append(e.Coordinate, ping{N: e.Body.N + 1})
		return nil
	}))
	loop.MaxDepth, loop.Policy = 3, supervision.Policy{Attempts: 1}
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "g", Children: []supervision.Child{loop}})
	require.NoError(t, err)
	_, err = st.Append(t.Context(), store.At("table:1", "test"), store.Any, ping{})
	require.NoError(t, err)
	for st.Head() < 5 { // the chain, and the audit event of the end
		_, err = st.Wait(t.Context(), st.Head())
		require.NoError(t, err)
	}
	require.NoError(t, sys.Stop(t.Context()))
	for p, err := range checkpoint.ParkedEvents(st, "loop") {
		require.NoError(t, err)
		require.Equal(t, store.Position(4), p.Position)
		require.Contains(t, p.Error, "ping@table:1 (4) <- ping@table:1 (3) <- ping@table:1 (2) <- ping@table:1 (1)")
	}
}

func TestNewKindsAreHandledFromNowOrWithTheirPast(t *testing.T) {
	for policy, want := range map[checkpoint.NewKinds][]store.Position{
		checkpoint.NewKindsFromNow:  {1, 4, 5},
		checkpoint.NewKindsBackfill: {1, 2, 4, 5},
	} {
		st, err := storetest.Open(store.Options{})
		require.NoError(t, err)
		var seen []store.Position
		pings := reactor.On(func(_ context.Context, e reactor.Event[ping], _ *reactor.Reactions) error {
			seen = append(seen, e.Position)
			return nil
		})
		names := reactor.On(func(_ context.Context, e reactor.Event[named], _ *reactor.Reactions) error {
			seen = append(seen, e.Position)
			return nil
		})
		at := store.At("x", "test")
		appendPayloads(t, st, at, ping{}, named{})
		run(t, st, reactor.New("r", pings))
		_, err = cursor.NewRunner(t.Context(), st, worker(t, reactor.New("r", pings, names)))
		require.ErrorIs(t, err, checkpoint.ErrKindsChanged)
		appendPayloads(t, st, store.At("y", "test"), store.Raw{Type: "other", Data: []byte("{}")})
		appendPayloads(t, st, at, ping{}, named{})
		wider := reactor.New("r", pings, names)
		wider.NewKinds = policy
		run(t, st, wider)
		if policy == checkpoint.NewKindsFromNow {
			require.Equal(t, want, seen)
		} else {
			require.ElementsMatch(t, want, seen)
			require.Equal(t, store.Position(2), seen[1], "the past comes first")
		}
		require.NoError(t, st.Close())
	}
}

func appendPayloads(t *testing.T, st *store.Store, at store.Coordinate, payloads ...store.Payload) {
	t.Helper()
	for _, p := range payloads {
		_, err := st.Append(t.Context(), at, store.Any, p)
		require.NoError(t, err)
	}
}

func worker(t *testing.T, r *reactor.Reactor) cursor.Worker {
	t.Helper()
	w, err := r.CursorWorker()
	require.NoError(t, err)
	return w
}

// run lets a reactor catch up.
func run(t *testing.T, st *store.Store, r *reactor.Reactor) {
	t.Helper()
	runner, err := cursor.NewRunner(t.Context(), st, worker(t, r))
	require.NoError(t, err)
	for {
		out, err := runner.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		if out.CaughtUp {
			require.NoError(t, runner.Close(t.Context()))
			return
		}
	}
}

// Some codecs make a value of no bytes.
func TestAnErasedEventIsNotDecodedInAnyCodec(t *testing.T) {
	st := openStore(t)
	receipt, err := st.Append(t.Context(), shop, store.Any, lenient{"secret"})
	require.NoError(t, err)
	_, err = store.Erase(t.Context(), st, store.Erasure{Entity: shop.Entity, Reason: "test", By: "test"})
	require.NoError(t, err)
	e, err := st.GetAt(t.Context(), receipt.Position())
	require.NoError(t, err)
	_, err = reactor.Decode[lenient](nil, e)
	require.ErrorIs(t, err, store.ErrErased)
	require.ErrorIs(t, err, reactor.ErrPayload)
	_, err = reactor.NewTypes(reactor.TypeOf[lenient]()).Decode(e)
	require.ErrorIs(t, err, store.ErrErased)
}

// lenient is decoded of whatever there is, as by protocol buffers.
type lenient struct{ Text string }

func (lenient) Kind() string { return "lenient" }

func (lenient) Codec() store.Codec {
	return store.Codec{
		Name: "lenient", Deterministic: true,
		Marshal: func(v any) ([]byte, error) { return []byte(v.(lenient).Text), nil },
		Unmarshal: func(data []byte, v any) error {
			v.(*lenient).Text = string(data)
			return nil
		},
	}
}
