package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// An operator gives a checkpoint another name while no worker runs. What is parked, a pause and the
// audit events move with it, and the first name stays known: effects outside the store keep their
// keys.
func ExampleApply_rename() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	orders := checkpoint.Binding{Region: store.Region{Entity: "order"}}
	if _, err := checkpoint.Acquire(ctx, st, "ship", orders); err != nil { // the worker has run
		log.Fatal(err)
	}

	out, err := checkpoint.Apply(ctx, st, "ship", checkpoint.Rename{To: "dispatch"},
		checkpoint.Request{Reason: "the team calls it so", By: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out)

	lease, err := checkpoint.Acquire(ctx, st, "dispatch", orders)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lease.ID(), "was first", lease.Record().FirstName(lease.ID()))
	_, err = checkpoint.Acquire(ctx, st, "ship", orders) // a program that was not changed
	fmt.Println(errors.Is(err, checkpoint.ErrRenamed), err)
	// Output:
	// rename to "dispatch": from 0 to 0, undone by: rename to "ship"
	// dispatch was first ship
	// true checkpoint "ship": was renamed to "dispatch", and the former name stays with it
}
