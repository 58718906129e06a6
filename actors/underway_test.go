package actors_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// held is a watcher that holds up all that commit after what it is told of.
type held chan struct{}

func (h held) Published(*store.Publication) { <-h }
func (held) Ended(error)                    {}

// hold lets an input become visible, and nothing else be committed until the channel is closed.
func hold(t *testing.T, st *store.Store) held {
	t.Helper()
	h := make(held)
	stop, err := store.Watch(st, h)
	require.NoError(t, err)
	t.Cleanup(stop)
	go func() {
		_, _ = st.Commit(context.WithoutCancel(t.Context()), store.Batch{Events: []store.Proposal{input(0)}})
	}()
	synctest.Wait()
	return h
}

func TestWorkersThatWaitForTheirCommitsHaveNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 200
		st := memory(t, store.Options{})
		var handled atomic.Int64
		var children []supervision.Child
		for i := range workers {
			w := handling(fmt.Sprint("w", i), func(context.Context, *cursor.Batch) error {
				handled.Add(1)
				return nil
			})
			w.BatchSize = i % 3
			children = append(children, w)
		}
		sys := start(t, st, children...)
		synctest.Wait()
		before := runtime.NumGoroutine()
		commits := hold(t, st)
		require.EqualValues(t, workers, handled.Load())
		require.Less(t, runtime.NumGoroutine(), before+workers/4)
		require.Zero(t, statusOf(t, sys, "w0").Handled)
		close(commits)
		for i := range workers {
			require.NoError(t, sys.WaitApplied(t.Context(), fmt.Sprint("w", i), receiptOf(t, st, 1)))
		}
		require.EqualValues(t, workers, handled.Load())
	})
}

// The mailbox is served meanwhile, but nothing is done that depends on the outcome.
func TestWhatIsOrderedWhileACommitIsUnderWayIsDoneAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error { return nil }))
		synctest.Wait()
		commits := hold(t, st)
		paused, stopped := make(chan struct{}), make(chan error, 1)
		var returned atomic.Bool
		go func() {
			_ = sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}) // or it has stopped before
			returned.Store(true)
			close(paused)
		}()
		synctest.Wait()
		require.False(t, returned.Load())
		go func() { stopped <- sys.Stop(t.Context()) }()
		synctest.Wait()
		require.Empty(t, stopped)
		close(commits)
		<-paused
		require.NoError(t, <-stopped)
		require.Equal(t, []store.Position{1}, reactions(t, st, "w"))
		require.True(t, record(t, st, "w").Record.Clean)
	})
}

// The next incarnation begins, and reads the checkpoint, once the outcome of the commit is known.
func TestAnActorThatPanicsWhileItsCommitIsUnderWayIsFollowedByTheNextAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var handled atomic.Int64
		sys := start(t, st, handling("w", func(_ context.Context, b *cursor.Batch) error {
			handled.Add(int64(len(b.Events)))
			return nil
		}))
		synctest.Wait()
		commits := hold(t, st)
		require.EqualValues(t, 1, handled.Load())
		actors.PanicOutsideHandler(sys, "w")
		time.Sleep(time.Second) // more than a restart is delayed by, less than makes it one that hangs
		require.Equal(t, actors.Restarting, statusOf(t, sys, "w").State)
		close(commits)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Equal(t, 1, statusOf(t, sys, "w").Restarts)
		require.EqualValues(t, 2, handled.Load())
		requireExactlyOnce(t, st, "w")
	})
}
