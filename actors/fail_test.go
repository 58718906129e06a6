package actors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func TestASecondSystemWithTheSameWorkerFencesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		inFlight, release := make(chan struct{}, 1), make(chan struct{})
		old := start(t, st, handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position > 3 {
				inFlight <- struct{}{}
				<-release
			}
			return nil
		}), reacting("other"))
		require.NoError(t, old.WaitApplied(t.Context(), "w", appendInputs(t, st, 3)))
		second := appendInputs(t, st, 3)
		<-inFlight
		young := start(t, st, reacting("w"))
		require.NoError(t, young.WaitApplied(t.Context(), "w", second))
		close(release) // what the old one handled is refused
		err := old.WaitApplied(t.Context(), "w", second)
		require.ErrorIs(t, err, actors.ErrHalted)
		require.ErrorIs(t, err, checkpoint.ErrFenced)
		requireExactlyOnce(t, st, "w")

		third := appendInputs(t, st, 3)
		require.NoError(t, old.WaitApplied(t.Context(), "other", third))
		require.NoError(t, young.WaitApplied(t.Context(), "w", third))
		time.Sleep(time.Hour)
		requireExactlyOnce(t, st, "w")
		require.Zero(t, statusOf(t, old, "w").Restarts)
		require.ErrorIs(t, old.Stop(t.Context()), checkpoint.ErrFenced)
		require.NoError(t, young.Stop(t.Context()))
	})
}

func TestAClosedStoreEndsTheSystemAndErrReportsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		entered, cause := make(chan struct{}), make(chan error, 1)
		bad := handling("retrying", func(context.Context, *cursor.Batch) error { return errBroken })
		bad.Policy = steady(10, time.Hour)
		sys := start(t, st, reacting("idle"), bad, handling("busy", func(ctx context.Context, _ *cursor.Batch) error {
			close(entered)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		}))
		receipt := appendInputs(t, st, 1)
		<-entered
		require.NoError(t, sys.WaitApplied(t.Context(), "idle", receipt))
		began := time.Now()
		waited := make(chan error)
		go func() { waited <- sys.WaitApplied(t.Context(), "retrying", receipt) }()
		synctest.Wait()
		require.NoError(t, st.Close())
		<-sys.Done()
		require.ErrorIs(t, <-cause, store.ErrClosed, "the handler sees the cause")
		require.ErrorIs(t, sys.Err(), store.ErrClosed)
		require.NotErrorIs(t, sys.Err(), actors.ErrHalted, "the workers are not to blame")
		err := <-waited
		require.ErrorIs(t, err, actors.ErrStopped)
		require.ErrorIs(t, err, store.ErrClosed)
		require.ErrorIs(t, sys.Stop(t.Context()), store.ErrClosed)
		require.Zero(t, time.Since(began))
		for _, w := range sys.Status().Workers {
			require.Equal(t, actors.Stopped, w.State, w.Name)
		}
	})
}

func TestAFailedStoreEndsTheSystemDespiteAHungHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		sys := start(t, st, handling("stuck", func(context.Context, *cursor.Batch) error {
			<-release
			return nil
		}))
		appendInputs(t, st, 1)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, st.Close())
		<-sys.Done()
		require.Equal(t, 5*time.Second, time.Since(began))
		err := sys.Stop(t.Context())
		require.ErrorIs(t, err, store.ErrClosed)
		require.ErrorIs(t, err, actors.ErrHung)
		close(release)
	})
}

func TestARaceThatIsAlwaysLostBecomesAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		w := handling("w", nil)
		w.Policy = steady(3, time.Minute)
		w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			calls++
			b.Propose(0, store.Proposal{At: store.At("out:w", "test"), Expect: store.Exactly(7), Payload: reacted{}})
			return cursor.Continue, nil
		}
		sys := start(t, st, w)
		err := sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1))
		require.ErrorIs(t, err, actors.ErrHalted)
		require.ErrorIs(t, err, store.ErrConflict)
		require.Equal(t, 3+3, calls, "three tries at once, then three attempts")
	})
}

func TestALostRaceIsHandledAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		w := handling("w", nil)
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if calls++; calls == 1 { // another writer is faster
				_, err := st.Append(ctx, store.At("race", "test"), store.Absent, reacted{})
				require.NoError(t, err)
			}
			b.Propose(0, store.Proposal{
				At: store.At("race", "test"), Expect: store.Exactly(uint64(calls - 1)), Payload: reacted{},
			})
			return cursor.Continue, nil
		}
		sys := start(t, st, w)
		began := time.Now()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Zero(t, time.Since(began))
		require.Equal(t, 2, calls)
	})
}
