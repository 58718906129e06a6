package reactortest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
)

type Ordered struct{ Order string }

func (Ordered) Kind() string { return "order.ordered" }

type Paid struct{ Order string }

func (Paid) Kind() string { return "order.paid" }

// PayBy says that the time for paying an order is over.
type PayBy struct{ Order string }

func (PayBy) Kind() string { return "order.pay-by" }

type Lapsed struct{ Order string }

func (Lapsed) Kind() string { return "order.lapsed" }

// Payment is what a reactor keeps for each order, until that is paid or lapses.
type Payment struct{ PayBy cursor.Ticket }

func (Payment) Kind() string { return "shop.payment" }

type Payments struct{}

func (Payments) ordered(_ context.Context, e reactor.Event[Ordered], p *Payment, out *reactor.Reactions) error {
	p.PayBy = out.After(30*time.Minute, e.Coordinate, PayBy(e.Body)) // an event, in the log when its time has come
	return nil
}

func (Payments) paid(_ context.Context, _ reactor.Event[Paid], p *Payment, out *reactor.Reactions) error {
	out.Cancel(p.PayBy)
	p.PayBy = ""
	return nil
}

func (Payments) payBy(_ context.Context, e reactor.Event[PayBy], p *Payment, out *reactor.Reactions) error {
	if p.PayBy != "" { // else it was paid in the same moment
		p.PayBy = ""
		out.Append(e.Coordinate, Lapsed(e.Body))
	}
	return nil
}

// An order has to be paid within half an hour. In a test that takes no time.
func Example_deadline() {
	t := &exampleT{} // in a test, its *testing.T

	var payments Payments
	run := reactortest.Start(t, reactor.New("payments",
		reactor.OnState(func(e Ordered) string { return e.Order }, payments.ordered),
		reactor.OnState(func(e Paid) string { return e.Order }, payments.paid),
		reactor.OnState(func(e PayBy) string { return e.Order }, payments.payBy)))

	run.Given(
		reactortest.At(store.At("order:1", "shop"), Ordered{"1"}),
		reactortest.At(store.At("order:2", "shop"), Ordered{"2"}))
	run.Advance(29 * time.Minute)
	run.Given(reactortest.At(store.At("order:1", "shop"), Paid{"1"}))
	run.Crash(1) // what is scheduled is in the log
	run.Advance(time.Minute)
	run.Then(PayBy{"2"}, Lapsed{"2"})
	fmt.Println(reactortest.Of[Lapsed](run))
	// Output: [{2}]
}
