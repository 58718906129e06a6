package reactortest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestThenIgnoresTheOrderAfterACrash(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{}))
	run.Given(order(1), order(2))
	run.Crash(1)
	require.Equal(t, reactortest.Outcome{Handled: 1, Committed: 1}, run.Step("stock"), "one by one")
	run.Settle()
	lamp := store.At("stock:lamp", "shop")
	run.Then(reserved{"order:1"}, reactortest.At(lamp, reserved{"order:2"}), billed{"order:1"}, billed{"order:2"})

	run.Given(order(3), order(3))
	run.Settle()
	run.Then(billed{"order:3"}, reserved{"order:3"}, reactortest.At(lamp, reserved{"order:3"}), billed{"order:3"})
	for _, wrong := range [][]store.Payload{
		{reserved{"order:4"}},
		{billed{"order:4"}, reserved{"order:4"}, reserved{"order:4"}},
		{billed{"order:4"}, reactortest.At(store.At("stock:desk", "shop"), reserved{"order:4"})},
	} {
		fails(t, func(tb testing.TB) {
			run := reactortest.Start(tb, shop(&warehouse{}))
			run.Crash(1)
			run.Given(order(4))
			run.Settle()
			run.Then(wrong...)
		})
	}
}

// A worker that emits nothing and is left behind by a crash would not be noticed by what is
// emitted.
func TestEveryCrashFailsForAWorkerThatIsLeftBehind(t *testing.T) {
	message := fails(t, func(tb testing.TB) {
		var now *reactortest.Run
		tree := func() supervision.Child {
			now = nil
			return reactor.New("r", reactor.On(func(context.Context, reactor.Event[ordered], *reactor.Reactions) error {
				if now.Crashes() > 0 {
					return errDown
				}
				return nil
			}))
		}
		reactortest.EveryCrash(tb, tree, func(run *reactortest.Run) {
			now = run
			run.Given(order(1))
			run.Settle()
		})
	})
	require.Contains(t, message, `worker "r" is 1 events behind`)
}

func TestAScenarioOfEveryCrashMayCrashByItself(t *testing.T) {
	runs, crashed := 0, 0
	reactortest.EveryCrash(t, func() supervision.Child { return shop(&warehouse{}) }, func(run *reactortest.Run) {
		run.Given(order(1))
		run.Crash(3)
		run.Settle()
		run.Then(reserved{"order:1"}, billed{"order:1"})
		runs++
		if run.Crashes() > 1 {
			crashed++
		}
	})
	require.GreaterOrEqual(t, crashed, runs-3, "all but the first run")
}

// silent handles orders and emits nothing, so its checkpoints wait for no sync.
func silent() supervision.Child {
	return reactor.New("silent", reactor.On(func(context.Context, reactor.Event[ordered], *reactor.Reactions) error { return nil }))
}

func TestAReactorThatEmitsNothingSurvivesEveryCrash(t *testing.T) {
	reactortest.EveryCrash(t, silent, func(run *reactortest.Run) {
		run.Given(order(1))
		run.Settle()
		run.Advance(time.Minute)
		run.Settle()
	})
}

func TestAScenarioThatEndsWithASingleStepSurvivesEveryCrash(t *testing.T) {
	reactortest.EveryCrash(t, silent, func(run *reactortest.Run) {
		run.Given(order(1), order(2))
		run.Step("silent")
	})
}

func TestTheStoreCanBeReadAfterAnyCrash(t *testing.T) {
	reactortest.EveryCrash(t, silent, func(run *reactortest.Run) {
		for n := range 3 {
			run.Given(order(n))
			run.Step("silent")
			events := 0
			for _, err := range run.Store().Read(t.Context(), store.Region{}, store.Beginning()) {
				require.NoError(t, err)
				events++
			}
			require.Equal(t, n+1, events)
		}
	})
}

// One that no reaction waits for would be written some time later, and a crash at that go
// unnoticed.
func TestCheckpointsAreOnTheDiskWhenACallOfTheRunReturns(t *testing.T) {
	run := reactortest.Start(t, silent())
	calls := []func(){run.Settle, func() { run.Step("silent") }}
	for i, call := range calls {
		run.Given(order(1))
		call()
		for seed := range uint64(20) { // decides what is left of what was not synced
			st, err := run.Disk().Rebooted(seed).Open("data", store.Options{})
			require.NoError(t, err)
			info, err := checkpoint.Inspect(st, "silent")
			require.NoError(t, err)
			require.EqualValues(t, i+1, info.Record.Scanned)
			require.NoError(t, st.Close())
		}
	}
}

func TestAPowerCutThatFailsNothingIsNoticedByTheNextLook(t *testing.T) {
	for name, look := range map[string]func(run *reactortest.Run){
		"Store": func(run *reactortest.Run) { run.Store() },
		"Then":  func(run *reactortest.Run) { run.Then() },
	} {
		run := reactortest.Start(t, silent())
		run.CrashAt(0) // as if by what the store does beside
		look(run)
		require.Equal(t, 1, run.Crashes(), name)
	}
}

func TestAProgramIsStartedAgainAfterACrashWithTheStoreAsItIsThen(t *testing.T) {
	var stores []*store.Store
	var times []time.Time
	run := reactortest.Start(t, reactortest.Program(func(st *store.Store) supervision.Child {
		stores, times = append(stores, st), append(times, st.Now())
		return silent()
	}))
	run.Advance(time.Hour)
	begun := run.Now()
	run.Crash(1)
	require.Len(t, stores, 2)
	require.Same(t, run.Store(), stores[1])
	require.Equal(t, []time.Time{begun.Add(-time.Hour), begun}, times)
	require.Contains(t, fails(t, func(tb testing.TB) {
		reactortest.Start(tb, supervision.Group{Name: "g", Children: []supervision.Child{reactortest.Program(nil)}})
	}), "is neither")
}

// A crash takes the attempt before it, or adds one, and so the reaction comes earlier or later.
func TestEveryCrashIgnoresTheTimesOfReactions(t *testing.T) {
	var now *reactortest.Run
	tree := func() supervision.Child {
		failed := false
		return reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[ordered], emit *reactor.Reactions) error {
			if !failed {
				failed = true
				return errDown
			}
			emit.Append(store.At("log", "shop"), billed{Order: now.Now().Format(time.RFC3339Nano)})
			return nil
		}))
	}
	reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
		now = run
		run.Given(order(1))
		run.Advance(time.Minute)
	})
}
