package cursor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// leased acquires the checkpoint "w", and leaves what a process leaves that died at event 2.
func leased(t *testing.T, st *store.Store) *checkpoint.Lease {
	t.Helper()
	lease, err := checkpoint.Acquire(t.Context(), st, "w", checkpoint.Binding{})
	require.NoError(t, err)
	written(t, st, lease, checkpoint.Move{
		Scanned: 4, Delivered: 4, Pending: []store.Position{2}, Trying: 2, Tries: 1,
	})
	return lease
}

func written(t *testing.T, st *store.Store, lease *checkpoint.Lease, m checkpoint.Move, sides ...store.SideWrite) {
	t.Helper()
	b := store.Batch{Sides: sides}
	lease.Stage(&b, m)
	require.NoError(t, commitStaged(t.Context(), st, lease, b))
}

func TestAnOrderLeavesTheCheckpointOfAWorkerThatDoesNotRunAsItIs(t *testing.T) {
	st := openInternal(t)
	for range 4 {
		appendSized(t, st, "order:1", 1)
	}
	want := leased(t, st).Record()
	for range 2 {
		require.NoError(t, OperatorOf(st, "w").Pause(t.Context(), time.Time{}, checkpoint.Request{}))
		want.Epoch++
		info, err := checkpoint.Inspect(st, "w")
		require.NoError(t, err)
		require.Equal(t, want, info.Record)
	}
}

func TestAnOrderIsWorkedOutAgainWhereTheWorkerCommitsInBetween(t *testing.T) {
	st := openInternal(t)
	for range 4 {
		appendSized(t, st, "order:1", 1)
	}
	lease := leased(t, st)
	parked := checkpoint.Parked{Position: 3, Key: "k", Error: "broken", Since: st.Now()}
	looks := 0
	a := absent{st: st, id: "w"}
	decide := func(ctx context.Context, st *store.Store, list *parkedList, f ParkedFilter) (parkedOrder, error) {
		o, err := replayOrder(ctx, st, list, f)
		if looks++; looks == 1 {
			parked.Position = 4
			written(t, st, lease, unmoved(lease.Record()), parked.Write("w"))
		}
		return o, err
	}
	written(t, st, lease, unmoved(lease.Record()), parked.Write("w"))
	touched, err := a.order(t.Context(), "replay", ParkedFilter{All: true}, checkpoint.Request{}, decide)
	require.NoError(t, err)
	require.Equal(t, 2, looks)
	require.Equal(t, []store.Position{3, 4}, positionsOf(touched))

	lease, err = checkpoint.Acquire(t.Context(), st, "w", checkpoint.Binding{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	err = a.operate(ctx, "pause", checkpoint.Request{}, func() (store.Batch, error) {
		written(t, st, lease, unmoved(lease.Record()))
		cancel()
		return pausing(st, "w", time.Time{}, checkpoint.Request{})
	})
	require.ErrorIs(t, err, context.Canceled)
	info, err := checkpoint.Inspect(st, "w")
	require.NoError(t, err)
	require.Nil(t, info.Pause)
}

// The text of the error was read before the erasure, and must not come back with the order.
func TestAnOrderWritesNothingOfAnEventThatWasErasedInBetween(t *testing.T) {
	st := openInternal(t)
	appendSized(t, st, "order:1", 1)
	lease, err := checkpoint.Acquire(t.Context(), st, "w", checkpoint.Binding{})
	require.NoError(t, err)
	parked := checkpoint.Parked{Position: 1, Key: "order:1", Error: "no such person: Ada", Since: st.Now()}
	written(t, st, lease, unmoved(lease.Record()), parked.Write("w"))
	looks := 0
	decide := func(ctx context.Context, st *store.Store, list *parkedList, f ParkedFilter) (parkedOrder, error) {
		o, err := replayOrder(ctx, st, list, f)
		if looks++; looks == 1 {
			_, erased := store.Erase(ctx, st, store.Erasure{
				Entity: "order:1", Reason: "asked for", By: "an officer", Sides: checkpoint.ErasedSides(st),
			})
			require.NoError(t, erased)
		}
		return o, err
	}
	_, err = absent{st: st, id: "w"}.order(t.Context(), "replay", ParkedFilter{All: true}, checkpoint.Request{}, decide)
	require.NoError(t, err)
	require.Equal(t, 2, looks)
	for p, err := range checkpoint.ParkedEvents(st, "w") {
		require.NoError(t, err)
		require.True(t, p.Replaying)
		require.Equal(t, checkpoint.ErasedText, p.Error)
	}
}
