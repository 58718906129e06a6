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
	"github.com/penstock-io/penstock/supervision"
)

// climbing is the policy of a child that escalates its first failure.
func climbing() supervision.Policy { return escalating(supervision.Policy{Intensity: -1}) }

// panicking panics at the first input, and escalates that.
func panicking(name string) cursor.Worker {
	w := fragile(name, 1)
	w.Policy = climbing()
	return w
}

// bubbles runs a test in many bubbles: what is tested depends on the order of messages.
func bubbles(t *testing.T, n int, run func(*testing.T)) {
	t.Helper()
	for range n {
		synctest.Test(t, run)
	}
}

// requireResumed resumes workers and requires that they handle all up to a receipt, once.
func requireResumed(t *testing.T, st *store.Store, sys *actors.System, last store.Receipt, workers ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, name := range workers {
		require.NoError(t, sys.Resume(ctx, name, checkpoint.Request{}), name)
		require.NoError(t, sys.WaitApplied(ctx, name, last), name)
		requireExactlyOnce(t, st, name)
	}
	require.NoError(t, sys.Err())
}

func TestAnEscalationPastTheTopHaltsAllAndEachCanBeResumed(t *testing.T) {
	group := func(name string, children ...supervision.Child) supervision.Group {
		return supervision.Group{Name: name, Policy: climbing(), Children: children}
	}
	for name, children := range map[string]func() []supervision.Child{
		"alone": func() []supervision.Child { return []supervision.Child{group("g", panicking("w"))} },
		"with siblings": func() []supervision.Child {
			return []supervision.Child{group("g", panicking("w"), reacting("v")), reacting("other")}
		},
		"from deeper": func() []supervision.Child {
			return []supervision.Child{group("m", group("g", panicking("w"), reacting("v"))), reacting("other")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubbles(t, 20, func(t *testing.T) {
				st := memory(t, store.Options{})
				sys := start(t, st, children()...)
				last := appendInputs(t, st, 1)
				time.Sleep(time.Minute)
				var workers []string
				for _, w := range sys.Status().Workers {
					require.Equal(t, actors.Halted, w.State, w.Name)
					require.ErrorContains(t, w.Reason, "fragile", w.Name)
					workers = append(workers, w.Name)
				}
				require.ErrorIs(t, sys.Err(), actors.ErrHalted)
				require.False(t, closed(sys.Done()), "the system is still there")
				requireResumed(t, st, sys, last, workers...)
				require.NoError(t, sys.Stop(t.Context()))
			})
		})
	}
}

func TestAnEscalationRestartsTheGroupAboveAndNoOther(t *testing.T) {
	bubbles(t, 20, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, supervision.Group{
			Name: "m", Policy: supervision.Policy{Intensity: 5},
			Children: []supervision.Child{
				supervision.Group{Name: "g", Policy: climbing(), Children: []supervision.Child{panicking("w"), reacting("v")}},
			},
		}, reacting("other"))
		appendInputs(t, st, 1)
		time.Sleep(time.Hour)
		last := appendInputs(t, st, 1)
		for _, name := range []string{"w", "v", "other"} {
			require.NoError(t, sys.WaitApplied(t.Context(), name, last))
			requireExactlyOnce(t, st, name)
		}
		require.Equal(t, []uint64{2, 2, 1}, epochs(t, st, "w", "v", "other"))
		require.NoError(t, sys.Stop(t.Context()))
	})
}

// Without a bubble goroutines run at the same time.
func TestAnEscalationPastTheTopHaltsAllInRealTime(t *testing.T) {
	for range 30 {
		st := memory(t, store.Options{})
		sys := start(t, st, supervision.Group{
			Name: "g", Policy: climbing(), Children: []supervision.Child{panicking("w"), reacting("v")},
		}, reacting("other"))
		last := appendInputs(t, st, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		require.ErrorIs(t, sys.WaitApplied(ctx, "w", last), actors.ErrHalted)
		require.ErrorIs(t, sys.WaitApplied(ctx, "w", appendInputs(t, st, 1)), actors.ErrHalted)
		cancel()
		for _, w := range sys.Status().Workers {
			require.Equal(t, actors.Halted, w.State, "all at once")
		}
		require.ErrorIs(t, sys.Stop(t.Context()), actors.ErrHalted)
	}
}

// A group is being stopped for a restart, and waits for a handler that ignores its context, when a
// failure that escalates beyond the top halts everything.
func TestAWorkerHaltedDuringARestartOfItsGroupCanBeResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, entered, release := deaf()
		panicsAfter := func(name string, d time.Duration) cursor.Worker {
			w := panicking(name)
			inner := w.Handle
			w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
				time.Sleep(d)
				return inner(ctx, b)
			}
			return w
		}
		restarts := panicsAfter("restarts", time.Minute)
		restarts.Policy = supervision.Policy{}
		sys := start(t, st, supervision.Group{
			Name: "m", Strategy: supervision.OneForAll, StopTimeout: time.Hour,
			Children: []supervision.Child{supervision.Group{Name: "s", Children: []supervision.Child{slow}}, restarts},
		}, panicsAfter("escalates", 2*time.Minute))
		last := appendInputs(t, st, 1)
		<-entered
		time.Sleep(3 * time.Minute)
		for _, w := range sys.Status().Workers {
			require.Equal(t, actors.Halted, w.State, w.Name)
		}
		release <- struct{}{}
		close(release)
		time.Sleep(time.Minute)
		requireResumed(t, st, sys, last, "escalates", "restarts", "slow")
	})
}
