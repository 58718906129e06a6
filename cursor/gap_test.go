package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// gapLog is a log of events 1 to 9, of which fences that were cancelled hide some.
func gapLog(t *testing.T, hidden ...store.Position) *store.Store {
	t.Helper()
	st := openInternal(t)
	for p := store.Position(1); p <= 9; p++ {
		commit := st.Commit
		var fence *store.Fence
		for _, h := range hidden {
			if h == p {
				var err error
				fence, err = store.OpenFence(t.Context(), st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
				require.NoError(t, err)
				commit = fence.Stage
			}
		}
		_, err := commit(t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("a", "test"), Payload: store.Raw{Type: "k"}}}})
		require.NoError(t, err)
		if fence != nil {
			require.NoError(t, fence.Cancel(t.Context()))
		}
	}
	return st
}

func TestAGapIsClippedToWhatLiesBetweenTwoDeliveries(t *testing.T) {
	st := gapLog(t, 2, 3, 5, 6, 8, 9)
	g := gaps{limit: 4}
	g.observe(st, 2, 8)
	taken, dropped := g.take()
	require.Equal(t, []Gap{{Expected: 3, Delivered: 8, Cancelled: []store.Range{{From: 3, To: 3}, {From: 5, To: 6}}}}, taken)
	require.Zero(t, dropped)
	taken, _ = g.take()
	require.Empty(t, taken, "taking empties the ring")
}

func TestNoGapIsObservedWhereNothingWasCancelled(t *testing.T) {
	st := gapLog(t, 1, 2, 8)
	g := gaps{limit: 4}
	g.observe(st, 2, 3)
	g.observe(st, 2, 8)
	g.observe(st, 8, 9)
	taken, _ := g.take()
	require.Empty(t, taken, "a range of which nothing lies between is none")
}

func TestTheOldestGapsMakeRoomAndAreCounted(t *testing.T) {
	st := gapLog(t, 2, 4, 6, 8)
	g := gaps{limit: 2}
	for at := store.Position(3); at <= 9; at += 2 {
		g.observe(st, at-2, at)
	}
	taken, dropped := g.take()
	require.Len(t, taken, 2)
	require.Equal(t, store.Position(7), taken[0].Delivered)
	require.Equal(t, uint64(2), dropped)
}

func TestWithoutALimitNothingIsKept(t *testing.T) {
	var g gaps
	g.observe(gapLog(t, 2), 1, 9)
	taken, dropped := g.take()
	require.Empty(t, taken)
	require.Zero(t, dropped)
}
