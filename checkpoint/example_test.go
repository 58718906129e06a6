package checkpoint_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A reader that now handles one kind more is refused its checkpoint until an operator decides about
// the events that it has passed over.
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
	// checkpoint "invoices": handled kinds changed, added [order.cancelled], removed []: set NewKinds to choose whether events of added kinds that were passed are handled, or accept the change with checkpoint.Rebind
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

// Before something is changed, a dry run says what it would do and what would take it back.
func ExampleApply() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	for range 9 {
		if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Any, placed()); err != nil {
			log.Fatal(err)
		}
	}
	// A reader that has handled all of it; for a worker, package cursor does this.
	reader := checkpoint.Binding{Region: store.Region{Entity: "order"}}
	lease, err := checkpoint.Acquire(ctx, st, "search", reader)
	if err != nil {
		log.Fatal(err)
	}
	var b store.Batch
	lease.Stage(&b, checkpoint.Move{Scanned: 9, Delivered: 9, Clean: true})
	if _, err := st.Commit(ctx, b); err != nil {
		log.Fatal(err)
	}

	rewind := checkpoint.Rewind{To: 5}
	why := checkpoint.Request{Reason: "the index was damaged", By: "ann", DryRun: true}
	would, err := checkpoint.Apply(ctx, st, "search", rewind, why)
	fmt.Println(would, err)

	why.DryRun = false
	did, err := checkpoint.Apply(ctx, st, "search", rewind, why)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := checkpoint.Apply(ctx, st, "search", did.Undo, checkpoint.Request{Reason: "it was not", By: "ann"}); err != nil {
		log.Fatal(err)
	}
	for e, err := range checkpoint.Audits(ctx, st, "search", 0) {
		if err != nil {
			log.Fatal(err)
		}
		var a checkpoint.Audit
		if err := e.Decode(&a); err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Kind, a.Position, "->", a.To, "by", a.By+":", a.Reason)
	}
	// Output:
	// rewind to 5: from 9 to 5, handled again: 4, undone by: skip to 9 <nil>
	// penstock.rewound 9 -> 5 by ann: the index was damaged
	// penstock.skipped-to 5 -> 9 by ann: it was not
}

// A reader gets another name and continues where it was. What it does to the outside world keeps
// the first name.
func ExampleRename() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	reader := checkpoint.Binding{Region: store.Region{Entity: "order"}}
	if _, err := checkpoint.Acquire(ctx, st, "ship", reader); err != nil {
		log.Fatal(err)
	}

	reader.Formerly = []checkpoint.ID{"ship"} // or checkpoint.Apply with a Rename, while no worker runs
	lease, err := checkpoint.Acquire(ctx, st, "deliver", reader)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lease.ID(), "was first", lease.Record().FirstName(lease.ID()))

	_, err = checkpoint.Acquire(ctx, st, "ship", checkpoint.Binding{})
	fmt.Println(err)
	// Output:
	// deliver was first ship
	// checkpoint "ship": was renamed to "deliver", and the former name stays with it
}
