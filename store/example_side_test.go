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

// A range is read by the order of the keys, in pages if it is long: the next one begins after the
// last key of this one.
func ExampleStore_SideRange() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	for day := range 5 {
		due := store.SideWrite{Key: fmt.Sprintf("due/2026-03-%02d", day+1), Value: []byte{byte(day)}}
		if _, err := st.Commit(ctx, store.Batch{Sides: []store.SideWrite{due}}); err != nil {
			panic(err)
		}
	}

	const page = 2
	from, read := "due/2026-03-02", page
	for read == page {
		read = 0
		for v, err := range st.SideRange(from, "due/2026-03-05", page) {
			if err != nil {
				panic(err)
			}
			fmt.Println(v.Key, v.Value[0])
			from, read = v.Key+"\x00", read+1
		}
		fmt.Println("page of", read)
	}
	// Output:
	// due/2026-03-02 1
	// due/2026-03-03 2
	// page of 2
	// due/2026-03-04 3
	// page of 1
}
