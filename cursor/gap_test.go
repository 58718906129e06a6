package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestAGapIsClippedToWhatLiesBetweenTwoDeliveries(t *testing.T) {
	g := gaps{limit: 4}
	g.observe(2, 8, []Range{{1, 3}, {5, 6}, {8, 9}})
	taken, dropped := g.take()
	require.Equal(t, []Gap{{Expected: 3, Delivered: 8, Cancelled: []Range{{3, 3}, {5, 6}}}}, taken)
	require.Zero(t, dropped)
	taken, _ = g.take()
	require.Empty(t, taken, "taking empties the ring")
}

func TestNoGapIsObservedWhereNothingWasCancelled(t *testing.T) {
	g := gaps{limit: 4}
	g.observe(2, 3, []Range{{1, 9}})
	g.observe(2, 8, nil)
	g.observe(2, 8, []Range{{8, 9}, {1, 2}})
	taken, _ := g.take()
	require.Empty(t, taken)
}

func TestTheOldestGapsMakeRoomAndAreCounted(t *testing.T) {
	g := gaps{limit: 2}
	for at := store.Position(10); at <= 40; at += 10 {
		g.observe(at-3, at, []Range{{at - 1, at - 1}})
	}
	taken, dropped := g.take()
	require.Len(t, taken, 2)
	require.Equal(t, store.Position(30), taken[0].Delivered)
	require.Equal(t, uint64(2), dropped)
}

func TestWithoutALimitNothingIsKept(t *testing.T) {
	var g gaps
	g.observe(1, 9, []Range{{2, 8}})
	taken, dropped := g.take()
	require.Empty(t, taken)
	require.Zero(t, dropped)
}
