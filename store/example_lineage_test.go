package store_test

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// What an event led to, and what has led to it.
func ExampleEffects() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	cause := store.Event{}
	for _, kind := range []string{"order.placed", "stock.reserved", "parcel.sent"} { // each because of the one before
		p := store.Proposal{At: store.At("shop:1", "shop"), Payload: store.Raw{Type: kind}}
		if cause.Position > 0 {
			p.Causation = cause.Causation()
		}
		r, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{p}})
		if err != nil {
			panic(err)
		}
		if cause, err = st.GetAt(ctx, r.Position()); err != nil {
			panic(err)
		}
	}

	first := cause.Correlation
	for e, err := range store.Effects(ctx, st, first, store.Reach{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println("then", e.Kind) // the event itself at first
	}
	for e, err := range store.Causes(ctx, st, cause.ID, store.Reach{}) {
		if err != nil { // store.MissingCauseError, where the log does not have a cause any more
			panic(err)
		}
		fmt.Println("why", e.Kind)
	}
	// Output:
	// then order.placed
	// then stock.reserved
	// then parcel.sent
	// why parcel.sent
	// why stock.reserved
	// why order.placed
}
