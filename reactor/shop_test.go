package reactor_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A reactor can stand wherever a child or a worker is asked for.
var (
	_ supervision.Child = (*reactor.Reactor)(nil)
	_ cursor.Source     = (*reactor.Reactor)(nil)
)

type placed struct{ Order, SKU string }

func (placed) Kind() string { return "order.placed" }

type cancelled struct{ Order string }

func (cancelled) Kind() string { return "order.cancelled" }

type reserved struct{ Order string }

func (reserved) Kind() string { return "stock.reserved" }

// tick is answered by another tick, forever.
type tick struct{ N int }

func (tick) Kind() string { return "clock.tick" }

var shop = store.At("order:42", "shop")

func reserve(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, "shop"), reserved{Order: e.Body.Order})
	return nil
}

func ignore[T store.Payload](context.Context, reactor.Event[T], *reactor.Reactions) error { return nil }

func emit(p store.Payload, at store.Coordinate) reactor.Route {
	return reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		out.Append(at, p)
		return nil
	})
}

// event is what the store would give for an order that was placed.
func event(position store.Position, json string) store.Event {
	id := uuid.UUID{6: 0x70, 8: 0x80, 15: byte(position)}
	return store.Event{
		ID: id, Position: position, Coordinate: shop, Kind: placed{}.Kind(), Version: 1,
		Correlation: id, Codec: store.CodecJSON, Payload: []byte(json),
	}
}

// react gives what r answers to one order.
func react(t *testing.T, r *reactor.Reactor) ([]reactor.Reaction, error) {
	t.Helper()
	return r.React(t.Context(), event(1, `{"Order":"42","SKU":"lamp"}`))
}

// requireAs finds an error of type E in err, or ends the test.
func requireAs[E error](t *testing.T, err error) E {
	t.Helper()
	var target E
	require.ErrorAs(t, err, &target)
	return target
}
