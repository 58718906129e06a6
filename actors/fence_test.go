package actors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// fenceWith opens a fence in which events are staged.
func fenceWith(t *testing.T, st *store.Store, events ...store.Proposal) (*store.Fence, store.Receipt) {
	t.Helper()
	f, err := store.OpenFence(t.Context(), st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
	require.NoError(t, err)
	r, err := f.Stage(t.Context(), store.Batch{Events: events})
	require.NoError(t, err)
	return f, r
}

// appliedLater waits for a worker on another goroutine.
func appliedLater(t *testing.T, sys *actors.System, worker string, r store.Receipt) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- sys.WaitApplied(t.Context(), worker, r) }()
	return done
}

func TestWorkersHandleWhatAFenceHoldsBackOnceItIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		synctest.Wait()
		f, staged := fenceWith(t, st, input(1), input(2))
		after := appendInputs(t, st, 1)
		waiting := []<-chan error{appliedLater(t, sys, "w", staged), appliedLater(t, sys, "w", after)}
		synctest.Wait()
		require.Zero(t, statusOf(t, sys, "w").Position)
		for _, done := range waiting {
			require.Empty(t, done)
		}
		require.NoError(t, f.Publish(t.Context()))
		for _, done := range waiting {
			require.NoError(t, <-done)
		}
		synctest.Wait()
		require.Equal(t, store.Position(6), st.Head(), "three inputs, three reactions")
		require.NoError(t, sys.Stop(t.Context()))
	})
}

// A worker that runs tells its gaps, and what it will never see it is not waited for.
func TestARunningWorkerTellsWhatACancelledFenceHides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := reacting("w")
		w.Gaps = 4
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		f, staged := fenceWith(t, st, input(1), input(2))
		done := appliedLater(t, sys, "w", staged)
		synctest.Wait()
		require.Empty(t, done)
		require.NoError(t, f.Cancel(t.Context()))
		require.ErrorIs(t, <-done, store.ErrFenceCancelled)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", staged), store.ErrFenceCancelled)
		last := appendInputs(t, st, 1)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", last))
		gaps, dropped, err := sys.TakeGaps(t.Context(), "w")
		require.NoError(t, err)
		require.Zero(t, dropped)
		first, to := staged.Events[0].Position, staged.Position()
		require.Equal(t, []cursor.Gap{{Expected: 2, Delivered: last.Position(), Cancelled: []store.Range{{From: first, To: to}}}}, gaps)
		require.NoError(t, sys.Stop(t.Context()))
	})
}

// A reaction of which a fence has the entity is no attempt: it is written when the fence has ended.
func TestAReactionWaitsForTheFenceThatHasItsEntity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 2)))
		request := checkpoint.Request{By: "test", Reason: "test"}
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, request))
		appendInputs(t, st, 1)
		held, _ := fenceWith(t, st, store.Proposal{At: store.At("out:w", "test"), Payload: reacted{}})
		require.NoError(t, sys.Resume(t.Context(), "w", request))
		synctest.Wait()
		status := statusOf(t, sys, "w")
		require.Equal(t, actors.Retrying, status.State)
		require.ErrorIs(t, status.Reason, store.ErrReserved)
		time.Sleep(10 * time.Second) // more than any ladder has
		synctest.Wait()
		require.Zero(t, statusOf(t, sys, "w").Parked)
		require.NoError(t, held.Publish(t.Context()))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, actors.Idle, statusOf(t, sys, "w").State)
		version, err := st.Version(t.Context(), "out:w")
		require.NoError(t, err)
		require.Equal(t, uint64(4), version, "three reactions, and what was staged")
		require.NoError(t, sys.Stop(t.Context()))
	})
}
