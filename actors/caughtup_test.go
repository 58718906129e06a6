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
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// slowly is a worker that takes a second for each batch of one event, and counts them.
func slowly(handled *atomic.Int64) cursor.Worker {
	w := handling("w", func(context.Context, *cursor.Batch) error {
		time.Sleep(time.Second)
		handled.Add(1)
		return nil
	})
	w.BatchSize = 1
	return w
}

func TestWaitCaughtUpReturnsWhenAllUpToTheHeadOfTheCallIsHandled(t *testing.T) {
	for name, set := range map[string]func(*cursor.Worker){
		"plain": func(*cursor.Worker) {},
		"lanes": func(w *cursor.Worker) { w.Lanes = 3 },
		"volatile": func(w *cursor.Worker) {
			w.Volatile = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var handled atomic.Int64
				w := slowly(&handled)
				set(&w)
				appendInputs(t, st, 5)
				appendAll(t, st, noise(1))
				sys := start(t, st, w)
				caught := make(chan error, 1)
				go func() { caught <- sys.WaitCaughtUp(t.Context(), "w") }()
				synctest.Wait()
				appendInputs(t, st, 5) // after the call
				require.NoError(t, <-caught)
				require.GreaterOrEqual(t, handled.Load(), int64(5))
				require.Less(t, handled.Load(), int64(10))
				require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
				require.EqualValues(t, 10, handled.Load())
				began := time.Now()
				require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
				appendAll(t, st, noise(1))
				require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"), "nothing in between concerns it")
				require.Zero(t, time.Since(began))
				require.NoError(t, sys.Stop(t.Context()))
				require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"), "what is done is done")
				appendInputs(t, st, 1)
				require.ErrorIs(t, sys.WaitCaughtUp(t.Context(), "w"), actors.ErrStopped)
			})
		})
	}
}

func TestWaitCaughtUpWaitsForTheRestBeforeItReportsAParkedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var handled atomic.Int64
		ill := sick()
		w := slowly(&handled)
		slow := w.Handle
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if ill.Load() && b.Events[0].Position == 2 {
				return cursor.Continue, supervision.Park(errBroken)
			}
			return slow(ctx, b)
		}
		sys := start(t, st, w)
		appendInputs(t, st, 5)
		var parked *actors.EventError
		require.ErrorAs(t, sys.WaitCaughtUp(t.Context(), "w"), &parked)
		require.Equal(t, []any{store.Position(2), actors.ErrParked}, []any{parked.Event, parked.Err})
		require.EqualValues(t, 4, handled.Load())

		ill.Store(false)
		_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
		require.EqualValues(t, 5, handled.Load())
	})
}

func TestWhatWasSkippedCountsForWaitCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := poisoned(sick(), 1)
		w.Policy.Exhausted = supervision.ActionSkip
		sys := start(t, st, w)
		appendInputs(t, st, 3)
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
	})
}

func TestWaitCaughtUpReturnsWhatCannotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		inside := make(chan error, 1)
		asking := handling("asking", func(ctx context.Context, _ *cursor.Batch) error {
			inside <- sys.WaitCaughtUp(ctx, "asking")
			return nil
		})
		halting := handling("halting", func(context.Context, *cursor.Batch) error { return supervision.Halt(errBroken) })
		waiting := handling("waiting", func(context.Context, *cursor.Batch) error { return errBroken })
		waiting.Policy = steady(10, time.Hour)
		sys = start(t, st, asking, halting, waiting)
		require.ErrorIs(t, sys.WaitCaughtUp(t.Context(), "absent"), actors.ErrUnknownWorker)
		appendInputs(t, st, 1)
		require.ErrorIs(t, <-inside, actors.ErrInsideHandler)
		require.ErrorIs(t, sys.WaitCaughtUp(t.Context(), "halting"), actors.ErrHalted)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, sys.WaitCaughtUp(ctx, "waiting"), context.DeadlineExceeded)
	})
}

func TestAVolatileReactorHandlesTheWholeLogAtEachStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		at := store.At("scales:1", "test")
		appendAll(t, st, store.Proposal{At: at, Payload: weighedOnce{1}}, store.Proposal{At: at, Payload: weighed{2}})
		for range 2 {
			var sum, restarts atomic.Int64
			index := reactor.New("index", reactor.On(func(_ context.Context, e reactor.Event[weighed], _ *reactor.Reactions) error {
				if e.Body.Grams == 2 && restarts.Add(1) == 1 {
					panic("once")
				}
				sum.Add(int64(e.Body.Grams))
				return nil
			}))
			same := func(data []byte) ([]byte, error) { return data, nil }
			index.Types, index.Volatile = reactor.NewTypes(reactor.TypeOf[weighed](reactor.Upcast(1, same))), true
			index.BatchSize = 1
			sys := start(t, st, index)
			require.NoError(t, sys.WaitCaughtUp(t.Context(), "index"))
			require.EqualValues(t, 3, sum.Load(), "what was handled before a restart is not handled again")
			require.NoError(t, sys.Stop(t.Context()))
		}
		_, err := checkpoint.Inspect(st, "index")
		require.ErrorIs(t, err, checkpoint.ErrNotFound)
	})
}

func TestAVolatileReactorThatEmitsIsHalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		index := reactor.New("index", reactor.On(func(_ context.Context, e reactor.Event[weighed], out *reactor.Reactions) error {
			out.Append(store.At("out:index", "test"), reacted{For: e.Position})
			return nil
		}))
		index.Volatile = true
		sys := start(t, st, index)
		appendAll(t, st, store.Proposal{At: store.At("scales:1", "test"), Payload: weighed{2}})
		err := sys.WaitCaughtUp(t.Context(), "index")
		require.ErrorIs(t, err, actors.ErrHalted)
		require.ErrorIs(t, err, reactor.ErrVolatile)
		require.Empty(t, reactions(t, st, "index"))
	})
}

func TestWaitCaughtUpWaitsForWhatAnotherLaneHasOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var slow atomic.Bool
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 1 {
				time.Sleep(time.Minute)
				slow.Store(true)
			}
			return nil
		})
		w.Lanes = 2
		sys := start(t, st, w)
		second := appendInputs(t, st, 2).Events[1]
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receiptOf(t, st, second.Position)))
		require.False(t, slow.Load())
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
		require.True(t, slow.Load())
	})
}

func TestAWorkerThatHasNotBegunIsNotCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := reacting("w")
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
			return 0, supervision.Wait(errBroken)
		}
		sys := start(t, memory(t, store.Options{}), w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, sys.WaitCaughtUp(ctx, "w"), context.DeadlineExceeded)
	})
}

func TestAPausedOrRewoundWorkerIsNotCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var handled atomic.Int64
		sys := start(t, st, slowly(&handled))
		appendInputs(t, st, 2)
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Rewind{}))
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
		require.EqualValues(t, 4, handled.Load())

		require.NoError(t, sys.Pause(t.Context(), "w", time.Now().Add(time.Hour), checkpoint.Request{}))
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"), "it has nothing to do")
		appendInputs(t, st, 1)
		began := time.Now()
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
		require.Equal(t, time.Hour+time.Second, time.Since(began))
	})
}

// What it had parked before it became volatile lies in the log, and means nothing to it.
func TestAVolatileWorkerIsCaughtUpWhateverAFormerOneHasParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		w := poisoned(ill, 1)
		appendInputs(t, st, 2)
		sys := start(t, st, w)
		require.ErrorIs(t, sys.WaitCaughtUp(t.Context(), "w"), actors.ErrParked)
		require.NoError(t, sys.Stop(t.Context()))
		ill.Store(false)
		w.Volatile = true
		sys = start(t, st, w)
		require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
	})
}

func TestAVolatileReactorIsHaltedByWhatOnlyANewerBuildReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		index := reactor.New("index", reactor.On(
			func(context.Context, reactor.Event[weighedOnce], *reactor.Reactions) error { return nil }))
		index.Volatile = true
		sys := start(t, st, index)
		appendAll(t, st, store.Proposal{At: store.At("scales:1", "test"), Payload: weighed{2}})
		err := sys.WaitCaughtUp(t.Context(), "index")
		require.ErrorIs(t, err, actors.ErrHalted)
		require.ErrorIs(t, err, reactor.ErrPayload)
	})
}
