package actors_test

import (
	"context"
	"fmt"
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

// calling is a worker that needs something, and fails at each event while that is down.
func calling(down *atomic.Bool, calls *atomic.Int64) cursor.Worker {
	return cursor.Worker{Name: "w", Region: inputs, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			b.Begin(i)
			calls.Add(1)
			if down.Load() {
				return cursor.Continue, cursor.FailedAt(i, errBroken)
			}
			react("w", b, i)
		}
		return cursor.Continue, nil
	}}
}

func TestAnOutageIsShownAndLoggedOnceAndHealsItself(t *testing.T) {
	for name, change := range map[string]func(*cursor.Worker){
		"one after the other": func(*cursor.Worker) {},
		"in lanes":            func(w *cursor.Worker) { w.Lanes = 4 },
		"a projector":         func(w *cursor.Worker) { w.BatchSize = 1; *w = projecting(*w) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var down atomic.Bool
				var calls atomic.Int64
				down.Store(true)
				w := calling(&down, &calls)
				change(&w)
				core, logs := observer.New(zapcore.InfoLevel)
				sys := startWith(t, st, actors.Options{Logger: zap.New(core)}, w)
				seen := watch(t, sys)
				begun := st.Now()
				receipt := appendInputs(t, st, 50)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				s := statusOf(t, sys, "w")
				require.Equal(t, actors.Outage, s.State)
				var outage *supervision.OutageError
				require.ErrorAs(t, s.Reason, &outage)
				require.Equal(t, "in.made", outage.Dependency)
				require.Equal(t, begun, outage.Since)
				require.True(t, outage.Next.After(st.Now()))
				require.Less(t, calls.Load(), int64(100))
				require.Len(t, seen(actors.Outage), 1)
				require.Equal(t, 1, logs.FilterMessageSnippet("outage begins").Len())
				retries := logs.FilterMessage("worker retries").Len()
				time.Sleep(10 * time.Minute)
				require.Equal(t, retries, logs.FilterMessage("worker retries").Len(), "not one for each try")

				down.Store(false)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				time.Sleep(time.Minute)
				require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
				requirePerKey(t, st)
				require.Equal(t, 1, logs.FilterMessage("outage is over").Len())
				s = statusOf(t, sys, "w")
				require.Equal(t, []any{actors.Idle, 0}, []any{s.State, s.Parked})
				require.NoError(t, sys.Err())
			})
		})
	}
}

func TestAnOutageDoesNotHoldUpAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var down atomic.Bool
		var calls atomic.Int64
		down.Store(true)
		w := calling(&down, &calls)
		w.Lanes = 4
		sys := start(t, st, w)
		appendInputs(t, st, 50)
		time.Sleep(10 * time.Minute)
		begun := time.Now()
		require.NoError(t, sys.Stop(t.Context()))
		require.Less(t, time.Since(begun), time.Second)
		require.Equal(t, actors.Stopped, statusOf(t, sys, "w").State)
	})
}

// More fail than are read ahead, and than would be tried again in an outage of an hour.
func TestARunOfBadEventsNeedsNoHand(t *testing.T) {
	for name, lanes := range map[string]int{"one after the other": 1, "in lanes": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				appendInputs(t, st, 70)
				bad := st.Head()
				appendInputs(t, st, 10)
				w := cursor.Worker{Name: "w", Region: inputs, Lanes: lanes, BatchSize: 8}
				w.Key = func(e store.Event) string { return fmt.Sprint(e.Position) }
				w.Policy.Attempts = 3
				w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
					for i, e := range b.Events {
						b.Begin(i)
						if e.Position <= bad {
							return cursor.Continue, cursor.FailedAt(i, errBroken)
						}
						react("w", b, i)
					}
					return cursor.Continue, nil
				}
				sys := start(t, st, w)
				time.Sleep(12 * time.Hour)
				synctest.Wait()
				require.Len(t, reactions(t, st, "w"), 10)
				s := statusOf(t, sys, "w")
				require.Equal(t, []int{70, 0}, []int{s.Parked, s.Held})
				good := appendInputs(t, st, 1)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", good))
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, actors.Idle, statusOf(t, sys, "w").State)
				require.Len(t, reactions(t, st, "w"), 11)
			})
		})
	}
}
