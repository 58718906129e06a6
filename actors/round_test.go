package actors_test

import (
	"context"
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

// collect watches a system from now on; the function that it returns stops that and returns the
// transitions.
func collect(tb testing.TB, sys *actors.System) (seen func() []actors.Transition) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	all := make(chan []actors.Transition, 1)
	watch := sys.Watch(ctx, actors.FromNow)
	go func() { all <- slices.Collect(watch) }()
	return func() []actors.Transition {
		synctest.Wait()
		cancel()
		return <-all
	}
}

// came returns the workers that entered a state, in order.
func came(seen []actors.Transition, to actors.State) (names []string) {
	for _, tr := range seen {
		if tr.To == to && tr.From != to {
			names = append(names, tr.Worker)
		}
	}
	return names
}

func TestAGroupStopsInReverseAndBeginsOnceAllHaveStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
			reacting("a"),
			supervision.Group{Name: "sub", Children: []supervision.Child{reacting("b"), reacting("c")}},
			fragile("d", 1),
			reacting("e"),
		}})
		synctest.Wait()
		seen := collect(t, sys)
		receipt := appendInputs(t, st, 1)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
		}
		time.Sleep(time.Minute)
		all := seen()
		require.Equal(t, []string{"d", "e", "c", "b", "a"}, came(all, actors.Restarting), "the one that failed first")
		first := slices.IndexFunc(all, func(tr actors.Transition) bool { return tr.From == actors.Starting })
		require.ElementsMatch(t, []string{"a", "b", "c", "d", "e"}, came(all[:first], actors.Starting))
		require.Empty(t, came(all, actors.Stopped))
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			require.Equal(t, 1, statusOf(t, sys, name).Restarts, name)
		}
	})
}

func TestAHungWorkerInASubgroupDoesNotKeepOthersDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, entered, release := deaf()
		held := make(chan struct{})
		fails := handling("fails", func(context.Context, *cursor.Batch) error {
			if held != nil {
				<-held
				held = nil
				panic("while another is in flight")
			}
			return nil
		})
		sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
			supervision.Group{Name: "sub", Children: []supervision.Child{reacting("before"), slow, reacting("after")}},
			fails,
		}})
		receipt := appendInputs(t, st, 1)
		<-entered
		close(held)
		for _, name := range []string{"before", "after", "fails"} {
			time.Sleep(time.Minute)
			require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
			require.Equal(t, actors.Idle, statusOf(t, sys, name).State, name)
			require.Equal(t, []uint64{2}, epochs(t, st, name), name)
		}
		require.ErrorIs(t, statusOf(t, sys, "slow").Reason, actors.ErrHung)
		require.ErrorIs(t, sys.Resume(t.Context(), "slow", checkpoint.Request{}), actors.ErrHung)
		close(release)
		synctest.Wait()
		require.NoError(t, sys.Resume(t.Context(), "slow", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "slow", receipt))
		requireExactlyOnce(t, st, "slow")
		require.NoError(t, sys.Stop(t.Context()))
	})
}

func TestAHungWorkerIsHaltedAlsoWhileAnotherOfItsEventsWaitsForARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release, entered := make(chan struct{}), make(chan struct{})
		laned := handling("laned", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 1 {
				close(entered)
				<-release
				return nil
			}
			<-entered
			return errBroken
		})
		laned.Lanes, laned.Policy = 2, steady(5, time.Hour)
		var failing atomic.Bool
		sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
			laned, handling("fails", func(context.Context, *cursor.Batch) error {
				if failing.CompareAndSwap(true, false) {
					panic("now")
				}
				return nil
			}),
		}})
		require.NoError(t, sys.WaitApplied(t.Context(), "fails", appendInputs(t, st, 2)))
		synctest.Wait()
		failing.Store(true)
		require.NoError(t, sys.WaitApplied(t.Context(), "fails", appendInputs(t, st, 1)))
		time.Sleep(time.Minute)
		require.Equal(t, actors.Halted, statusOf(t, sys, "laned").State)
		require.ErrorIs(t, sys.Err(), actors.ErrHung)
		close(release)
	})
}

func TestAnEscalatedFailureCancelsTheSiblingsBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		entered := make(chan struct{})
		first := true
		waiting := handling("waiting", func(ctx context.Context, _ *cursor.Batch) error {
			if first {
				first = false
				close(entered)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		broken := fragile("broken", 1)
		inner := broken.Handle
		broken.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			<-entered
			return inner(ctx, b)
		}
		broken.Policy = escalating(supervision.Policy{Intensity: -1})
		sys := start(t, st, supervision.Group{Name: "sub", Children: []supervision.Child{waiting, broken}})
		receipt, began := appendInputs(t, st, 1), time.Now()
		require.NoError(t, sys.WaitApplied(t.Context(), "broken", receipt))
		require.NoError(t, sys.WaitApplied(t.Context(), "waiting", receipt))
		require.Less(t, time.Since(began), time.Second, "no worker waits until it counts as hung")
	})
}

func TestSubgroupsThatFailTogetherRestartNoSiblingUnderOneForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		failing := func(name string) supervision.Child {
			w := fragile(name, 1)
			w.Policy = escalating(supervision.Policy{Intensity: -1})
			return supervision.Group{Name: "of " + name, Children: []supervision.Child{w}}
		}
		sys := start(t, st, failing("a"), reacting("b"), failing("c"))
		receipt := appendInputs(t, st, 1)
		for _, name := range []string{"a", "b", "c"} {
			require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
		}
		time.Sleep(time.Minute)
		require.Equal(t, []uint64{2, 1, 2}, epochs(t, st, "a", "b", "c"))
	})
}

func TestATemporaryWorkerIsStartedAgainOnlyByResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		temporary := reacting("temporary")
		temporary.Restart = supervision.Temporary
		sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
			temporary, fragile("b", 1),
		}})
		receipt := appendInputs(t, st, 1)
		require.NoError(t, sys.WaitApplied(t.Context(), "b", receipt))
		time.Sleep(time.Minute)
		require.Equal(t, actors.Halted, statusOf(t, sys, "temporary").State)
		require.ErrorContains(t, sys.Err(), "never restarted")
		require.NoError(t, sys.Resume(t.Context(), "temporary", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "temporary", receipt))
	})
}

func TestResumeResetsTheJudgeOfTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		what := "first"
		w := handling("w", func(context.Context, *cursor.Batch) error {
			if what != "" {
				panic(what)
			}
			return nil
		})
		w.Policy = escalating(supervision.Policy{Intensity: -1})
		sys := start(t, st, supervision.Group{
			Name: "sub", Policy: supervision.Policy{Intensity: -1}, Children: []supervision.Child{w, reacting("beside")},
		})
		receipt := appendInputs(t, st, 1)
		require.ErrorContains(t, sys.WaitApplied(t.Context(), "w", receipt), "first")
		what = ""
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		what = "second"
		require.ErrorContains(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)), "second")
	})
}
