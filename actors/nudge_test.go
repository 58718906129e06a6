package actors_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestWhatWaitsInABackoffIsTriedAtOnceWhenItIsNudged(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			ill := sick()
			w := poisoned(ill, 3)
			w.Lanes, w.Policy.Backoff = lanes, supervision.Backoff{Initial: time.Hour, Max: time.Hour}
			sys := start(t, st, w)
			receipt := appendInputs(t, st, 21)
			synctest.Wait()
			began := time.Now()
			for range 5 { // it fails each time, and that is no attempt
				require.NoError(t, actors.Nudge(sys, "w", "in:2"))
				require.NoError(t, actors.Nudge(sys, "w", "in:1"), "of which nothing waits")
				synctest.Wait()
			}
			require.Empty(t, parkedOf(t, sys))
			ill.Store(false)
			require.NoError(t, actors.Nudge(sys, "w", "in:2"))
			require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
			require.Less(t, time.Since(began), time.Hour/2)
			require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
			requirePerKey(t, st)
		})
	}
}

func TestANudgeIsAnsweredWhereItCannotReachItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, handling("halted", func(context.Context, *cursor.Batch) error { return supervision.Halt(errBroken) }), reacting("w"))
		appendInputs(t, st, 1)
		synctest.Wait()
		require.ErrorIs(t, actors.Nudge(sys, "w2", "in:0"), actors.ErrUnknownWorker)
		require.ErrorIs(t, actors.Nudge(sys, "halted", "in:0"), actors.ErrHalted)
		require.NoError(t, actors.Nudge(sys, "w", "in:0"))
		_ = sys.Stop(t.Context())
		require.ErrorIs(t, actors.Nudge(sys, "w", "in:0"), actors.ErrStopped)
	})
}

// What one worker says to another, or a lane to a key of its own worker, waits for neither.
func TestAHandlerMayNudgeItsOwnWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys atomic.Pointer[actors.System]
		ill := sick()
		w := poisoned(ill, 1)
		w.Lanes, w.Policy.Backoff = 2, supervision.Backoff{Initial: time.Hour, Max: time.Hour}
		handle := w.Handle
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if s := sys.Load(); s != nil && b.Events[0].Coordinate.Entity == "in:1" {
				ill.Store(false)
				require.NoError(t, actors.Nudge(s, "w", "in:0"))
			}
			return handle(ctx, b)
		}
		s := start(t, st, w)
		appendInputs(t, st, 1)
		synctest.Wait()
		sys.Store(s)
		began := time.Now()
		require.NoError(t, s.WaitApplied(t.Context(), "w", appendAll(t, st, input(0), input(1))))
		require.Less(t, time.Since(began), time.Hour/2)
	})
}

// Not before its batch is committed: what is nudged finds what the handler has staged.
func TestABatchNudgesAnotherKeyOfItsWorkerOnceItIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		w := poisoned(ill, 1)
		w.Lanes, w.Policy.Backoff = 2, supervision.Backoff{Initial: time.Hour, Max: time.Hour}
		handle := w.Handle
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			switch b.Events[0].Coordinate.Entity {
			case "in:1":
				ill.Store(false)
				cursor.Nudge(b, "in:0")
			case "in:0":
				if !ill.Load() {
					require.Len(t, reactions(t, st, "w"), 1)
				}
			}
			return handle(ctx, b)
		}
		s := start(t, st, w)
		appendInputs(t, st, 1)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.WaitApplied(t.Context(), "w", appendAll(t, st, input(1))))
		synctest.Wait()
		require.Less(t, time.Since(began), time.Hour/2)
		require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
	})
}
