package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

// FailNow of package testing ends a goroutine with runtime.Goexit.
func TestAKeyThatEndsItsGoroutineHaltsItsWorker(t *testing.T) {
	for name, end := range map[string]func(){
		"goexit": runtime.Goexit, "panic": func() { panic("no key") },
		"panic with a value that ends it": func() { panic(harmful{runtime.Goexit, func() {}}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ill := sick()
				w := reacting("w")
				w.Lanes = 4
				w.Key = func(e store.Event) string {
					if e.Position == 5 && ill.Load() {
						end()
					}
					return e.Coordinate.Entity
				}
				receipt := appendInputs(t, st, 10)
				sys := start(t, st, w)
				var key *cursor.RunnerError
				err := sys.WaitApplied(t.Context(), "w", receipt)
				require.ErrorAs(t, err, &key)
				require.ErrorIs(t, err, cursor.ErrKey)
				require.Equal(t, store.Position(5), key.Event)
				ill.Store(false)
				require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
			})
		})
	}
}

// Neither function gets a context: what it does cannot be cut short.
func TestAKeyOrADependencyThatDoesNotReturnHoldsUpNoOtherWorkerAndIsNamed(t *testing.T) {
	for name, block := range map[string]func(w *cursor.Worker, gate <-chan struct{}){
		"key": func(w *cursor.Worker, gate <-chan struct{}) {
			w.Key = func(store.Event) string { <-gate; return "" }
		},
		"dependency": func(w *cursor.Worker, gate <-chan struct{}) {
			w.Dependency = func(store.Event) string { <-gate; return "" }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				gate := make(chan struct{})
				w := handling("w", func(context.Context, *cursor.Batch) error { return errBroken })
				w.Lanes = 2
				block(&w, gate)
				sys := startWith(t, st, actors.Options{DrainTimeout: time.Minute, KillTimeout: time.Minute}, reacting("before"), w, reacting("after"))
				receipt := appendInputs(t, st, 3)
				for _, other := range []string{"before", "after"} {
					require.NoError(t, sys.WaitApplied(t.Context(), other, receipt))
				}
				short, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				require.ErrorIs(t, sys.Pause(short, "w", time.Time{}, checkpoint.Request{}), context.DeadlineExceeded)
				require.True(t, statusOf(t, sys, "w").Stalled)
				began := time.Now()
				err := sys.Stop(t.Context())
				require.ErrorIs(t, err, actors.ErrHung)
				require.ErrorContains(t, err, `"w" (after position 0)`)
				require.Equal(t, 2*time.Minute, time.Since(began))
				close(gate)
				synctest.Wait()
				require.Empty(t, reactions(t, st, "w"))
			})
		})
	}
}

func TestStartReturnsThoughAPlaceCannotBeReachedAndItsWorkerBeginsOnceItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var reachable atomic.Bool
		w := reacting("w")
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
			if !reachable.Load() {
				return 0, supervision.Wait(errBroken)
			}
			return 0, nil
		}
		sys := start(t, st, w, reacting("neighbour"))
		receipt := appendInputs(t, st, 3)
		require.NoError(t, sys.WaitApplied(t.Context(), "neighbour", receipt))
		time.Sleep(24 * time.Hour)
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Retrying, s.State)
		require.ErrorIs(t, s.Reason, errBroken)
		require.Zero(t, s.Restarts)
		reachable.Store(true)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		synctest.Wait() // the receipt is covered before the worker rests
		require.Equal(t, actors.Idle, statusOf(t, sys, "w").State)
	})
}

func TestASystemStopsWhileAPlaceCannotBeReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := reacting("w")
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
			return 0, supervision.Wait(errBroken)
		}
		sys := start(t, memory(t, store.Options{}), w)
		time.Sleep(time.Hour)
		require.NoError(t, sys.Stop(t.Context()))
	})
}

func TestStartReturnsWhenItsContextEndsDespiteAnExternalPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		defer close(gate)
		w := reacting("w")
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) { <-gate; return 0, nil }
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := actors.Start(short, memory(t, store.Options{}), actors.Options{}, tree(w))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestStopEndsTheContextOfAnExternalPosition(t *testing.T) {
	for name, honours := range map[string]bool{"that honours it": true, "that does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				gate := make(chan struct{})
				var calls atomic.Int32
				defer close(gate)
				w := handling("w", func(context.Context, *cursor.Batch) error { panic("once") })
				w.ExternalPosition = func(ctx context.Context, _ cursor.ResumeState) (store.Position, error) {
					if calls.Add(1) == 1 {
						return 0, nil
					}
					if honours {
						<-ctx.Done()
						return 0, ctx.Err()
					}
					<-gate
					return 0, nil
				}
				sys := start(t, st, w)
				appendInputs(t, st, 1)
				time.Sleep(time.Minute)
				require.EqualValues(t, 2, calls.Load())
				began := time.Now()
				require.NoError(t, sys.Stop(t.Context()))
				require.Zero(t, time.Since(began))
			})
		})
	}
}

// A worker may keep its position in another store, and a handler may use one.
func TestErrorsOfOtherStoresDecideNothing(t *testing.T) {
	for _, other := range []error{store.ErrClosed, store.ErrPoisoned, checkpoint.ErrFenced, store.ErrDiskFull} {
		t.Run(other.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				calls, first := 0, true
				w := handling("w", func(context.Context, *cursor.Batch) error {
					if first {
						first = false
						panic("once")
					}
					return nil
				})
				w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
					if calls++; calls == 2 {
						return 0, fmt.Errorf("the other store: %w", other)
					}
					return 0, nil
				}
				sys := start(t, st, w, reacting("neighbour"))
				receipt := appendInputs(t, st, 1)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				require.NoError(t, sys.WaitApplied(t.Context(), "neighbour", receipt))
				require.NoError(t, sys.Err())
				require.Equal(t, 3, calls)
			})
		})
	}
}

func TestTheErrorOfAnotherWorkerDoesNotHaltAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		var receipt store.Receipt
		ill, started := sick(), make(chan struct{})
		waits := handling("waits", func(ctx context.Context, _ *cursor.Batch) error {
			<-started
			if !ill.Load() {
				return nil
			}
			return sys.WaitApplied(ctx, "halts", receipt)
		})
		waits.Policy = steady(50, time.Minute)
		halts := handling("halts", func(context.Context, *cursor.Batch) error { return supervision.Halt(errBroken) })
		sys = start(t, st, waits, halts)
		receipt = appendInputs(t, st, 1)
		close(started)
		time.Sleep(time.Second)
		require.Equal(t, actors.Halted, statusOf(t, sys, "halts").State)
		s := statusOf(t, sys, "waits")
		require.Equal(t, actors.Retrying, s.State)
		require.ErrorIs(t, s.Reason, errBroken, "the reason is still there to be seen")
		ill.Store(false)
		require.NoError(t, sys.WaitApplied(t.Context(), "waits", receipt))
	})
}

// Without the race detector such a call would end the process: the runtime detects concurrent use
// of a map.
func TestStatusNeverCallsTheKeyOfAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		gate := make(chan struct{})
		w := handling("w", func(context.Context, *cursor.Batch) error { <-gate; return errors.ErrUnsupported })
		w.BatchSize, w.Policy = 1, steady(50, time.Hour)
		w.Key = func(e store.Event) string { calls++; return "key of " + e.Coordinate.Entity }
		sys := start(t, st, w)
		appendInputs(t, st, 3)
		synctest.Wait()
		before := calls
		for range 100 {
			s := statusOf(t, sys, "w")
			require.Equal(t, store.Position(1), s.OldestPending)
			require.Equal(t, "key of in:0", s.OldestPendingKey)
		}
		require.Equal(t, before, calls)
		time.Sleep(24 * time.Hour) // of watchdogs
		require.Equal(t, before, calls)
		require.True(t, statusOf(t, sys, "w").Stalled)
		close(gate)
		synctest.Wait()
		require.NoError(t, sys.Stop(t.Context()))
	})
}

// mute is an error whose text does not come while its gate is closed.
type mute struct{ gate chan struct{} }

func (m mute) Error() string {
	<-m.gate
	return "at last"
}

// Nothing can be said of such an error, and no other thing can be done for its worker meanwhile.
func TestAFunctionThatNeverReturnsIsNamedWhenTheSystemStopsAndHoldsUpNoOtherWorker(t *testing.T) {
	for name, ail := range map[string]func(w *cursor.Worker, gate chan struct{}){
		"an error without a text": func(w *cursor.Worker, gate chan struct{}) {
			w.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, mute{gate} }
		},
		"a panic without a text": func(w *cursor.Worker, gate chan struct{}) {
			w.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) { panic(mute{gate}) }
		},
		"a key": func(w *cursor.Worker, gate chan struct{}) {
			w.Lanes, w.Key = 2, func(store.Event) string { return mute{gate}.Error() }
		},
		"a panic of a key": func(w *cursor.Worker, gate chan struct{}) {
			w.Lanes, w.Key = 2, func(store.Event) string { panic(mute{gate}) }
		},
		"a dependency": func(w *cursor.Worker, gate chan struct{}) {
			w.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, errBroken }
			w.Dependency = func(store.Event) string { return mute{gate}.Error() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				gate := make(chan struct{})
				w := reacting("w")
				w.Timeout = time.Second
				ail(&w, gate)
				sys := start(t, st, w, reacting("neighbour"))
				receipt := appendInputs(t, st, 3)
				require.NoError(t, sys.WaitApplied(t.Context(), "neighbour", receipt))
				time.Sleep(24 * time.Hour) // of watchdogs
				require.True(t, statusOf(t, sys, "w").Stalled)
				short, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, sys.Pause(short, "w", time.Time{}, checkpoint.Request{}), context.DeadlineExceeded)
				var hung *actors.HungError
				require.ErrorAs(t, sys.Stop(t.Context()), &hung)
				require.Equal(t, []string{"w"}, hung.Workers)
				close(gate)
			})
		})
	}
}
