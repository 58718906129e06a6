package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A worker answers each order with an invoice. Invoice and checkpoint are one write, so that there is one for each order.
func Example() {
	ctx := context.Background()
	st, err := store.Open("", store.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	invoices := cursor.Worker{
		Name:   "invoices",
		Region: store.Region{Entity: "order"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.React(i, store.At("invoice:"+e.Coordinate.Entity, "shop"), store.Raw{Type: "invoice.sent"})
			}
			return cursor.Continue, nil
		},
	}
	sys, err := actors.Start(ctx, st, actors.Options{},
		supervision.Group{Name: "shop", Children: []supervision.Child{invoices}})
	if err != nil {
		log.Fatal(err)
	}
	defer sys.Stop(ctx)

	var last store.Receipt
	for _, order := range []string{"order:1", "order:2"} {
		if last, err = st.Append(ctx, store.At(order, "shop"), store.Absent, store.Raw{Type: "order.placed"}); err != nil {
			log.Fatal(err)
		}
	}
	if err := sys.WaitApplied(ctx, "invoices", last); err != nil {
		log.Fatal(err)
	}
	for e, err := range st.Read(ctx, store.Region{Entity: "invoice"}, store.Beginning()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Coordinate, e.Kind)
	}
	// Output:
	// invoice:order:1@shop invoice.sent
	// invoice:order:2@shop invoice.sent
}

// A worker that is given up is an error for everybody who asks, with the event that it could not handle.
func ExampleSystem_WaitApplied_halted() {
	ctx := context.Background()
	st, err := store.Open("", store.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	mailer := cursor.Worker{
		Name:   "mailer",
		Policy: supervision.Policy{Attempts: 3, Backoff: supervision.Backoff{Initial: time.Millisecond}},
		Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
			return cursor.Continue, errors.New("mail server is gone")
		},
	}
	sys, err := actors.Start(ctx, st, actors.Options{},
		supervision.Group{Name: "shop", Children: []supervision.Child{mailer}})
	if err != nil {
		log.Fatal(err)
	}
	defer sys.Stop(ctx)

	receipt, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, store.Raw{Type: "order.placed"})
	if err != nil {
		log.Fatal(err)
	}
	err = sys.WaitApplied(ctx, "mailer", receipt)
	var exhausted *supervision.ExhaustedError
	if errors.Is(err, actors.ErrHalted) && errors.As(err, &exhausted) {
		fmt.Println("halted at event", exhausted.Event, "after", exhausted.Attempts, "attempts")
	}
	fmt.Println(sys.Status().Workers[0].State)
	// Output:
	// halted at event 1 after 3 attempts
	// halted
}
