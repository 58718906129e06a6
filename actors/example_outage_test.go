package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// What a handler needs may be unavailable for longer than the attempts at an event last. Then the
// worker is in an outage: no event is parked for it, one at a time is tried, and when one of them
// is handled all of them are.
func Example_outage() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	var up atomic.Bool
	charge := reactor.New("charge", reactor.On(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		if !up.Load() {
			return errors.New("connection refused") // as any error is returned
		}
		return nil
	}))
	charge.Lanes = 4
	charge.Dependency = func(store.Event) string { return "cards" } // else the kind of the event
	charge.Policy.Backoff = supervision.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{charge}})
	if err != nil {
		log.Fatal(err)
	}
	transitions := sys.Watch(ctx, actors.FromNow)

	var orders store.Batch
	for n := range 10 {
		orders.Events = append(orders.Events, store.Proposal{At: store.At(fmt.Sprint("order:", n), "shop"), Payload: Placed{SKU: "lamp"}})
	}
	placed, err := st.Commit(ctx, orders)
	if err != nil {
		log.Fatal(err)
	}
	for t := range transitions {
		var outage *supervision.OutageError
		if errors.As(t.Reason, &outage) {
			fmt.Printf("%s: %s, %v\n", t.To, outage.Dependency, outage.Err)
			break
		}
	}

	up.Store(true)
	if err := sys.WaitApplied(ctx, "charge", placed); err != nil {
		log.Fatal(err)
	}
	fmt.Println("parked:", sys.Status().Workers[0].Parked)
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// outage: cards, connection refused
	// parked: 0
}
