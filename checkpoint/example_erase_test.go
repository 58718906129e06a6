package checkpoint_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// The error of a parked event quotes it. With these sides both are erased, and it stays parked.
func ExampleErasedSides() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	order, err := st.Append(ctx, store.At("order:42", "shop"), store.Absent, placed())
	if err != nil {
		log.Fatal(err)
	}
	parked := checkpoint.Parked{Position: order.Position(), Key: "order:42", Error: "no such street: 12 Rose Lane", Attempts: 3}
	if _, err := st.Commit(ctx, store.Batch{Sides: []store.SideWrite{parked.Write("letters")}}); err != nil { // as a worker does
		log.Fatal(err)
	}

	if _, err := store.Erase(ctx, st, store.Erasure{
		Entity: "order:42", Reason: "asked to be forgotten", By: "support", Sides: checkpoint.ErasedSides(st),
	}); err != nil {
		log.Fatal(err)
	}
	for p, err := range checkpoint.ParkedEvents(st, "letters") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.Position, p.Key, p.Error)
	}
	// Output:
	// 1 order:42 (erased)
}
