package reactortest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
)

type Payout struct{ Order string }

func (Payout) Kind() string { return "order.payout" }

type PaidOut struct{ Order string }

func (PaidOut) Kind() string { return "order.paid-out" }

type PayoutFailed struct{ Order, Why string }

func (PayoutFailed) Kind() string { return "order.payout-failed" }

// bank knows no card of order 2.
func bank(_ context.Context, e reactor.Event[Payout], out *reactor.Reactions) error {
	if e.Body.Order == "2" {
		return reactor.Park(errors.New("no such card")) // or attempt after attempt fails
	}
	out.Append(e.Coordinate, PaidOut(e.Body))
	return nil
}

// unpaid answers where bank could not: what waits for the money hears of it.
func unpaid(_ context.Context, e reactor.Event[Payout], why reactor.Failure, out *reactor.Reactions) error {
	out.Append(e.Coordinate, PayoutFailed{Order: e.Body.Order, Why: fmt.Sprintf("after %d attempt: %v", why.Attempts, why.Err)})
	return nil
}

// An event that fails for good is answered in place of being parked.
func Example_givenUp() {
	t := &exampleT{} // in a test, its *testing.T
	run := reactortest.Start(t, reactor.New("payouts", reactor.On(bank), reactor.OnGivenUp(unpaid)))
	for _, order := range []string{"1", "2"} {
		run.Given(reactortest.At(store.At("order:"+order, "shop"), Payout{Order: order}))
	}
	run.Settle()
	fmt.Println(reactortest.Of[PaidOut](run), reactortest.Of[PayoutFailed](run), len(run.Parked("payouts")), "parked")
	// Output:
	// [{1}] [{2 after 1 attempt: event 2, attempt 1: park: no such card}] 0 parked
}
