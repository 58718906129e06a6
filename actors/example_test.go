package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// A worker answers each order with an invoice. Invoice and checkpoint are one write, so there is
// exactly one for each order.
func Example() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
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
	if err := sys.Stop(ctx); err != nil { // names each worker that was halted
		log.Fatal(err)
	}
	// Output:
	// invoice:order:1@shop invoice.sent
	// invoice:order:2@shop invoice.sent
}

type Placed struct{ SKU string }

func (Placed) Kind() string { return "order.placed" }

type Reserved struct{ SKU string }

func (Reserved) Kind() string { return "stock.reserved" }

type Packed struct{}

func (Packed) Kind() string { return "parcel.packed" }

// To wait for a chain of workers, wait for one after the other: the second answers the reaction of
// the first.
func ExampleSystem_WaitApplied_chain() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	reserve := func(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
		out.Append(store.At("stock:"+e.Body.SKU, "shop"), Reserved(e.Body))
		return nil
	}
	pack := func(_ context.Context, e reactor.Event[Reserved], out *reactor.Reactions) error {
		out.Append(store.At("parcel:"+e.Body.SKU, "shop"), Packed{})
		return nil
	}
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{
		reactor.New("reserve", reactor.On(reserve)),
		reactor.New("pack", reactor.On(pack)),
	}})
	if err != nil {
		log.Fatal(err)
	}

	order, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "reserve", order); err != nil {
		log.Fatal(err)
	}
	for e, err := range st.Read(ctx, store.Region{Entity: "stock"}, store.After(order.Position())) {
		if err != nil {
			log.Fatal(err)
		}
		if e.Cause != order.Events[0].ID {
			continue // the reaction to another order
		}
		reaction := store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: e.ID, Position: e.Position}}}
		if err := sys.WaitApplied(ctx, "pack", reaction); err != nil {
			log.Fatal(err)
		}
	}
	for e, err := range st.Read(ctx, store.Region{}, store.Beginning()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Position, e.Coordinate, e.Kind)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 order:1@shop order.placed
	// 2 stock:lamp@shop stock.reserved
	// 3 parcel:lamp@shop parcel.packed
}

// A halted worker is an error for every caller that waits for it, with the event that it could not
// handle.
func ExampleSystem_WaitApplied_halted() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	mailer := cursor.Worker{
		Name:   "mailer",
		Policy: supervision.Policy{Attempts: 3, Exhausted: supervision.ActionHalt, Backoff: supervision.Backoff{Initial: time.Millisecond}},
		Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
			return cursor.Continue, errors.New("mail server is gone")
		},
	}
	sys, err := actors.Start(ctx, st, actors.Options{},
		supervision.Group{Name: "shop", Children: []supervision.Child{mailer}})
	if err != nil {
		log.Fatal(err)
	}

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
	fmt.Println(sys.Stop(ctx))
	// Output:
	// halted at event 1 after 3 attempts
	// halted
	// actors: worker "mailer" is halted: event 1, attempts used up (3), last error: mail server is gone
}
