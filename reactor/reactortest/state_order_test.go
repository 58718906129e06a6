package reactortest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/supervision"
)

// Two reactors whose states rest on each other's events: each is decided by its own order of them,
// in whatever order their steps are taken.
func TestStatesHoldInEveryOrderOfSteps(t *testing.T) {
	tree := func() supervision.Child {
		asks := reactor.New("asks", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
			out.Append(e.Coordinate, wanted{Order: e.Coordinate.Entity, SKU: "lamp"})
			return nil
		}))
		keeps, _ := shelves(0)
		return supervision.Group{Name: "shop", Children: []supervision.Child{asks, keeps}}
	}
	reactortest.EveryOrder(t, tree, func(run *reactortest.Run) {
		run.Given(arrived{"lamp", 2}, order(1))
		run.Given(order(2), order(3), arrived{"lamp", 1}, order(4))
		run.Settle()
		reserved := reactortest.Of[reserved](run)
		s := reactortest.State[shelf](run, "shelves", "lamp")
		require.Equal(t, 4, s.Asked)
		require.Len(t, reserved, s.Taken)
		require.Equal(t, 3, s.Taken+s.Left)
	})
}
