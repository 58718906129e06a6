package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// Cancelled is an event that the first version of the program did not handle.
type Cancelled struct{ SKU string }

func (Cancelled) Kind() string { return "order.cancelled" }

func printPlaced(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
	fmt.Println(e.Position, "placed", e.Body.SKU)
	return nil
}

func printCancelled(_ context.Context, e reactor.Event[Cancelled], _ *reactor.Reactions) error {
	fmt.Println(e.Position, "cancelled", e.Body.SKU)
	return nil
}

// A deploy adds a route. Events of that kind were passed over so far, so Start refuses the
// checkpoint until the reactor says whether they are handled.
func Example_newRoute() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	var last store.Receipt
	for _, p := range []store.Payload{Placed{SKU: "lamp"}, Cancelled{SKU: "lamp"}, Placed{SKU: "sofa"}} {
		if last, err = st.Append(ctx, store.At("order:1", "shop"), store.Any, p); err != nil {
			log.Fatal(err)
		}
	}
	deploy := func(stock *reactor.Reactor) error { // starts, handles what is there, and stops
		sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{stock}})
		if err != nil {
			return err
		}
		return errors.Join(sys.WaitApplied(ctx, "stock", last), sys.Stop(ctx))
	}

	if err := deploy(reactor.New("stock", reactor.On(printPlaced))); err != nil {
		log.Fatal(err)
	}

	next := reactor.New("stock", reactor.On(printPlaced), reactor.On(printCancelled))
	var mismatch *checkpoint.MismatchError
	fmt.Println("refused:", errors.As(deploy(next), &mismatch), mismatch.Added)

	next.NewKinds = checkpoint.NewKindsBackfill // their past first; NewKindsFromNow would leave it out
	if err := deploy(next); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 placed lamp
	// 3 placed sofa
	// refused: true [order.cancelled]
	// 2 cancelled lamp
}
