package store_test

import (
	"context"
	"os"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// The effects of an event as a tree of lines; a Picture has DOT, Mermaid and SVG, too, and a Forest
// is JSON for programs.
func ExampleLineage() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	r, err := st.Append(ctx, store.At("order:42", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		panic(err)
	}
	placed, err := st.GetAt(ctx, r.Position())
	if err != nil {
		panic(err)
	}
	for _, kind := range []string{"stock.reserved", "mail.sent"} {
		_, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{{
			At: store.At("order:42", "shop"), Payload: store.Raw{Type: kind}, Causation: placed.Causation(),
			Emitter: &store.Emitter{Worker: "on-order", Attempt: 1},
		}}})
		if err != nil {
			panic(err)
		}
	}

	forest, err := store.Lineage(ctx, st, store.Effects, placed.ID, store.Reach{Depth: 3, Count: 100})
	if err != nil {
		panic(err)
	}
	for i := range forest.Nodes { // an example must print the same at all times
		forest.Nodes[i].Time = time.Time{}
	}
	if err := forest.Picture().Text(os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// order.placed  #1 order:42@shop
	// ├─ stock.reserved  #2 order:42@shop  by on-order
	// └─ mail.sent  #3 order:42@shop  by on-order
}
