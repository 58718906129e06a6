package checkpoint_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A reader that now handles one kind more is refused its checkpoint until an operator decides about the events that it
// has passed over.
func ExampleRebind() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	reader := checkpoint.Binding{Region: store.Region{Entity: "order"}, Kinds: []string{"order.placed"}}
	if _, err := checkpoint.Acquire(ctx, st, "invoices", reader); err != nil {
		log.Fatal(err)
	}

	reader.Kinds = append(reader.Kinds, "order.cancelled")
	_, err = checkpoint.Acquire(ctx, st, "invoices", reader)
	fmt.Println(err)

	out, err := checkpoint.Apply(ctx, st, "invoices", checkpoint.Rebind{Region: reader.Region, Kinds: reader.Kinds},
		checkpoint.Request{Reason: "cancellations count from now on", By: "ann"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out)
	_, err = checkpoint.Acquire(ctx, st, "invoices", reader) // a checkpoint.Widen instead would bring the cancellations so far
	fmt.Println(err)
	// Output:
	// checkpoint "invoices": handled kinds changed, added [order.cancelled], removed []: say with NewKinds whether the past of new kinds is handled, or accept the change with checkpoint.Rebind
	// rebind to (entity=order kinds=order.cancelled,order.placed): from 0 to 0, undone by: rebind to (entity=order kinds=order.placed)
	// <nil>
}

// What an operator looks at: how far each reader has come, and in which region.
func ExampleList() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Absent, placed()); err != nil {
		log.Fatal(err)
	}
	for _, id := range []checkpoint.ID{"invoices", "search"} {
		b := checkpoint.Binding{Region: store.Region{Entity: "order", MinVersion: 1}, Start: store.Now()}
		if _, err := checkpoint.Acquire(ctx, st, id, b); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := checkpoint.Apply(ctx, st, "search", checkpoint.Reset{}, checkpoint.Request{Reason: "new mapping"}); err != nil {
		log.Fatal(err)
	}

	for info, err := range checkpoint.List(st) {
		if err != nil {
			fmt.Println(err) // of this one; the others follow
			continue
		}
		region, _ := store.RegionOf(info.Record.Region)
		fmt.Println(info.ID, "is at", info.Record.Scanned, "in", region)
	}
	// Output:
	// invoices is at 1 in entity=order versions=1..
	// search is at 0 in entity=order versions=1..
}
