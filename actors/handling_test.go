package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// stuckIn is on the stack of a handler that does not return.
func stuckIn(c <-chan struct{}) { <-c }

func TestStatusShowsWhatAHandlerHasInFlightWhileItHangs(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				release := make(chan struct{})
				var tries atomic.Int64
				w := handling("w", func(_ context.Context, b *cursor.Batch) error {
					for i, e := range b.Events {
						b.Begin(i)
						if e.Position == 3 && tries.Add(1) > 2 {
							stuckIn(release)
						} else if e.Position == 3 {
							return cursor.FailedAt(i, errBroken)
						}
					}
					return nil
				})
				w.Lanes = lanes
				sys := start(t, st, w)
				synctest.Wait()
				require.Empty(t, statusOf(t, sys, "w").InFlight)
				appendInputs(t, st, 5)
				time.Sleep(time.Minute)
				synctest.Wait()
				held := statusOf(t, sys, "w").InFlight
				require.Len(t, held, 1)
				first, last := store.Position(3), store.Position(5)
				if lanes > 1 {
					last = 3
				}
				require.Equal(t, first, held[0].First)
				require.Equal(t, last, held[0].Last)
				require.Equal(t, int(last-first)+1, held[0].Events)
				require.Equal(t, store.Position(3), held[0].Event)
				require.Equal(t, "in:2", held[0].Key)
				require.Equal(t, 3, held[0].Attempt)
				require.Less(t, held[0].Lane, lanes)
				require.WithinRange(t, st.Now(), held[0].Since.Add(58*time.Second), held[0].Since.Add(60*time.Second))
				stack, err := sys.Stack("w")
				require.NoError(t, err)
				require.Contains(t, string(stack), "stuckIn")
				_, err = sys.Stack("x")
				require.ErrorIs(t, err, actors.ErrUnknownWorker)
				close(release)
				synctest.Wait()
				require.Empty(t, statusOf(t, sys, "w").InFlight)
				require.Zero(t, statusOf(t, sys, "w").Lag)
				stack, err = sys.Stack("w")
				require.NoError(t, err)
				require.Empty(t, stack)
			})
		})
	}
}

func TestEachLaneHasSomethingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("w", func(context.Context, *cursor.Batch) error {
			<-release
			return nil
		})
		w.Lanes = 4
		sys := start(t, st, w)
		appendInputs(t, st, 7)
		synctest.Wait()
		var lanes, events []int
		for _, one := range statusOf(t, sys, "w").InFlight {
			lanes, events = append(lanes, one.Lane), append(events, int(one.Event))
		}
		slices.Sort(events)
		require.Equal(t, []int{0, 1, 2, 3}, lanes)
		require.Equal(t, []int{1, 2, 3, 4}, events)
		close(release)
	})
}

func TestAHandlerWithoutBeginNamesItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("w", func(context.Context, *cursor.Batch) error {
			<-release
			return nil
		})
		w.Key = func(e store.Event) string { return "of " + e.Coordinate.Entity }
		sys := start(t, st, w)
		appendInputs(t, st, 5)
		synctest.Wait()
		held := statusOf(t, sys, "w").InFlight
		require.Len(t, held, 1)
		since := held[0].Since
		require.Equal(t, actors.Handling{First: 1, Last: 5, Events: 5, Attempt: 1, Since: since}, held[0])
		close(release)
	})
}

func TestAHandlerThatDoesNotReturnIsNamedWithItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("w", func(context.Context, *cursor.Batch) error {
			<-release
			return nil
		})
		w.BatchSize, w.StopTimeout = 1, time.Minute
		sys := start(t, st, w, handling("other", func(context.Context, *cursor.Batch) error { return nil }))
		appendInputs(t, st, 2)
		synctest.Wait()
		require.ErrorIs(t, sys.Remove(t.Context(), "w", why), actors.ErrHung)
		shown := statusOf(t, sys, "w")
		require.Equal(t, actors.Halted, shown.State)
		reason := actors.ReasonOf(shown.Reason)
		require.Equal(t, actors.Code("hung"), reason.Code)
		require.Equal(t, store.Position(1), reason.Event)
		require.Equal(t, "in:0", reason.Key)
		require.Len(t, shown.InFlight, 1, "it is still there")
		close(release)
		synctest.Wait()
		require.Empty(t, statusOf(t, sys, "w").InFlight)
	})
}

// why an operator does something.
var why = checkpoint.Request{Reason: "it hangs", By: "ada"}

func TestAnInterruptedHandlerHasMadeAnAttempt(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var calls, others atomic.Int64
				w := handling("w", func(ctx context.Context, b *cursor.Batch) error {
					switch b.Events[0].Position {
					case 2:
						if calls.Add(1) < 3 {
							<-ctx.Done()
							return ctx.Err()
						}
					case 3:
						if lanes > 1 && others.Add(1) == 1 {
							select {
							case <-ctx.Done():
								return ctx.Err()
							case <-time.After(5 * time.Minute):
							}
						}
					}
					return ctx.Err()
				})
				w.Lanes, w.BatchSize = lanes, 1
				w.Policy.Backoff = supervision.Backoff{Initial: time.Minute, Max: time.Minute, Jitter: 1e-9}
				sys := start(t, st, w)
				appendInputs(t, st, 4)
				synctest.Wait()

				_, err := sys.Interrupt(t.Context(), "x", 2, why)
				require.ErrorIs(t, err, actors.ErrUnknownWorker)
				_, err = sys.Interrupt(t.Context(), "w", 1, why)
				require.ErrorIs(t, err, actors.ErrNotInFlight)
				dry := why
				dry.DryRun = true
				held, err := sys.Interrupt(t.Context(), "w", 2, dry)
				require.NoError(t, err)
				require.Len(t, held, 1)
				require.False(t, held[0].Interrupted)
				synctest.Wait()
				require.Equal(t, int64(1), calls.Load())

				for attempt := 1; attempt <= 2; attempt++ {
					held, err = sys.Interrupt(t.Context(), "w", 2, why)
					require.NoError(t, err)
					require.Len(t, held, 1)
					require.True(t, held[0].Interrupted)
					require.Equal(t, attempt, held[0].Attempt)
					synctest.Wait()
					failing := statusOf(t, sys, "w").Failing
					require.Len(t, failing, 1)
					require.ErrorIs(t, failing[0].Reason, cursor.ErrInterrupted)
					require.ErrorIs(t, failing[0].Reason, context.Canceled)
					require.ErrorContains(t, failing[0].Reason, `by "ada": it hangs`)
					reason := actors.ReasonOf(failing[0].Reason)
					reason.Text = ""
					require.Equal(t, actors.Reason{Code: "interrupted", Event: 2, Key: "in:1", Attempt: attempt}, reason)
					time.Sleep(time.Minute)
					synctest.Wait()
				}
				require.Equal(t, int64(3), calls.Load(), "the third one has a context that has not ended")
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Zero(t, statusOf(t, sys, "w").Lag)
				require.LessOrEqual(t, others.Load(), int64(1), "the other lanes were left alone")
				require.Len(t, reactions(t, st, "w"), 4)
				var audits []checkpoint.Audit
				for e, err := range checkpoint.Audits(t.Context(), st, "w", 0, checkpoint.AuditInterrupted) {
					require.NoError(t, err)
					a, err := checkpoint.AuditOf(t.Context(), st, e)
					require.NoError(t, err)
					audits = append(audits, a)
				}
				require.Equal(t, []checkpoint.Audit{
					{Worker: "w", Position: 2, Key: "in:1", Events: 1, Attempts: 1, Reason: "it hangs", By: "ada"},
					{Worker: "w", Position: 2, Key: "in:1", Events: 1, Attempts: 2, Reason: "it hangs", By: "ada"},
				}, audits)
			})
		})
	}
}

func TestAnInterruptedHandlerThatIsDoneAllTheSameIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(ctx context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 1 {
				<-ctx.Done()
				return nil
			}
			return ctx.Err()
		})
		w.BatchSize, w.Timeout = 1, time.Hour
		sys := start(t, st, w)
		appendInputs(t, st, 3)
		synctest.Wait()
		_, err := sys.Interrupt(t.Context(), "w", 0, why)
		require.NoError(t, err)
		synctest.Wait()
		shown := statusOf(t, sys, "w")
		require.Equal(t, uint64(3), shown.Handled)
		require.Empty(t, shown.Failing)
		_, err = sys.Interrupt(t.Context(), "w", 0, why)
		require.ErrorIs(t, err, actors.ErrNotInFlight)
	})
}

// A stop and a restart of siblings end the context that a handler was given after an interruption.
func TestTheContextAfterAnInterruptionEndsWithTheWorker(t *testing.T) {
	for _, lanes := range []int{1, 2} {
		t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ended := make(chan error, 10)
				w := handling("w", func(ctx context.Context, _ *cursor.Batch) error {
					<-ctx.Done()
					ended <- context.Cause(ctx)
					return ctx.Err()
				})
				w.Lanes, w.BatchSize = lanes, 1
				sys := start(t, st, w)
				appendInputs(t, st, 1)
				synctest.Wait()
				_, err := sys.Interrupt(t.Context(), "w", 0, why)
				require.NoError(t, err)
				require.ErrorIs(t, <-ended, cursor.ErrInterrupted)
				time.Sleep(time.Minute)
				require.NoError(t, sys.Stop(t.Context()))
				err = <-ended
				require.False(t, errors.Is(err, cursor.ErrInterrupted))
				require.Empty(t, ended)
			})
		})
	}
}

func TestAnInterruptionIsAnAttemptInAnOutageToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(ctx context.Context, b *cursor.Batch) error {
			if b.Events[0].Position != 4 {
				return errBroken
			}
			<-ctx.Done()
			return ctx.Err()
		})
		w.BatchSize, w.Lanes = 1, 4
		w.Policy.Attempts = 2
		sys := start(t, st, w)
		appendInputs(t, st, 4)
		for range 2 {
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			_, err := sys.Interrupt(t.Context(), "w", 4, why)
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Equal(t, actors.Outage, statusOf(t, sys, "w").State)
		require.Contains(t, parkedPositions(t, sys), store.Position(4))
	})
}
