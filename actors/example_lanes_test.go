package actors_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// With lanes, events of different keys are handled at the same time, and a slow one holds up its
// own key only. The key is the entity unless Key says otherwise. Handlers are called from several
// goroutines then.
func Example_lanes() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	answer := make(chan struct{}) // of the slow customer
	call := reactor.New("call", reactor.On(func(ctx context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		if e.Body.SKU == "lamp" {
			select {
			case <-answer:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		fmt.Println("called", e.Coordinate.Entity, "about a", e.Body.SKU)
		return nil
	}))
	call.Lanes = 4
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{call}})
	if err != nil {
		log.Fatal(err)
	}

	slow, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{
		{At: store.At("customer:1", "shop"), Payload: Placed{SKU: "lamp"}},
		{At: store.At("customer:1", "shop"), Payload: Placed{SKU: "bulb"}}, // in order, after the lamp
	}})
	if err != nil {
		log.Fatal(err)
	}
	fast, err := st.Append(ctx, store.At("customer:2", "shop"), store.Any, Placed{SKU: "sofa"})
	if err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "call", fast); err != nil { // though an event before it is not done
		log.Fatal(err)
	}
	close(answer)
	if err := sys.WaitApplied(ctx, "call", slow); err != nil {
		log.Fatal(err)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// called customer:2 about a sofa
	// called customer:1 about a lamp
	// called customer:1 about a bulb
}
