package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A month is closed in several commits. No reader finds it closed in part, and until it is closed
// no other writer changes the accounts that were looked at.
func ExampleOpenFence() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	f, err := store.OpenFence(ctx, st, store.FenceOptions{Reason: "close October"})
	if err != nil {
		panic(err)
	}
	defer func() { _ = f.Cancel(ctx) }() // after Publish it does nothing
	var last store.Receipt
	for _, account := range []string{"account:1", "account:2"} {
		last, err = f.Stage(ctx, store.Batch{Events: []store.Proposal{
			{At: store.At(account, "bank"), Payload: store.Raw{Type: "month.closed"}},
		}})
		if err != nil {
			panic(err)
		}
	}
	deposit := store.Raw{Type: "money.deposited"}
	_, err = st.Append(ctx, store.At("account:2", "bank"), store.Any, deposit)
	fmt.Println("reserved:", errors.Is(err, store.ErrReserved))
	_, err = st.Append(ctx, store.At("account:3", "bank"), store.Any, deposit)
	fmt.Println("others continue:", err == nil, "visible:", st.Head())
	if err := f.Publish(ctx); err != nil {
		panic(err)
	}
	fmt.Println("published:", st.WaitVisible(ctx, last) == nil, "visible:", st.Head())
	// Output:
	// reserved: true
	// others continue: true visible: 0
	// published: true visible: 3
}
