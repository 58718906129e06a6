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

func TestAPauseOutlastsRestartsUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{Reason: "the warehouse moves"}))
		appendInputs(t, st, 3)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Paused, s.State)
		require.ErrorContains(t, s.Reason, "the warehouse moves")
		require.Equal(t, 3, s.Lag)
		require.NoError(t, sys.Stop(t.Context()))

		sys = start(t, st, reacting("w"))
		time.Sleep(time.Hour)
		require.Equal(t, actors.Paused, statusOf(t, sys, "w").State)
		require.Empty(t, reactions(t, st, "w"))
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		receipt := appendInputs(t, st, 1)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))

		require.NoError(t, sys.Pause(t.Context(), "w", time.Now().Add(time.Hour), checkpoint.Request{Reason: "lunch"}))
		began := time.Now()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Equal(t, time.Hour, time.Since(began))
		requireExactlyOnce(t, st, "w")
		require.Equal(t, []string{
			checkpoint.AuditPaused, checkpoint.AuditResumed, checkpoint.AuditPaused, checkpoint.AuditResumed,
		}, audits(t, st))
	})
}

func TestARewindHandlesAgainAndEmitsOnlyWithEmit(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			var again, fresh atomic.Int32
			w := handling("w", func(_ context.Context, b *cursor.Batch) error {
				for i := range b.Events {
					if b.Replayed(i) {
						again.Add(1)
					} else {
						fresh.Add(1)
					}
				}
				return nil
			})
			w.Lanes = lanes
			sys := start(t, st, w)
			require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 9)))
			require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Rewind{To: 4}))
			require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 2)))
			synctest.Wait()
			require.Equal(t, []int32{5, 11}, []int32{again.Load(), fresh.Load()})
			requirePerKey(t, st)

			require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Rewind{Emit: true}))
			require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
			synctest.Wait()
			require.Equal(t, []int32{16, 12}, []int32{again.Load(), fresh.Load()})
			require.Len(t, reactions(t, st, "w"), 12+11)
			info, err := checkpoint.Inspect(st, "w")
			require.NoError(t, err)
			require.True(t, info.Pass.Empty(), "it is over")
			require.ErrorIs(t, apply(t.Context(), sys, "w", checkpoint.SkipTo{To: 1}), checkpoint.ErrNotForward)
		})
	}
}

func TestAParkedEventEmitsInItsPlaceAfterARewind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		sys := start(t, st, poisoned(ill, 3))
		appendInputs(t, st, 14)
		time.Sleep(time.Minute)
		require.Equal(t, []store.Position{3, 10}, parkedPositions(t, sys))
		ill.Store(false)
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Rewind{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Empty(t, parkedOf(t, sys))
		requirePerKey(t, st)
	})
}

func TestSkipToLeavesEventsOutAndResetStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
		third := appendInputs(t, st, 5).Events[2].Position
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.SkipTo{To: third}))
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		all := positions(t, st, inputs)
		require.Equal(t, all[3:], reactions(t, st, "w"))
		require.ErrorIs(t, apply(t.Context(), sys, "w", checkpoint.SkipTo{To: 1 << 40}), checkpoint.ErrAhead)
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Reset{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Equal(t, append(all[3:], positions(t, st, inputs)...), reactions(t, st, "w"))
	})
}

func TestAWidenedWorkerHandlesTheNewPastOnceAndContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := reacting("w")
		w.Region = store.Region{Entity: "in:2"}
		sys := start(t, st, w)
		first := appendInputs(t, st, 14)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", first))
		require.ErrorIs(t, apply(t.Context(), sys, "w", checkpoint.Widen{Region: store.Region{Entity: "in:3"}}), checkpoint.ErrRebuild)
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Widen{Region: inputs}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 3)))
		require.Equal(t, []store.Position{3, 10}, reactions(t, st, "w")[:2])
		require.IsIncreasing(t, reactions(t, st, "w")[2:])
		requirePerKey(t, st)

		require.NoError(t, sys.Stop(t.Context()))
		_, err := actors.Start(t.Context(), st, actors.Options{}, tree(w))
		require.ErrorIs(t, err, checkpoint.ErrRegion, "it outlasts the system")
		w.Region = inputs
		sys = start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		requirePerKey(t, st)
	})
}

func TestAHaltedWorkerIsResumedAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		w := poisoned(ill, 2)
		w.Policy.Exhausted = supervision.ActionHalt
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 3)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipt), actors.ErrHalted)
		require.ErrorIs(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}), actors.ErrHalted)
		ill.Store(false)
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		require.NoError(t, sys.Err())
		requireExactlyOnce(t, st, "w")
	})
}

func TestAResumeIsRecordedWithItsAuthorWhereItChangesSomethingAndNowhereElse(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			ill := sick()
			w := handling("w", func(context.Context, *cursor.Batch) error {
				if ill.Load() {
					return supervision.Halt(errBroken)
				}
				return nil
			})
			w.Volatile = volatile
			sys := start(t, st, w)
			by := checkpoint.Request{Reason: "mended", By: "ada"}
			if !volatile { // of which a pause is refused, and so is its end
				require.NoError(t, sys.Resume(t.Context(), "w", by), "it runs")
			}
			receipt := appendInputs(t, st, 1)
			time.Sleep(time.Hour)
			require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
			require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{DryRun: true}))
			require.Empty(t, audits(t, st))
			ill.Store(false)
			require.NoError(t, sys.Resume(t.Context(), "w", by))
			require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
			require.Equal(t, []string{checkpoint.AuditResumed}, audits(t, st))
			for e, err := range checkpoint.Audits(t.Context(), st, "w", 0) {
				require.NoError(t, err)
				var a checkpoint.Audit
				require.NoError(t, e.Decode(&a))
				require.Equal(t, "ada", a.By)
				require.Equal(t, "mended", a.Reason)
			}
		})
	}
}

func TestOperatorCallsAreRefusedInsideAHandlerAndForUnknownWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		got := make(chan error, 1)
		w := handling("w", func(ctx context.Context, _ *cursor.Batch) error {
			got <- sys.Pause(ctx, "w", time.Time{}, checkpoint.Request{})
			return nil
		})
		sys = start(t, st, w)
		require.ErrorIs(t, sys.Pause(t.Context(), "x", time.Time{}, checkpoint.Request{}), actors.ErrUnknownWorker)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.ErrorIs(t, <-got, actors.ErrInsideHandler)
		require.NoError(t, sys.Stop(t.Context()))
		require.ErrorIs(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}), actors.ErrStopped)
	})
}

func TestAWorkerIsResumedWhileItsGroupRestarts(t *testing.T) {
	for name, when := range map[string]time.Duration{"is stopping": 2 * time.Second, "waits to be started": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ill := sick()
				bad := poisoned(ill, 1)
				bad.Policy.Exhausted, bad.Policy.Attempts = supervision.ActionHalt, 1
				stubborn := handling("stubborn", func(ctx context.Context, _ *cursor.Batch) error {
					<-ctx.Done()
					time.Sleep(3 * time.Second)
					return nil
				})
				fails := fragile("fails", 1)
				inner := fails.Handle
				fails.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
					time.Sleep(time.Second)
					return inner(ctx, b)
				}
				fails.Policy.Backoff = supervision.Backoff{Initial: time.Minute, Max: time.Minute}
				sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
					supervision.Group{Name: "sub", Children: []supervision.Child{bad, stubborn}}, fails,
				}})
				receipt := appendInputs(t, st, 1)
				time.Sleep(when)
				require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
				ill.Store(false)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				require.NoError(t, sys.Resume(ctx, "w", checkpoint.Request{}))
				require.NoError(t, sys.WaitApplied(ctx, "w", receipt))
				require.NoError(t, sys.WaitApplied(ctx, "fails", receipt))
			})
		})
	}
}

func TestAGroupThatWaitsForItsRestartHaltsWithItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		escalates := func(name string) cursor.Worker {
			w := fragile(name, 1)
			w.Policy = escalating(supervision.Policy{Intensity: -1})
			return w
		}
		later := escalates("later")
		inner := later.Handle
		later.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			time.Sleep(time.Minute)
			return inner(ctx, b)
		}
		sys := start(t, st, supervision.Group{
			Name: "sub", Children: []supervision.Child{escalates("w")},
			Policy: supervision.Policy{Backoff: supervision.Backoff{Initial: time.Hour, Max: time.Hour}},
		}, later)
		receipt := appendInputs(t, st, 1)
		time.Sleep(3 * time.Hour)
		require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
		require.Equal(t, actors.Halted, statusOf(t, sys, "later").State)
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
	})
}

func TestStatusShowsAChangeWhenItsCallReturns(t *testing.T) {
	st := memory(t, store.Options{Sync: store.SyncNever})
	var handled atomic.Int32
	sys := start(t, st, handling("w", func(_ context.Context, b *cursor.Batch) error {
		handled.Add(int32(len(b.Events)))
		return nil
	}))
	receipt := appendInputs(t, st, 1)
	for i := range int32(300) {
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		require.Equal(t, i+1, handled.Load(), "it waits for what comes again")
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
		require.Equal(t, actors.Paused, statusOf(t, sys, "w").State)
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NotEqual(t, actors.Paused, statusOf(t, sys, "w").State)
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Rewind{}))
	}
}

func TestACallWhoseContextEndsInTheQueueIsNeverMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, entered, release := deaf()
		sys := start(t, st, slow)
		receipt := appendInputs(t, st, 1)
		<-entered
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, apply(short, sys, "slow", checkpoint.Reset{}), context.DeadlineExceeded)
		require.ErrorIs(t, sys.Pause(short, "slow", time.Time{}, checkpoint.Request{}), context.DeadlineExceeded)
		close(release)
		require.NoError(t, sys.WaitApplied(t.Context(), "slow", receipt))
		require.NoError(t, sys.WaitApplied(t.Context(), "slow", appendInputs(t, st, 1)))
		requireExactlyOnce(t, st, "slow")
	})
}

func TestAPauseUntilThePastOrBeyondTheYear9999ChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		for _, until := range []time.Time{time.Now(), time.Now().Add(-time.Hour), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			for _, dry := range []bool{true, false} {
				err := sys.Pause(t.Context(), "w", until, checkpoint.Request{DryRun: dry})
				var invalid *store.InvalidError
				require.ErrorAs(t, err, &invalid)
				require.Equal(t, "until", invalid.Field)
				require.Equal(t, until.UTC(), invalid.Value)
			}
		}
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Empty(t, audits(t, st))
	})
}

func TestCallsThatComeWhileARestartedWorkerCannotAcquireAreCarriedOutToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var away, panicked atomic.Bool
		w := handling("w", func(context.Context, *cursor.Batch) error {
			if panicked.CompareAndSwap(false, true) {
				away.Store(true)
				panic(errBroken)
			}
			return nil
		})
		w.Policy = steady(50, time.Minute)
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
			if away.Load() {
				return 0, supervision.Wait(errBroken)
			}
			return 0, nil
		}
		sys := start(t, st, w)
		appendInputs(t, st, 1)
		synctest.Wait()
		said := make(chan error, 2)
		call := func() { said <- sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}) }
		go call()
		time.Sleep(2 * time.Minute) // the next incarnation waits for the database
		go call()
		synctest.Wait()
		away.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, said, 2, "one came before that incarnation, and one since")
		require.NoError(t, <-said)
		require.NoError(t, <-said)
	})
}
