package actors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestARetryDelaysOnlyItsWorkerAndTheLastAttemptHaltsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var tries []time.Time
		bad := handling("bad", func(context.Context, *cursor.Batch) error {
			tries = append(tries, time.Now())
			return errBroken
		})
		bad.Policy = supervision.Policy{Exhausted: supervision.ActionHalt, Attempts: 6, Backoff: supervision.Backoff{Initial: time.Hour, Max: 8 * time.Hour, Jitter: 0.1}}
		sys := start(t, st, reacting("before"), bad, reacting("after"))
		began := time.Now()
		receipt := appendInputs(t, st, 1)
		for _, good := range []string{"before", "after"} {
			require.NoError(t, sys.WaitApplied(t.Context(), good, receipt))
		}
		synctest.Wait()
		require.Zero(t, time.Since(began), "a worker waited for the delay of another")
		w := statusOf(t, sys, "bad")
		require.Equal(t, actors.Retrying, w.State)
		require.ErrorIs(t, w.Reason, errBroken)
		require.Equal(t, 1, w.Attempt)
		require.Equal(t, 1, w.Lag)
		require.NoError(t, sys.Err())

		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, sys.WaitApplied(short, "bad", receipt), context.DeadlineExceeded)

		err := sys.WaitApplied(t.Context(), "bad", receipt)
		for name, err := range map[string]error{
			"WaitApplied": err,
			"at once":     sys.WaitApplied(t.Context(), "bad", receipt),
			"Status":      sys.Status().Err,
			"Err":         sys.Err(),
		} {
			requireExhausted(t, err, "bad", 1, 6, name)
		}
		require.Len(t, tries, 6)
		for i, hours := range []float64{1, 2, 4, 8, 8} {
			require.InEpsilon(t, hours, tries[i+1].Sub(tries[i]).Hours(), 0.11)
		}
		w = statusOf(t, sys, "bad")
		require.Equal(t, actors.Halted, w.State)
		require.Equal(t, st.Now().Truncate(time.Microsecond), w.Since)
		require.NoError(t, sys.WaitApplied(t.Context(), "after", appendInputs(t, st, 1)), "the others go on")
		requireExhausted(t, sys.Stop(t.Context()), "bad", 1, 6, "Stop")
		require.Equal(t, actors.Halted, statusOf(t, sys, "bad").State)
		require.Equal(t, actors.Stopped, statusOf(t, sys, "after").State)
		require.Empty(t, reactions(t, st, "bad"))
	})
}

func TestTheReasonNamesEventAttemptAndError(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func() error
		want  string
		stack bool
	}{
		"error":       {fail: func() error { return errBroken }, want: "event 1, attempt 1 of 5: broken"},
		"named error": {fail: func() error { return cursor.FailedAt(0, errBroken) }, want: "event 1, attempt 1 of 5: broken"},
		"directive": {
			fail: func() error { return supervision.RetryAfter(time.Hour, errBroken) },
			want: "event 1, attempt 1 of 5: retry after 1h0m0s: broken",
		},
		"panic": {fail: func() error { panic(errBroken) }, want: "event 1, attempt 1 of 5: panic: broken", stack: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				bad := handling("bad", func(context.Context, *cursor.Batch) error { return c.fail() })
				bad.Policy = steady(5, time.Hour)
				sys := start(t, st, bad)
				appendInputs(t, st, 1)
				synctest.Wait()
				reason := statusOf(t, sys, "bad").Reason
				require.EqualError(t, reason, c.want)
				require.ErrorIs(t, reason, errBroken)
				var panicked *supervision.PanicError
				require.Equal(t, c.stack, errors.As(reason, &panicked))
				if c.stack {
					require.Contains(t, string(panicked.Stack), "retry_test.go")
				}
			})
		})
	}
}

func requireExhausted(t *testing.T, err error, worker string, event uint64, attempts int, where string) {
	t.Helper()
	var halted *actors.HaltedError
	require.ErrorAs(t, err, &halted, where)
	require.Equal(t, worker, halted.Worker, where)
	require.ErrorIs(t, err, actors.ErrHalted, where)
	require.ErrorIs(t, err, errBroken, where)
	var exhausted *supervision.ExhaustedError
	require.ErrorAs(t, err, &exhausted, where)
	require.Equal(t, event, exhausted.Event, where)
	require.Equal(t, attempts, exhausted.Attempts, where)
}

func TestStopDoesNotWaitForADelay(t *testing.T) {
	for name, fail := range map[string]func() error{
		"of a retry":   func() error { return errBroken },
		"of a restart": func() error { panic(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				bad := handling("bad", func(context.Context, *cursor.Batch) error { return fail() })
				bad.Policy = steady(10, time.Hour)
				sys := start(t, st, reacting("before"), bad, reacting("after"))
				receipt := appendInputs(t, st, 1)
				require.NoError(t, sys.WaitApplied(t.Context(), "after", receipt))
				synctest.Wait()
				began := time.Now()
				waited := make(chan error)
				go func() { waited <- sys.WaitApplied(t.Context(), "bad", receipt) }()
				synctest.Wait()
				require.NoError(t, sys.Stop(t.Context()))
				require.ErrorIs(t, <-waited, actors.ErrStopped)
				require.Zero(t, time.Since(began))
				require.Equal(t, actors.Stopped, statusOf(t, sys, "bad").State)
			})
		})
	}
}

func TestADirectiveTakesEffectAtOnceAlsoForAWholeBatch(t *testing.T) {
	for name, in := range map[string]func(error) error{
		"event": func(err error) error { return cursor.FailedAt(0, err) },
		"batch": func(err error) error { return err },
	} {
		t.Run(name+" halts", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				calls := 0
				sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error {
					calls++
					return in(supervision.Halt(errBroken))
				}))
				err := sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 16))
				require.ErrorIs(t, err, actors.ErrHalted)
				require.ErrorIs(t, err, errBroken)
				require.Equal(t, 1, calls)
				require.ErrorIs(t, sys.Stop(t.Context()), errBroken)
			})
		})
		t.Run(name+" is retried after", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var tries []time.Time
				sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error {
					if tries = append(tries, time.Now()); len(tries) < 4 {
						return in(supervision.RetryAfter(7*time.Minute, errBroken))
					}
					return nil
				}))
				require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 16)))
				for i := range 3 {
					require.Equal(t, 7*time.Minute, tries[i+1].Sub(tries[i]))
				}
				requireExactlyOnce(t, st, "w")
			})
		})
	}
}

func TestEventsBeforeTheFailedOneAreCommittedDuringItsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		failures := 3
		bad := handling("w", func(_ context.Context, b *cursor.Batch) error {
			for i, e := range b.Events {
				if e.Position == 3 && failures > 0 {
					failures--
					return cursor.FailedAt(i, errBroken)
				}
			}
			return nil
		})
		bad.Policy = steady(10, time.Minute)
		sys := start(t, st, bad)
		receipt := appendInputs(t, st, 5)
		for attempt := 1; attempt <= 3; attempt++ {
			synctest.Wait()
			w := statusOf(t, sys, "w")
			require.Equal(t, attempt, w.Attempt)
			require.Equal(t, store.Position(2), w.Position)
			require.Equal(t, []store.Position{1, 2}, reactions(t, st, "w"))
			time.Sleep(time.Minute)
		}
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		requireExactlyOnce(t, st, "w")
		require.Zero(t, statusOf(t, sys, "w").Attempt)
		require.Zero(t, statusOf(t, sys, "w").Restarts)
	})
}

func TestABatchThatFailsAsAWholeIsHalvedBeforeAnAttemptIsCounted(t *testing.T) {
	const bad, attempts = 7, 4
	for name, c := range map[string]struct {
		fail     func() error
		restarts int
	}{
		"error": {func() error { return errBroken }, 0},
		// 16, 8, and after the first 4 are committed 8, 4, 2, 1, 1, ...
		"panic": {func() error { panic(errBroken) }, 5 + attempts},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				alone := 0
				w := handling("w", func(_ context.Context, b *cursor.Batch) error {
					for _, e := range b.Events {
						if e.Position == bad {
							if len(b.Events) == 1 {
								alone++
							}
							return c.fail()
						}
					}
					return nil
				})
				w.Policy = steady(attempts, time.Minute)
				sys := start(t, st, w)
				began := time.Now()
				err := sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 16))
				requireExhausted(t, err, "w", bad, attempts, "WaitApplied")
				require.Equal(t, attempts, alone)
				require.Equal(t, (attempts-1)*time.Minute, time.Since(began).Round(time.Second), "halving costs no delay")
				require.Equal(t, []store.Position{1, 2, 3, 4, 5, 6}, reactions(t, st, "w"))
				if c.restarts == 0 {
					require.Zero(t, statusOf(t, sys, "w").Restarts)
				} else {
					require.NotZero(t, statusOf(t, sys, "w").Restarts)
				}
			})
		})
	}
}

func TestBatchesGrowToFullSizeAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sizes []int
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			sizes = append(sizes, len(b.Events))
			if len(sizes) < 4 {
				return errBroken
			}
			return nil
		})
		w.BatchSize = 8
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 31)))
		require.Equal(t, []int{8, 4, 2, 1, 2, 4, 1, 8, 8, 7}, sizes)
	})
}

func TestAPanicIsKeptWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(context.Context, *cursor.Batch) error { return blowUp() })
		w.Policy = steady(2, time.Second)
		sys := start(t, st, w)
		err := sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1))
		requireExhausted(t, err, "w", 1, 2, "WaitApplied")
		var p *supervision.PanicError
		require.ErrorAs(t, err, &p)
		require.Contains(t, string(p.Stack), "blowUp")
	})
}

//go:noinline
func blowUp() error { panic(errBroken) }

func TestAHandlerThatReturnsStopEndsItsWorker(t *testing.T) {
	for action, committed := range map[cursor.Action]int{cursor.Stop: 3, cursor.StopWithRollback: 0} {
		t.Run(action.String(), func(t *testing.T) {
			st := memory(t, store.Options{})
			w := reacting("w")
			w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				reactAll("w", b)
				return action, nil
			}
			sys := start(t, st, w, reacting("other"))
			receipt := appendInputs(t, st, 3)
			err := sys.WaitApplied(t.Context(), "w", receipt)
			if committed == 0 {
				require.ErrorIs(t, err, actors.ErrEnded)
			} else {
				require.NoError(t, err)
			}
			require.Len(t, reactions(t, st, "w"), committed)
			more := appendInputs(t, st, 1)
			require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", more), actors.ErrEnded)
			require.NoError(t, sys.WaitApplied(t.Context(), "other", more))
			require.Equal(t, actors.Ended, statusOf(t, sys, "w").State)
			require.NoError(t, sys.Stop(t.Context()))
			require.Equal(t, actors.Ended, statusOf(t, sys, "w").State)
		})
	}
}

// A handler may use stores and checkpoints of its own; their errors are not those of the worker.
func TestErrorsOfAHandlerAreAttemptsWhateverTheyWrap(t *testing.T) {
	for _, cause := range []error{store.ErrClosed, store.ErrPoisoned, store.ErrDiskFull, store.ErrConflict} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				w := handling("w", func(context.Context, *cursor.Batch) error { return errors.Join(errBroken, cause) })
				w.Policy = steady(3, time.Minute)
				sys := start(t, st, w, reacting("other"))
				receipt := appendInputs(t, st, 1)
				requireExhausted(t, sys.WaitApplied(t.Context(), "w", receipt), "w", 1, 3, "WaitApplied")
				require.NoError(t, sys.WaitApplied(t.Context(), "other", appendInputs(t, st, 1)))
			})
		})
	}
}
