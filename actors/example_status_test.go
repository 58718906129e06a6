package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// Status says of each worker what it does, how far it is, and what holds it up. Here the database
// of one is unreachable, which it waits for: its lag grows, and another worker is not affected.
func ExampleSystem_Status() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	index := reactor.New("index", reactor.On(func(context.Context, reactor.Event[Placed], *reactor.Reactions) error {
		return reactor.Wait(errors.New("no connection"))
	}))
	index.Policy.Backoff = supervision.Backoff{Initial: time.Hour, Max: time.Hour}
	mail := reactor.New("mail", reactor.On(func(context.Context, reactor.Event[Placed], *reactor.Reactions) error { return nil }))
	sys, err := actors.Start(ctx, st, actors.Options{},
		supervision.Group{Name: "shop", Children: []supervision.Child{index, mail}})
	if err != nil {
		log.Fatal(err)
	}
	transitions := sys.Watch(ctx, actors.FromNow)

	var last store.Receipt
	for _, order := range []string{"order:1", "order:2"} {
		if last, err = st.Append(ctx, store.At(order, "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
			log.Fatal(err)
		}
	}
	if err := sys.WaitApplied(ctx, "mail", last); err != nil {
		log.Fatal(err)
	}
	for t := range transitions {
		if t.To == actors.Retrying {
			break // the first attempt of index has failed
		}
	}
	status := sys.Status()
	fmt.Println("head", status.Head)
	for _, w := range status.Workers {
		fmt.Println(w.Path, "after", w.Position, "lag", w.Lag)
		if w.Reason != nil {
			fmt.Println(" ", w.State, "because of", w.Reason)
		}
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// head 2
	// shop/index after 0 lag 2
	//   retrying because of event 1, no attempt, waiting (1): wait: no connection
	// shop/mail after 2 lag 0
}
