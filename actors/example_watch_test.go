package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// A watcher receives every transition of every worker: here an event fails twice, and is parked.
// The call of Watch registers it, so nothing that happens between the call and the loop is missed.
func ExampleSystem_Watch() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	label := reactor.New("label", reactor.On(func(context.Context, reactor.Event[Placed], *reactor.Reactions) error {
		return errors.New("printer on fire")
	}))
	label.Policy = supervision.Policy{Attempts: 2}
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{label}})
	if err != nil {
		log.Fatal(err)
	}
	transitions := sys.Watch(ctx, actors.FromNow)

	if _, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
		log.Fatal(err)
	}
	for t := range transitions { // until ctx ends or the system stops; in a program, a goroutine of its own
		if t.Reason == nil {
			continue // no trouble
		}
		fmt.Printf("%s, %s: %v\n", t.Path, t.To, t.Reason)
		if errors.Is(t.Reason, actors.ErrParked) {
			break
		}
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// shop/label, retrying: event 1, attempt 1 of 2: printer on fire
	// shop/label, running: actors: worker "label" has parked event 1: event 1, attempts used up (2), last error: printer on fire
}
