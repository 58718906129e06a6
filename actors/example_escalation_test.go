package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// A worker relies on a cache that another one builds. When it panics, restarting it alone would not
// help. So the failure escalates: its whole group counts as failed, and the strategy of the group
// above, OneForAll, restarts the cache as well.
func Example_escalation() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	cache := cursor.Worker{
		Name: "cache", Volatile: true, // in memory only: built from the beginning of the log at each start
		Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
	}
	var broken atomic.Bool
	broken.Store(true)
	price := reactor.New("price", reactor.On(func(context.Context, reactor.Event[Placed], *reactor.Reactions) error {
		if broken.CompareAndSwap(true, false) {
			panic(errors.New("the cache is broken"))
		}
		return nil
	}))
	// It has no restart of its own: its first panic is a failure of the group, which has the usual
	// policy.
	price.Policy = supervision.Policy{Intensity: -1, OverBudget: supervision.ActionEscalate}
	tree := supervision.Group{Name: "shop", Strategy: supervision.OneForAll, Children: []supervision.Child{
		cache,
		supervision.Group{Name: "orders", Children: []supervision.Child{price}},
	}}
	sys, err := actors.Start(ctx, st, actors.Options{}, tree)
	if err != nil {
		log.Fatal(err)
	}

	order, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		log.Fatal(err)
	}
	for _, worker := range []string{"price", "cache"} {
		if err := sys.WaitApplied(ctx, worker, order); err != nil {
			log.Fatal(err)
		}
	}
	for _, w := range sys.Status().Workers {
		fmt.Println(w.Path, "restarts:", w.Restarts)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// shop/cache restarts: 1
	// shop/orders/price restarts: 1
}
