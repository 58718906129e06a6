package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A side value is a small record that is overwritten, in the same commit as the events that go with
// it. Its revision lets only one of two writers that read the same value succeed.
func ExampleSideWrite() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	// draw takes the next invoice number, which it keeps in a side value, and uses it.
	draw := func(seen store.Expect, n byte) (store.Receipt, error) {
		return st.Commit(ctx, store.Batch{
			Events: []store.Proposal{{At: store.At(fmt.Sprintf("invoice:%d", n), "shop"), Payload: store.Raw{Type: "invoice.sent"}}},
			Sides:  []store.SideWrite{{Key: "invoice/last", Value: []byte{n}, Expect: seen}},
		})
	}

	if _, err := draw(store.Absent, 1); err != nil {
		panic(err)
	}
	last, _, err := st.Side("invoice/last")
	if err != nil {
		panic(err)
	}
	if _, err := draw(store.Exactly(last.Revision), last.Value[0]+1); err != nil {
		panic(err)
	}
	_, err = draw(store.Exactly(last.Revision), last.Value[0]+1) // another writer, which read the same value
	var conflict *store.ConflictError
	fmt.Println(errors.As(err, &conflict), conflict.Expected, conflict.Actual)

	last, _, err = st.Side("invoice/last")
	if err != nil {
		panic(err)
	}
	fmt.Println("last number", last.Value[0], "head", st.Head()) // side values take no position
	// Output:
	// true 1 2
	// last number 2 head 2
}
