package store_test

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Scan lends each event until the next step, so a pass over a long log leaves no garbage. Numbers
// and strings may be kept; an event that is to outlast its step is cloned.
func ExampleStore_Scan() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	for _, sku := range []string{"lamp", "table", "lamp"} {
		if _, err := st.Append(ctx, store.At("order:"+sku, "shop"), store.Any, Placed{SKU: sku}); err != nil {
			panic(err)
		}
	}

	events := make(map[string]int) // of each entity
	var last store.Event
	for e, err := range st.Scan(ctx, store.Region{Entity: "order"}, store.Beginning()) {
		if err != nil {
			panic(err)
		}
		if events[e.Coordinate.Entity]++; events[e.Coordinate.Entity] == 2 {
			last = e.Clone()
		}
	}
	fmt.Println(events)
	fmt.Printf("%d %s\n", last.Position, last.Payload)
	// Output:
	// map[order:lamp:2 order:table:1]
	// 3 {"sku":"lamp"}
}
