package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

type Placed struct {
	SKU string `json:"sku"`
}

func (Placed) Kind() string { return "order.placed" }

type Shipped struct{}

func (Shipped) Kind() string { return "order.shipped" }

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "penstock")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	dir = filepath.Join(dir, "data") // Open makes it

	st, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	_, err = store.Open(dir, store.Options{}) // one writer for each directory
	fmt.Println(errors.Is(err, store.ErrLocked))

	if _, err := st.Append(context.Background(), store.At("order:42", "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
		panic(err)
	}
	if err := st.Close(); err != nil {
		panic(err)
	}

	st, err = store.Open(dir, store.Options{ReadOnly: true})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	fmt.Println(st.Head())
	// Output:
	// true
	// 1
}

// A commit with an idempotency key may be repeated until it has an answer: it happens once.
func ExampleStore_Commit() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	order := store.At("order:42", "shop")
	place := store.Batch{
		IdempotencyKey: "request-7",
		Events: []store.Proposal{
			{At: order, Expect: store.Absent, Payload: Placed{SKU: "lamp"}},
			{At: store.At("stock:lamp", "shop"), Payload: Placed{SKU: "lamp"}},
		},
		Sides: []store.SideWrite{{Key: "seen/request-7", Value: []byte("yes")}},
	}
	for range 2 {
		receipt, err := st.Commit(ctx, place)
		if err != nil {
			panic(err)
		}
		fmt.Println(receipt.Position(), receipt.Duplicate)
	}

	_, err = st.Append(ctx, order, store.Absent, Placed{SKU: "sofa"})
	var conflict *store.ConflictError
	fmt.Println(errors.As(err, &conflict), conflict.Actual)
	// Output:
	// 2 false
	// 2 true
	// true 1
}

func ExampleStore_Read() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	for _, id := range []string{"order:1", "order:2"} {
		if _, err := st.Append(ctx, store.At(id, "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
			panic(err)
		}
	}
	if _, err := st.Append(ctx, store.At("order:1", "shop"), store.Exactly(1), Shipped{}); err != nil {
		panic(err)
	}
	for e, err := range st.Read(ctx, store.Region{Entity: "order:1"}, store.Beginning()) {
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Position, e.Coordinate, e.Version, e.Kind)
	}
	// Output:
	// 1 order:1@shop 1 order.placed
	// 3 order:1@shop 2 order.shipped
}

// What is decided from the history of an entity is appended only if that history is still the same;
// if another writer was faster, read and decide again.
func ExampleExactly() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	order := store.At("order:42", "shop")
	for try := 1; ; try++ {
		version, err := lastVersion(ctx, st, order.Entity)
		if err != nil {
			panic(err)
		}
		if try == 1 { // meanwhile, somewhere else
			if _, err := st.Append(ctx, order, store.Any, Placed{SKU: "lamp"}); err != nil {
				panic(err)
			}
		}
		receipt, err := st.Append(ctx, order, store.Exactly(version), Shipped{}) // Exactly(0) is Absent
		if errors.Is(err, store.ErrConflict) {
			fmt.Println(err)
			continue
		}
		if err != nil {
			panic(err)
		}
		fmt.Println("appended as version", receipt.Events[0].Version)
		return
	}
	// Output:
	// store: entity "order:42" is at version 1, expected absent
	// appended as version 2
}

// lastVersion returns 0 for an entity without events.
func lastVersion(ctx context.Context, st *store.Store, entity string) (uint64, error) {
	var version uint64
	for e, err := range st.Read(ctx, store.Region{Entity: entity}, store.Beginning()) {
		if err != nil {
			return 0, err
		}
		if e.Coordinate.Entity == entity { // and not "order:42:item:1"
			version = e.Version
		}
	}
	return version, nil
}
