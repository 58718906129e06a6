package actors_test

import (
	"context"
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

// opening is a worker that begins by what open says.
func opening(open func(*cursor.Opening) error) cursor.Worker {
	w := reacting("w")
	w.Open = func(_ context.Context, o *cursor.Opening) error { return open(o) }
	return w
}

// What only another program can mend is an error of the start, as other kinds are, with all others
// that are wrong.
func TestNothingStartsWhereAWorkerThatOpensSaysHalt(t *testing.T) {
	st := memory(t, store.Options{})
	another := opening(func(*cursor.Opening) error { return supervision.Halt(checkpoint.ErrCorrupt) })
	another.Name = "v"
	halts := opening(func(*cursor.Opening) error { return supervision.Halt(errBroken) })
	called := make(chan struct{}, 1)
	good := handling("good", func(context.Context, *cursor.Batch) error {
		called <- struct{}{}
		return nil
	})
	appendInputs(t, st, 3)
	sys, err := actors.Start(t.Context(), st, actors.Options{}, tree(good, halts, another))
	require.Nil(t, sys)
	for _, want := range []error{actors.ErrChild, cursor.ErrOpen, errBroken, checkpoint.ErrCorrupt} {
		require.ErrorIs(t, err, want)
	}
	require.ElementsMatch(t, []string{"test/w", "test/v"}, childErrors(err))
	require.Empty(t, called)

	sys = start(t, st, good)
	require.ErrorIs(t, sys.Add(t.Context(), "test", halts, checkpoint.Request{}), errBroken)
	require.Equal(t, []string{"test/good"}, names(sys))
}

// Later it halts the worker alone, until it is resumed.
func TestAWorkerThatSaysHaltWhenItOpensAgainIsHalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var opened atomic.Int32
		w := opening(func(*cursor.Opening) error {
			if opened.Add(1) == 2 {
				return supervision.Halt(errBroken)
			}
			return nil
		})
		var panicked atomic.Bool
		react := w.Handle
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if panicked.CompareAndSwap(false, true) {
				panic("once")
			}
			return react(ctx, b)
		}
		sys := start(t, st, w, reacting("other"))
		receipt := appendInputs(t, st, 1)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipt), errBroken)
		require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
		require.NoError(t, sys.WaitApplied(t.Context(), "other", receipt))
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		require.EqualValues(t, 3, opened.Load())
		requireExactlyOnce(t, st, "w")
	})
}

// It is tried again as any other failure to start, with the delays of the policy.
func TestAWorkerThatDoesNotOpenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		began := time.Now()
		tries := 0
		w := opening(func(*cursor.Opening) error {
			if tries++; tries < 4 {
				return errBroken
			}
			return nil
		})
		w.Policy = steady(10, time.Minute)
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 2)))
		require.Equal(t, 3*time.Minute, time.Since(began).Truncate(time.Minute))
		requireExactlyOnce(t, st, "w")
	})
}

// A stop does not wait for one that opens, but its context ends.
func TestAStopEndsTheContextOfAWorkerThatOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		first := true
		w := opening(func(*cursor.Opening) error { return errBroken })
		w.Open = func(ctx context.Context, _ *cursor.Opening) error {
			if first {
				first = false
				return errBroken
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		w.Policy = steady(10, time.Minute)
		sys := start(t, st, w)
		time.Sleep(2 * time.Minute)
		stopped := time.Now()
		_ = sys.Stop(t.Context())
		require.Less(t, time.Since(stopped), time.Minute)
	})
}
