package actors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestWhatIsWaitedForIsLoggedAtEachDoublingAndWatchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		st := memory(t, store.Options{})
		w := broken(func() error { return supervision.Wait(errBroken) })
		w.Policy.Backoff = supervision.Backoff{Initial: time.Second, Max: time.Second}
		sys := startWith(t, st, actors.Options{Logger: zap.New(core)}, w)
		synctest.Wait()
		seen := states(t, sys)
		appendInputs(t, st, 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Greater(t, statusOf(t, sys, "w").Attempt, 1000)
		require.Equal(t, []actors.State{actors.Running, actors.Retrying}, seen())
		require.LessOrEqual(t, logs.FilterMessage(actors.LogRetry.String()).Len(), 13)
	})
}

func TestAnOutageIsWatchedOnceWhateverEachProbeSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var probes atomic.Int64
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			return errors.New(strings.Repeat("x", int(probes.Add(1)))) //nolint:err113 // as with the number of a port in it
		})
		w.BatchSize = 1
		sys := start(t, st, w)
		synctest.Wait()
		seen := states(t, sys)
		appendInputs(t, st, 20)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, actors.Outage, statusOf(t, sys, "w").State)
		outages := 0
		for _, state := range seen() {
			if state == actors.Outage {
				outages++
			}
		}
		require.Equal(t, 1, outages)
	})
}

func TestLanesThatHandleOthersBesideARetryAreNoTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var bad atomic.Bool
		bad.Store(true)
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if bad.Load() && b.Events[0].Coordinate.Entity == "in:0" {
				return supervision.RetryAfter(time.Hour, errBroken)
			}
			return nil
		})
		w.Lanes = 2
		sys := start(t, st, w)
		synctest.Wait()
		seen := states(t, sys)
		appendInputs(t, st, 1)
		for i := range 100 {
			appendAll(t, st, input(1+i%6))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.Equal(t, uint64(100), statusOf(t, sys, "w").Handled)
		told := seen()
		require.Equal(t, actors.Retrying, told[len(told)-1])
		require.LessOrEqual(t, len(told), 4)
		bad.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		told = seen()
		require.Equal(t, actors.Idle, told[len(told)-1])
		require.Zero(t, statusOf(t, sys, "w").Lag)
	})
}

func TestTransitionsAreNumberedWithoutAHoleOverAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		workers := []supervision.Child{
			handling("a", func(context.Context, *cursor.Batch) error { return nil }),
			handling("b", func(context.Context, *cursor.Batch) error { return nil }),
			broken(func() error { return errBroken }),
		}
		sys := start(t, st, workers...)
		for range 20 {
			appendInputs(t, st, 3)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		at := sys.Status().Transition
		require.Greater(t, at, uint64(20))
		appendInputs(t, st, 3)
		synctest.Wait()
		require.NoError(t, sys.Stop(t.Context()))

		all := slices.Collect(sys.Watch(t.Context(), 0))
		for i, one := range all {
			require.Equal(t, uint64(i+1), one.Number)
			require.Zero(t, one.Missed)
		}
		require.Greater(t, uint64(len(all)), at)
		require.Equal(t, all[at:], slices.Collect(sys.Watch(t.Context(), at)), "since the status")
		require.Empty(t, slices.Collect(sys.Watch(t.Context(), uint64(len(all)))))
		require.Empty(t, slices.Collect(sys.Watch(t.Context(), actors.FromNow)))
		require.Equal(t, all, slices.Collect(sys.Watch(t.Context(), uint64(len(all))+1)), "of another system")
	})
}

func TestAWatcherWhoseContextEndsIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error { return nil }))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		all := sys.Watch(ctx, actors.FromNow)
		ended := make(chan int)
		go func() {
			n := 0
			for range all {
				n++
			}
			ended <- n
		}()
		appendInputs(t, st, 1)
		synctest.Wait()
		cancel()
		require.Equal(t, 2, <-ended, "running, and idle")
	})
}

// states returns the states that a watcher was told so far, each of which must continue the one
// before.
func states(tb testing.TB, sys *actors.System) func() []actors.State {
	tb.Helper()
	told := make(chan actors.Transition, 1000)
	all := sys.Watch(tb.Context(), actors.FromNow)
	go func() { // ends with the system
		for one := range all {
			told <- one
		}
	}()
	var list []actors.State
	return func() []actors.State {
		for synctest.Wait(); len(told) > 0; {
			one := <-told
			if len(list) > 0 {
				require.Equal(tb, list[len(list)-1], one.From)
			}
			if !errors.Is(one.Reason, actors.ErrParked) { // that is no state
				list = append(list, one.To)
			}
		}
		return list
	}
}
