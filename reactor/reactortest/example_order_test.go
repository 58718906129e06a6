package reactortest_test

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type Cancelled struct{}

func (Cancelled) Kind() string { return "order.cancelled" }

type Refunded struct{}

func (Refunded) Kind() string { return "order.refunded" }

type Dispatched struct{}

func (Dispatched) Kind() string { return "order.dispatched" }

// Desk decides about an order by what the store has of it.
type Desk struct{ st *store.Store }

// unless emits an event, if the order has none of another kind.
func (d Desk) unless(
	ctx context.Context, order store.Coordinate, other string, emit store.Payload, out *reactor.Reactions,
) error {
	version, err := d.st.Version(ctx, order.Entity)
	if err != nil {
		return err
	}
	n, err := d.st.Count(ctx, store.Region{Entity: order.Entity, Kinds: []string{other}}, 0, d.st.Head(), 1)
	if err != nil || n > 0 {
		return err
	}
	// Without Expect some orders of the steps dispatch and refund.
	out.Propose(store.Proposal{At: order, Payload: emit, Expect: store.Exactly(version)})
	return nil
}

func (d Desk) dispatch(ctx context.Context, e reactor.Event[Sold], out *reactor.Reactions) error {
	return d.unless(ctx, e.Coordinate, Refunded{}.Kind(), Dispatched{}, out)
}

func (d Desk) refund(ctx context.Context, e reactor.Event[Cancelled], out *reactor.Reactions) error {
	return d.unless(ctx, e.Coordinate, Dispatched{}.Kind(), Refunded{}, out)
}

// Two workers decide about one order. Whichever of them reads before the other one commits, it is
// dispatched or refunded, and never both.
func ExampleEveryOrder() {
	t := &exampleT{} // in a test, its *testing.T

	desks := func() supervision.Child {
		return reactortest.Program(func(st *store.Store) supervision.Child {
			d := Desk{st: st}
			return supervision.Group{Name: "desks", Children: []supervision.Child{
				reactor.New("dispatch", reactor.On(d.dispatch)), reactor.New("refunds", reactor.On(d.refund)),
			}}
		})
	}
	ends := make(map[string]bool)
	reactortest.EveryOrder(t, desks, func(run *reactortest.Run) {
		order := store.At("order:1", "shop")
		run.Given(reactortest.At(order, Sold{Item: "lamp"}), reactortest.At(order, Cancelled{}))
		run.Settle()
		dispatched, refunded := reactortest.Of[Dispatched](run), reactortest.Of[Refunded](run)
		if len(dispatched)+len(refunded) != 1 {
			t.Fatalf("dispatched %d times, refunded %d times", len(dispatched), len(refunded))
		}
		ends[fmt.Sprintf("dispatched: %d, refunded: %d", len(dispatched), len(refunded))] = true
	})
	fmt.Println(ends)
	// Output:
	// map[dispatched: 0, refunded: 1:true dispatched: 1, refunded: 0:true]
}
