package actors_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// A handler had a bug that is fixed now: the worker is rewound and handles its events again. A dry
// run of the same change reports beforehand what it would do. Reactions to events that were handled
// before are dropped, unless Rewind.Emit is set.
func ExampleSystem_Apply() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	search := reactor.New("search", reactor.On(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		fmt.Println("indexed", e.Coordinate.Entity, "again:", e.Replayed())
		return nil
	}))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{search}})
	if err != nil {
		log.Fatal(err)
	}
	var last store.Receipt
	for _, order := range []string{"order:1", "order:2", "order:3"} {
		if last, err = st.Append(ctx, store.At(order, "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
			log.Fatal(err)
		}
	}
	if err := sys.WaitApplied(ctx, "search", last); err != nil {
		log.Fatal(err)
	}

	back := checkpoint.Rewind{To: 1} // everything after event 1
	out, err := sys.Apply(ctx, "search", back, checkpoint.Request{DryRun: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out)
	if _, err := sys.Apply(ctx, "search", back, checkpoint.Request{Reason: "prices were missing", By: "ada"}); err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "search", last); err != nil {
		log.Fatal(err)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// indexed order:1 again: false
	// indexed order:2 again: false
	// indexed order:3 again: false
	// rewind to 1: from 3 to 1, handled again: 2, undone by: skip to 3
	// indexed order:2 again: true
	// indexed order:3 again: true
}

// A worker that reads the orders of one shop will read those of all. What it had passed over is
// handled first, from the beginning of the log, each event once. From the next start on the program
// must declare the new region.
func ExampleSystem_Apply_widen() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	var last store.Receipt
	for _, scope := range []string{"berlin", "paris", "berlin"} {
		if last, err = st.Append(ctx, store.At("order:1", scope), store.Any, Placed{SKU: "lamp"}); err != nil {
			log.Fatal(err)
		}
	}

	report := cursor.Worker{
		Name:   "report",
		Region: store.Region{Entity: "order", Scope: "berlin"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for _, e := range b.Events {
				fmt.Println(e.Position, e.Coordinate)
			}
			return cursor.Continue, nil
		},
	}
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{report}})
	if err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "report", last); err != nil {
		log.Fatal(err)
	}

	report.Region.Scope = "" // of all shops
	why := checkpoint.Request{Reason: "one report for all", By: "ada"}
	out, err := sys.Apply(ctx, "report", checkpoint.Widen{Region: report.Region}, why)
	if err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "report", last); err != nil {
		log.Fatal(err)
	}
	fmt.Println(out)
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 order:1@berlin
	// 3 order:1@berlin
	// 2 order:1@paris
	// widen to (entity=order): from 3 to 0, handled for the first time: 1
}
