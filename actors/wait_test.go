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
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

func TestWaitAppliedReturnsWhenNothingUpToTheReceiptConcernsTheWorker(t *testing.T) {
	for name, region := range map[string]store.Region{
		"another entity":           {Entity: "in"},
		"another kind":             {Kinds: []string{"in.made"}},
		"another scope":            {Scope: "elsewhere"},
		"a later version":          {Entity: "noise", MinVersion: 3},
		"the reserved scope":       {Scope: store.ReservedScope},
		"another category of kind": {Category: "in"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				appendAll(t, st, noise(1))
				w := reacting("w")
				w.Region = region
				sys := start(t, st, w)
				synctest.Wait()
				before := statusOf(t, sys, "w")
				receipt := appendAll(t, st, noise(1))
				synctest.Wait()
				require.Equal(t, before.Position, statusOf(t, sys, "w").Position, "it was woken for nothing")
				began := time.Now()
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				require.Zero(t, time.Since(began))
			})
		})
	}
}

func TestWaitAppliedReturnsAtOnceWhatCannotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, other := memory(t, store.Options{}), memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		receipt := appendInputs(t, st, 1)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "absent", receipt), actors.ErrUnknownWorker)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", store.Receipt{}), actors.ErrEmptyReceipt)
		foreign := appendInputs(t, other, 1)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", foreign), store.ErrForeignHistory)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		sides, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: "k"}}})
		require.NoError(t, err)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", sides), "a commit without events")

		require.NoError(t, sys.Stop(t.Context()))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt), "what is done is done")
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendAll(t, st, noise(1))), "it is none of its business")
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)), actors.ErrStopped)
	})
}

// The log is taken back to a copy of an earlier time, and continues with other events.
func TestAReceiptIsAcceptedInALogThatHasItsEventsAndInNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{Sync: store.SyncNever})
		require.NoError(t, err)
		defer st.Close()
		kept := appendInputs(t, st, 3)
		restored, err := disk.Rebooted(1).Open("data", store.Options{})
		require.NoError(t, err)
		defer restored.Close()
		lost := appendInputs(t, st, 3)

		sys := start(t, restored, reacting("w"))
		require.NotEqual(t, restored.Origin(), kept.Origin, "the incarnation is another, and nothing of it is lost")
		require.NoError(t, sys.WaitApplied(t.Context(), "w", kept))
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", lost), store.ErrForeignHistory)
		later := appendInputs(t, restored, 9)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", later))
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", lost), store.ErrForeignHistory)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", kept))
		nameless := store.Receipt{Origin: restored.Origin(), Events: []store.Recorded{{Position: later.Position()}}}
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", nameless), store.ErrForeignHistory)
		require.NoError(t, sys.Stop(t.Context()))
	})
}

func TestWaitAppliedOfAnUnhandledEventEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, _, release := deaf()
		sys := start(t, st, slow)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, sys.WaitApplied(ctx, "slow", appendInputs(t, st, 1)), context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		close(release)
	})
}

func TestAHandlerMayWaitForAnotherWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		first := reacting("first")
		second := handling("second", func(ctx context.Context, b *cursor.Batch) error {
			last := b.Events[len(b.Events)-1]
			self := store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: last.ID, Position: last.Position}}}
			return sys.WaitApplied(ctx, "first", self)
		})
		sys = start(t, st, second, first)
		require.NoError(t, sys.WaitApplied(t.Context(), "second", appendInputs(t, st, 5)))
		requireExactlyOnce(t, st, "second")
	})
}

// The worker that is waited for comes before the one that waits, so that it is stopped only
// afterwards.
func TestAHandlerThatWaitsForAnotherWorkerDoesNotHoldUpStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		bad := handling("bad", func(context.Context, *cursor.Batch) error { return errBroken })
		bad.Policy = steady(10, time.Hour)
		result := make(chan error, 1)
		waiting := handling("waiting", func(ctx context.Context, b *cursor.Batch) error {
			self := store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: b.Events[0].ID, Position: b.Events[0].Position}}}
			result <- sys.WaitApplied(ctx, "bad", self)
			return nil
		})
		sys = start(t, st, bad, waiting)
		appendInputs(t, st, 1)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, sys.Stop(t.Context()))
		require.ErrorIs(t, <-result, actors.ErrStopped)
		require.Zero(t, time.Since(began))
	})
}

func TestWaitAppliedSucceedsOnceASkippedEventIsHandledAfterAll(t *testing.T) {
	for name, back := range map[string]func(context.Context, *actors.System) error{
		"rewound": func(ctx context.Context, sys *actors.System) error {
			return apply(ctx, sys, "w", checkpoint.Rewind{To: 1})
		},
		"reset": func(ctx context.Context, sys *actors.System) error { return apply(ctx, sys, "w", checkpoint.Reset{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ill := sick()
				w := poisoned(ill, 1, 2)
				w.Policy.Exhausted = supervision.ActionSkip
				sys := start(t, st, w)
				first, second := appendInputs(t, st, 1), appendInputs(t, st, 1)
				require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", first), actors.ErrSkipped)
				require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", second), actors.ErrSkipped)
				ill.Store(false)
				require.NoError(t, back(t.Context(), sys))
				require.NoError(t, sys.WaitApplied(t.Context(), "w", second))
				if name == "reset" {
					require.NoError(t, sys.WaitApplied(t.Context(), "w", first))
				} else {
					require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", first), actors.ErrSkipped, "it lies before")
				}
			})
		})
	}
}

func TestWaitAppliedWaitsForAReplay(t *testing.T) {
	for name, mended := range map[string]bool{"handled": true, "parked again": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ill := sick()
				w := handling("w", func(_ context.Context, b *cursor.Batch) error {
					if ill.Load() {
						return supervision.Park(errBroken)
					}
					time.Sleep(time.Minute)
					if !mended {
						return supervision.Park(errBroken)
					}
					return nil
				})
				w.BatchSize = 1
				sys := start(t, st, w)
				first := appendAll(t, st, input(2))
				require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", first), actors.ErrParked)
				ill.Store(false)
				began := time.Now()
				_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
				require.NoError(t, err)
				after := appendAll(t, st, input(2))
				for i, receipt := range []store.Receipt{first, after} {
					err := sys.WaitApplied(t.Context(), "w", receipt)
					if mended {
						require.NoError(t, err)
						require.Equal(t, time.Duration(i+1)*time.Minute, time.Since(began))
					} else {
						require.ErrorIs(t, err, actors.ErrParked)
						require.Equal(t, time.Minute, time.Since(began))
					}
				}
			})
		})
	}
}

func TestWaitAppliedReportsAParkedEventAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 1 {
				return errBroken
			}
			return supervision.Park(errBroken)
		})
		w.Lanes, w.Policy = 2, steady(5, time.Hour)
		sys := start(t, st, w)
		receipt, began := appendInputs(t, st, 2), time.Now()
		var parked *actors.EventError
		require.ErrorAs(t, sys.WaitApplied(t.Context(), "w", receipt), &parked)
		require.Equal(t, store.Position(2), parked.Event)
		require.Equal(t, actors.ErrParked, parked.Err)
		require.Zero(t, time.Since(began))
	})
}
