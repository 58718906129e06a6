package reactortest_test

import (
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/supervision"
)

// An order is parked and replayed, with the power cut at each operation of the disk in turn.
func ExampleEveryCrash() {
	t := &exampleT{} // in a test, its *testing.T

	var carrier *Carrier
	tree := func() supervision.Child {
		carrier = &Carrier{down: true}
		shipping := reactor.New("shipping", reactor.On(carrier.ship))
		shipping.Policy.Attempts = 2 // then it is parked
		return shipping
	}
	reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
		run.Given(Sold{Item: "lamp"})
		run.Advance(time.Minute)
		carrier.down = false
		run.Replay("shipping", cursor.ParkedFilter{All: true})
		run.Settle()
		run.Then(Shipped{Item: "lamp"})
	})
	// Output:
}
