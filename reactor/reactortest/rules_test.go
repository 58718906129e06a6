package reactortest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestTheFourthLostRaceIsAnAttempt(t *testing.T) {
	races := 3
	run := reactortest.Start(t, reactor.New("racing", reactor.On(
		func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
			expect := store.Any
			if races > 0 {
				races--
				expect = store.Exactly(1000)
			}
			out.Propose(store.Proposal{At: e.Coordinate, Payload: billed{e.Coordinate.Entity}, Expect: expect})
			return nil
		})))
	run.Given(order(1))
	run.Settle()
	run.Then(billed{"order:1"})
	races = 4
	run.Given(order(2))
	run.Settle()
	require.Equal(t, actors.Retrying, run.Status("racing").State)
	require.Equal(t, 1, run.Status("racing").Attempt)
}

func TestAdvanceStopsAtEachTimeThatIsDue(t *testing.T) {
	var run *reactortest.Run
	var times []time.Duration
	var begun time.Time
	failing := once(errDown)
	run = reactortest.Start(t, reactor.New("r", reactor.On(
		func(_ context.Context, _ reactor.Event[ordered], _ *reactor.Reactions) error {
			times = append(times, run.Now().Sub(begun))
			return failing("")
		})))
	begun = run.Now()
	run.Pause("r", begun.Add(time.Minute))
	run.Given(order(1))
	run.Advance(time.Hour)
	require.Equal(t, []time.Duration{time.Minute, time.Minute + 100*time.Millisecond}, times)
	require.Equal(t, begun.Add(time.Hour), run.Now())
}

func TestAttemptsAreForgottenOnceTheEventIsHandled(t *testing.T) {
	w := &warehouse{}
	w.fail = func(string) error {
		w.fail = nil
		panic(errDown)
	}
	stock := reactor.New("stock", reactor.On(w.reserve))
	run := reactortest.Start(t, stock)
	run.Given(order(1))
	run.Advance(time.Minute)
	run.Then(reserved{"order:1"})
	w.fail = func(string) error { panic(errDown) }
	require.NoError(t, run.Control("stock", reset))
	run.Settle()
	require.Equal(t, 1, run.Status("stock").Attempt)
}

func TestAPanicRestartsTheWorkerAlsoWhereItsEventIsParked(t *testing.T) {
	w := &warehouse{fail: func(string) error { panic(errDown) }}
	stock := reactor.New("stock", reactor.On(w.reserve))
	stock.Policy = supervision.Policy{Attempts: 1}
	run := reactortest.Start(t, stock)
	run.Given(order(1))
	run.Settle()
	require.Len(t, run.Parked("stock"), 1)
	require.Equal(t, 1, run.Status("stock").Restarts)
}

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

func TestAHandlerMayNotDriveItsRun(t *testing.T) {
	message := fails(t, func(tb testing.TB) {
		var run *reactortest.Run
		run = reactortest.Start(tb, reactor.New("r", reactor.On(
			func(context.Context, reactor.Event[ordered], *reactor.Reactions) error {
				run.Settle()
				return nil
			})))
		run.Given(order(1))
		run.Settle()
		tb.Fatalf("%v", run.Status("r").Reason)
	})
	require.Contains(t, message, errFailed.Error())
}
