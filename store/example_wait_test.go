package store_test

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A reader that follows the log reads up to the head, and waits until the head has moved past what
// it has read.
func ExampleStore_Wait() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	seen := make(chan store.Position)
	go func() { // ends with ctx, or when the store is closed
		defer close(seen)
		after := store.Position(0)
		for {
			head, err := st.Wait(ctx, after)
			if err != nil {
				return
			}
			for e, err := range st.Read(ctx, store.Region{Entity: "order"}, store.After(after)) {
				if err != nil {
					return
				}
				seen <- e.Position
			}
			after = head
		}
	}()

	for _, order := range []string{"order:1", "order:2"} {
		if _, err := st.Append(ctx, store.At(order, "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
			panic(err)
		}
		fmt.Println("seen", <-seen)
	}
	cancel()
	<-seen // closed: the reader has ended
	// Output:
	// seen 1
	// seen 2
}
