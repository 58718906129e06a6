package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A request that a client repeats, because it does not know whether the first one arrived, is
// committed once: also after a crash, and whatever the entity's version is by then. The same key
// with other content is a mistake of the client.
func ExampleBatch_idempotencyKey() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	place := func(request, sku string) (store.Receipt, error) {
		return st.Commit(ctx, store.Batch{
			IdempotencyKey: request,
			Events:         []store.Proposal{{At: store.At("order:42", "shop"), Expect: store.Absent, Payload: Placed{SKU: sku}}},
		})
	}
	first, err := place("request-7", "lamp")
	if err != nil {
		panic(err)
	}
	again, err := place("request-7", "lamp")
	if err != nil {
		panic(err)
	}
	fmt.Println("same event:", first.Events[0].ID == again.Events[0].ID, "duplicate:", again.Duplicate)

	_, err = place("request-7", "sofa")
	var reused *store.IdempotencyKeyReusedError
	fmt.Println("reused:", errors.As(err, &reused), "after position", reused.Position)
	_, err = place("request-8", "lamp")
	fmt.Println("conflict:", errors.Is(err, store.ErrConflict))
	// Output:
	// same event: true duplicate: true
	// reused: true after position 1
	// conflict: true
}
