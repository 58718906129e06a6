package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// An event that fails for good is parked, later events of its key are held, and all others are
// handled. When the cause is fixed, a replay handles the parked ones, in order.
func ExampleSystem_Replay() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	var fixed atomic.Bool
	pick := reactor.New("pick", reactor.On(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		if e.Body.SKU == "lamp" && !fixed.Load() {
			return reactor.Park(errors.New("no shelf for lamps")) // another attempt would not help
		}
		fmt.Println("picked a", e.Body.SKU, "for", e.Coordinate.Entity)
		return nil
	}))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{pick}})
	if err != nil {
		log.Fatal(err)
	}

	first, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{
		{At: store.At("order:1", "shop"), Payload: Placed{SKU: "lamp"}},
		{At: store.At("order:1", "shop"), Payload: Placed{SKU: "bulb"}}, // the same key: held for the lamp
	}})
	if err != nil {
		log.Fatal(err)
	}
	second, err := st.Append(ctx, store.At("order:2", "shop"), store.Absent, Placed{SKU: "sofa"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sys.WaitApplied(ctx, "pick", second))
	fmt.Println(sys.WaitApplied(ctx, "pick", first))
	for p, err := range sys.Parked("pick") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("parked: event %d of %s, held=%t\n", p.Position, p.Key, p.Held)
	}

	fixed.Store(true)
	why := checkpoint.Request{Reason: "lamps have a shelf", By: "ada"}
	if _, err := sys.Replay(ctx, "pick", cursor.ParkedFilter{Key: "order:1"}, why); err != nil { // or All, or one Position
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "pick", first); err != nil {
		log.Fatal(err)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// picked a sofa for order:2
	// <nil>
	// actors: worker "pick" has parked event 1: event 1, attempt 1: park: no shelf for lamps
	// parked: event 1 of order:1, held=false
	// parked: event 2 of order:1, held=true
	// picked a lamp for order:1
	// picked a bulb for order:1
}

// A parked event that can never be handled is discarded, so that what is held for it can be
// handled.
func ExampleSystem_Discard() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	pick := reactor.New("pick", reactor.On(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		if e.Body.SKU == "" {
			return reactor.Park(errors.New("no SKU"))
		}
		fmt.Println("picked a", e.Body.SKU)
		return nil
	}))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{pick}})
	if err != nil {
		log.Fatal(err)
	}

	var last store.Receipt
	for _, sku := range []string{"", "bulb"} {
		if last, err = st.Append(ctx, store.At("order:1", "shop"), store.Any, Placed{SKU: sku}); err != nil {
			log.Fatal(err)
		}
	}
	err = sys.WaitApplied(ctx, "pick", last)
	var parked *actors.EventError
	if errors.As(err, &parked) {
		fmt.Println("held for an event that was parked:", parked.Held)
	}
	typos, why := cursor.ParkedFilter{Error: "no SKU", Max: 10}, checkpoint.Request{Reason: "a typo", By: "ada"}
	if _, err := sys.Discard(ctx, "pick", typos, why); err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "pick", last); err != nil {
		log.Fatal(err)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// held for an event that was parked: true
	// picked a bulb
}
