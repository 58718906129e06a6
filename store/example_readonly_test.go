package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/penstock-io/penstock/store"
)

// Any number of processes may read a directory beside the one that writes it. They take no lock and
// change nothing.
func ExampleOptions_readOnly() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "penstock")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	writer, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	defer writer.Close()

	reader, err := store.Open(dir, store.Options{ReadOnly: true}) // in another process
	if err != nil {
		panic(err)
	}
	defer reader.Close()

	if _, err := writer.Append(ctx, store.At("order:42", "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil {
		panic(err)
	}
	head, err := reader.Wait(ctx, 0) // looks for new events every 20 ms
	if err != nil {
		panic(err)
	}
	e, err := reader.GetAt(ctx, head)
	if err != nil {
		panic(err)
	}
	fmt.Println(e.Position, e.Coordinate, e.Kind)

	_, err = reader.Append(ctx, store.At("order:42", "shop"), store.Any, Shipped{})
	fmt.Println(errors.Is(err, store.ErrReadOnly))
	// Output:
	// 1 order:42@shop order.placed
	// true
}
