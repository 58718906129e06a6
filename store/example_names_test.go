package store_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// placed is a store with some orders.
func placed(ctx context.Context) *store.Store {
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	for _, entity := range []string{"order:1", "order:2", "stock:lamp", "order:1"} {
		if _, err := st.Append(ctx, store.At(entity, "shop"), store.Any, Placed{SKU: "lamp"}); err != nil {
			panic(err)
		}
	}
	return st
}

// The last two events of a region, in order.
func ExampleBackward() {
	ctx := context.Background()
	st := placed(ctx)
	defer st.Close()

	var last []store.Event
	for e, err := range store.Backward(ctx, st, store.Region{Entity: "order"}, 0) {
		if err != nil {
			panic(err)
		}
		if last = append(last, e); len(last) == 2 {
			break
		}
	}
	slices.Reverse(last)
	for _, e := range last {
		fmt.Println(e.Position, e.Coordinate)
	}
	// Output:
	// 2 order:2@shop
	// 4 order:1@shop
}

// What may follow, while a name is typed.
func ExampleNames() {
	ctx := context.Background()
	st := placed(ctx)
	defer st.Close()

	for _, typed := range []string{"", "order:"} {
		names, more, err := store.Names(ctx, st, store.EntityNames, typed, 10)
		if err != nil {
			panic(err)
		}
		fmt.Println(names, more)
	}
	// Output:
	// [{order 3} {stock 1}] false
	// [{order:1 2} {order:2 1}] false
}
