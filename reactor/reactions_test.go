package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type unencodable struct{ C chan int }

func (unencodable) Kind() string { return "unencodable" }

func TestAHandlerGetsTheEventAndItsDecodedBody(t *testing.T) {
	given := event(7, `{"Order":"42","SKU":"lamp"}`)
	var got reactor.Event[placed]
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], _ *reactor.Reactions) error {
		got = e
		return nil
	}))
	_, err := r.React(t.Context(), given)
	require.NoError(t, err)
	require.Equal(t, placed{Order: "42", SKU: "lamp"}, got.Body)
	require.Equal(t, given, got.Event)
}

func TestAnEffectKeyIsTheReactorAndTheEvent(t *testing.T) {
	var keys []string
	note := reactor.On(func(_ context.Context, e reactor.Event[placed], _ *reactor.Reactions) error {
		keys = append(keys, e.EffectKey())
		return nil
	})
	for _, name := range []string{"a", "a", "b"} {
		_, err := react(t, reactor.New(name, note))
		require.NoError(t, err)
	}
	id := event(1, "").ID.String()
	require.Equal(t, []string{"a/" + id, "a/" + id, "b/" + id}, keys)
}

func TestReactionsAreGivenInTheOrderOfTheirEmission(t *testing.T) {
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		out.Append(store.At("stock:1", "shop"), reserved{"1"})
		out.Propose(store.Proposal{
			At: store.At("stock:2", "shop"), Payload: reserved{"2"},
			Expect: store.Absent, Headers: map[string]string{"by": "r"}, Meta: map[string]string{"m": "1"},
		})
		return nil
	}))
	got, err := react(t, r)
	require.NoError(t, err)
	require.Equal(t, []reactor.Reaction{
		{At: store.At("stock:1", "shop"), Payload: reserved{"1"}},
		{
			At: store.At("stock:2", "shop"), Payload: reserved{"2"},
			Expect: store.Absent, Headers: map[string]string{"by": "r"}, Meta: map[string]string{"m": "1"},
		},
	}, got)
}

// That is not allowed. What it does must stay with the handler that does it.
func TestReactionsThatAHandlerKeptAddNothingToThoseOfLaterEvents(t *testing.T) {
	var kept *reactor.Reactions
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		for range e.Position % 4 {
			out.Append(shop, reserved{e.Body.Order})
		}
		if kept != nil {
			kept.Append(shop, reserved{"late"})
		}
		kept = out
		return nil
	}))
	w, err := r.CursorWorker()
	require.NoError(t, err)
	events := []store.Event{event(3, `{"Order":"1"}`), event(5, `{"Order":"2"}`), event(6, `{"Order":"3"}`)}
	b := cursor.NewBatch(events, cursor.Ownership{})
	_, err = w.Handle(t.Context(), b)
	require.NoError(t, err)
	var said []string
	for _, p := range b.Staged() {
		said = append(said, p.Payload.(reserved).Order)
	}
	require.Equal(t, []string{"1", "1", "1", "2", "3", "3"}, said)
}

func TestWhatATestSeesOfEncodedPayloadsIsWhatTheyWereWhenTheyWereEmitted(t *testing.T) {
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		var buffer []byte
		for _, data := range []string{`"a"`, `"b"`} {
			buffer = append(buffer[:0], data...)
			out.Append(shop, store.Raw{Type: "letter", Data: buffer})
		}
		out.Append(shop, store.Raw{Type: "nothing"})
		return nil
	}))
	got, err := react(t, r)
	require.NoError(t, err)
	require.Equal(t, []reactor.Reaction{
		{At: shop, Payload: store.Raw{Type: "letter", Data: []byte(`"a"`)}},
		{At: shop, Payload: store.Raw{Type: "letter", Data: []byte(`"b"`)}},
		{At: shop, Payload: store.Raw{Type: "nothing"}},
	}, got)
}

func TestAFailedHandlerEmitsNothingAndKeepsItsError(t *testing.T) {
	cause := errors.New("no connection")
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		out.Append(shop, reserved{"42"})
		out.Append(store.At("", ""), reserved{"42"}) // the handler's own error says more than this fault
		return cause
	}))
	got, err := react(t, r)
	require.Empty(t, got)
	require.Equal(t, cause, err)
}

func TestAnEventThatCannotBeDecodedIsAnError(t *testing.T) {
	broken := event(3, `{"Order":`)
	foreign := event(3, `{}`)
	foreign.Codec = "protobuf"
	called := false
	r := reactor.New("r", reactor.On(func(context.Context, reactor.Event[placed], *reactor.Reactions) error {
		called = true
		return nil
	}))
	for _, e := range []store.Event{broken, foreign} {
		_, err := r.React(t.Context(), e)
		refused := requireAs[*reactor.DecodeError](t, err)
		require.Equal(t, "order.placed", refused.Kind)
		require.Equal(t, store.Position(3), refused.Position)
		require.Error(t, refused.Err)
	}
	require.False(t, called, "the handler must not see half a payload")
}

func TestAnEventThatTheReactorDoesNotReadIsAnError(t *testing.T) {
	r := reactor.New("r", reactor.On(ignore[cancelled]))
	_, err := react(t, r)
	require.ErrorIs(t, err, reactor.ErrUnseen)

	r = reactor.New("r", reactor.On(reserve))
	r.Region.Scope = "elsewhere"
	_, err = react(t, r)
	require.ErrorIs(t, err, reactor.ErrUnseen)
	require.ErrorContains(t, err, fmt.Sprintf("(order.placed at %s)", shop))
}

func TestAReactionThatTheStoreWouldRefuseFailsItsEvent(t *testing.T) {
	big := store.Raw{Type: "big", Data: make([]byte, store.MaxPayloadBytes+1)}
	for name, c := range map[string]struct {
		at store.Coordinate
		p  store.Payload
	}{
		"no entity":      {store.At("", "shop"), reserved{}},
		"no scope":       {store.At("stock", ""), reserved{}},
		"reserved scope": {store.At("stock", store.ReservedScope), reserved{}},
		"control bytes":  {store.At("st\x00ck", "shop"), reserved{}},
		"long entity":    {store.At(strings.Repeat("x", store.MaxEntityBytes+1), "shop"), reserved{}},
		"no payload":     {shop, nil},
		"bad kind":       {shop, badKind{}},
		"no kind":        {shop, store.Raw{}},
		"too big":        {shop, big},
	} {
		got, err := react(t, reactor.New("r", emit(c.p, c.at)))
		require.Empty(t, got, name)
		require.ErrorIs(t, err, store.ErrInvalid, name)
		require.ErrorIs(t, err, reactor.ErrReaction, name)
		require.ErrorContains(t, err, "invalid reaction 1 (", name)
		require.ErrorContains(t, err, fmt.Sprintf(" at %s): ", c.at), name)
	}
}

func TestAPayloadThatCannotBeEncodedFailsItsEvent(t *testing.T) {
	_, err := react(t, reactor.New("r", emit(unencodable{}, shop)))
	require.ErrorIs(t, err, reactor.ErrReaction)
	require.ErrorContains(t, err, `invalid reaction 1 ("unencodable" at `)
}

func TestTheFirstBadReactionIsTheOneReported(t *testing.T) {
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		out.Append(shop, reserved{"1"})
		out.Append(store.At("", "first"), reserved{"2"})
		out.Append(store.At("", "second"), reserved{"3"})
		return nil
	}))
	_, err := react(t, r)
	require.ErrorContains(t, err, fmt.Sprintf(`invalid reaction 2 ("stock.reserved" at %s): `, store.At("", "first")))
}

func TestAReactionDeeperThanTheLimitFailsItsEvent(t *testing.T) {
	e := event(9, `{}`)
	e.Cause, e.Correlation = uuid.UUID{1}, uuid.UUID{2}
	for limit, last := range map[int]uint32{0: 63, 1: 0, 5: 4} {
		r := reactor.New("r", reactor.On(reserve))
		r.MaxDepth = limit
		e.Depth = last
		_, err := r.React(t.Context(), e)
		require.NoError(t, err, "depth %d is allowed", last+1)

		e.Depth = last + 1
		_, err = r.React(t.Context(), e)
		require.Equal(t, reactor.LoopError{
			Limit: int(last) + 1, Depth: int(last) + 2, Position: 9, Event: e.ID, Cause: e.Cause, Correlation: e.Correlation,
		}, *requireAs[*reactor.LoopError](t, err))
	}
}

func TestADeepEventMayBeHandledWhenNothingIsEmitted(t *testing.T) {
	e := event(9, `{}`)
	e.Depth = 1 << 31
	_, err := reactor.New("r", reactor.On(ignore[placed])).React(t.Context(), e)
	require.NoError(t, err)
}

func TestMoreReactionsThanTheLimitFailTheirEvent(t *testing.T) {
	emitted := 0
	flood := reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		for range emitted {
			out.Append(shop, reserved{})
		}
		return nil
	})
	for limit, most := range map[int]int{0: 4096, 3: 3} {
		r := reactor.New("r", flood)
		r.MaxReactions = limit
		emitted = most
		got, err := react(t, r)
		require.NoError(t, err)
		require.Len(t, got, most)

		emitted = most + 1
		got, err = react(t, r)
		require.Empty(t, got)
		storm := requireAs[*reactor.LoopError](t, err)
		require.Equal(t, reactor.LoopError{
			Limit: most, Position: 1, Event: event(1, "").ID, Correlation: event(1, "").ID,
		}, *storm)
	}
}

func TestDirectivesAreThoseOfSupervision(t *testing.T) {
	cause := errors.New("cause")
	require.Equal(t, supervision.RetryAfter(time.Second, cause), reactor.RetryAfter(time.Second, cause))
	require.Equal(t, supervision.Halt(cause), reactor.Halt(cause))
}
