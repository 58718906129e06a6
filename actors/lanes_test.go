package actors_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// slow is a worker with lanes whose handler takes a second for each batch.
func slow(lanes int) cursor.Worker {
	var busy sync.Map // keys in flight
	w := handling("w", func(_ context.Context, b *cursor.Batch) error {
		key := b.Events[0].Coordinate.Entity
		if _, already := busy.LoadOrStore(key, true); already {
			panic("two at a time for " + key)
		}
		defer busy.Delete(key)
		for _, e := range b.Events {
			if e.Coordinate.Entity != key {
				panic("a batch with several keys")
			}
		}
		time.Sleep(time.Second)
		return nil
	})
	w.Lanes, w.BatchSize = lanes, 1
	return w
}

func TestLanesHandleDifferentKeysAtOnceAndEachKeyInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := slow(7)
		sys := start(t, st, w)
		began := time.Now()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 21)))
		require.Equal(t, 3*time.Second, time.Since(began))
		requirePerKey(t, st)
	})
}

func TestARetryInOneLaneHoldsUpOnlyItsKeyAndStatusNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 3 {
				return errBroken
			}
			return nil
		})
		w.Lanes, w.Policy = 2, steady(5, time.Hour)
		w.BatchSize = 4
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 21)
		time.Sleep(time.Minute)
		require.Len(t, reactions(t, st, "w"), 18)
		s := statusOf(t, sys, "w")
		require.Equal(t, store.Position(3), s.OldestPending)
		require.Equal(t, "in:2", s.OldestPendingKey)
		require.Equal(t, store.Position(2), s.Position)
		require.Equal(t, 3, s.Lag)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Error(t, sys.WaitApplied(short, "w", receipt))
		later := appendAll(t, st, input(0))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", later), "what is done above the floor is done")
		require.Equal(t, []store.Position{3, 10, 17}, record(t, st, "w").Record.Pending)
		require.NoError(t, sys.Stop(t.Context()))

		again := handling("w", func(context.Context, *cursor.Batch) error { return nil })
		again.Lanes = 2
		sys = start(t, st, again)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		requirePerKey(t, st)
	})
}

func TestAPanicInOneLaneLosesNothingThatOthersHaveDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var mu sync.Mutex
		handled := make(map[store.Position]int)
		broken := 2
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			time.Sleep(time.Duration(b.Events[0].Position) * time.Second)
			mu.Lock()
			defer mu.Unlock()
			for _, e := range b.Events {
				handled[e.Position]++
				if e.Position == 4 && broken > 0 {
					broken--
					panic("x")
				}
			}
			return nil
		})
		w.Lanes, w.BatchSize = 4, 1
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 14)))
		requirePerKey(t, st)
		for p, n := range handled {
			if p != 4 {
				require.Equal(t, 1, n, "event %d", p)
			}
		}
		require.Equal(t, 3, handled[4])
	})
}

func TestAHandlerInALaneThatEndsItsGoroutineIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 2 {
				runtime.Goexit()
			}
			return nil
		})
		w.Lanes, w.BatchSize, w.Policy = 3, 1, supervision.Policy{Attempts: 2, Backoff: supervision.Backoff{Initial: time.Second}}
		sys := start(t, st, w)
		appendInputs(t, st, 7)
		time.Sleep(time.Hour)
		require.Equal(t, []store.Position{2}, parkedPositions(t, sys))
		require.Len(t, reactions(t, st, "w"), 6)
	})
}

func TestStopLetsLanesFinishAndWritesWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := slow(3)
		sys := start(t, st, w)
		appendInputs(t, st, 7)
		synctest.Wait()
		require.NoError(t, sys.Stop(t.Context()))
		done := reactions(t, st, "w")
		slices.Sort(done)
		require.Equal(t, []store.Position{1, 2, 3}, done)
		r := record(t, st, "w").Record
		require.True(t, r.Clean)
		require.True(t, r.Done(3) && !r.Done(4))
		require.Equal(t, actors.Stopped, statusOf(t, sys, "w").State)
	})
}

func TestAHungLaneIsNamedByStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 2 {
				<-release
			}
			return nil
		})
		w.Lanes, w.BatchSize = 3, 1
		sys := start(t, st, w)
		appendInputs(t, st, 7)
		synctest.Wait()
		var hung *actors.HungError
		require.ErrorAs(t, sys.Stop(t.Context()), &hung)
		require.Equal(t, []string{"w"}, hung.Workers)
		close(release)
		synctest.Wait()
	})
}

func TestHeldEventsDoNotFillTheWindowDuringASlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			switch b.Events[0].Coordinate.Entity {
			case "in:0":
				return supervision.Park(errBroken)
			case "in:1":
				<-release
			}
			return nil
		})
		w.Lanes, w.BatchSize = 2, 1 // two events may be undone
		sys := start(t, st, w)
		_ = sys.WaitApplied(t.Context(), "w", appendAll(t, st, input(0)))
		appendAll(t, st, input(1), input(0))
		synctest.Wait()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendAll(t, st, input(2))))
		require.Equal(t, store.Position(3), statusOf(t, sys, "w").OldestPending)
		close(release)
	})
}

func TestNewEventsAreHandledDuringASlowHandlerOfAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Coordinate.Entity == "in:1" {
				<-release
			}
			return nil
		})
		w.Lanes = 2
		sys := start(t, st, w)
		appendAll(t, st, input(1))
		synctest.Wait()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendAll(t, st, input(2))))
		require.Equal(t, store.Position(1), statusOf(t, sys, "w").OldestPending)
		close(release)
	})
}

// The first panic ends the incarnation; the attempts of the others must not be lost with it.
func TestEachOfSeveralPanicsAtOnceIsAnAttemptAtItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var mu sync.Mutex
		calls := make(map[store.Position]int)
		sys := start(t, st, cursor.Worker{
			Name: "w", Region: inputs, Lanes: 4, BatchSize: 1,
			Policy: supervision.Policy{Attempts: 3, Intensity: 1000},
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				mu.Lock()
				calls[b.Events[0].Position]++
				mu.Unlock()
				time.Sleep(time.Second) // so that all lanes are busy
				panic(errBroken)
			},
		})
		appendInputs(t, st, 4)
		time.Sleep(time.Hour)
		require.Equal(t, 4, statusOf(t, sys, "w").Parked)
		mu.Lock()
		defer mu.Unlock()
		for event, n := range calls { // an event to be parked as the incarnation ends may come once more
			require.LessOrEqual(t, n, 4, "event %d", event)
		}
	})
}
