package store_test

import (
	"context"
	"fmt"
	"os"

	"github.com/penstock-io/penstock/store"
)

type Signed struct{ Name string }

func (Signed) Kind() string { return "customer.signed" }

// A customer asks to be forgotten. What was said of them goes from the disk; that it was said,
// when, and in which order, stays, and the chain of hashes still holds.
func ExampleErase() {
	dir, err := os.MkdirTemp("", "erase")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	ctx := context.Background()
	for _, name := range []string{"Ada", "Ada L."} {
		if _, err := st.Append(ctx, store.At("customer:7", "shop"), store.Any, Signed{Name: name}); err != nil {
			panic(err)
		}
	}

	report, err := store.Erase(ctx, st, store.Erasure{
		Entity: "customer:7", Reason: "ticket 4711", By: "data protection",
		// In a program with workers, Sides: checkpoint.ErasedSides(st), or reactor.ErasedSides with
		// reactors that keep a state: so texts of errors and states go, too.
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(report.Events), "events in", report.Segments, "segment")
	for e, err := range store.History(ctx, st, "customer:7") { // checks the chain
		if err != nil {
			panic(err)
		}
		by, _ := e.Erased()
		fmt.Printf("%d %s: %d bytes, erased by %s for %s\n", e.Version, e.Kind, len(e.Payload), by.By, by.Reason)
	}
	// Output:
	// 2 events in 1 segment
	// 1 customer.signed: 0 bytes, erased by data protection for ticket 4711
	// 2 customer.signed: 0 bytes, erased by data protection for ticket 4711
}
