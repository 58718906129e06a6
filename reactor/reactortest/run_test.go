package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errDown = errors.New("the warehouse is down")

type ordered struct{ SKU string }

func (ordered) Kind() string { return "order.placed" }

type reserved struct{ Order string }

func (reserved) Kind() string { return "stock.reserved" }

type billed struct{ Order string }

func (billed) Kind() string { return "order.billed" }

// warehouse is the world outside.
type warehouse struct {
	fail  func(order string) error // may panic
	calls int
}

func (w *warehouse) reserve(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, "shop"), reserved{Order: e.Coordinate.Entity})
	w.calls++
	if w.fail == nil || e.Replayed() {
		return nil
	}
	return w.fail(e.Coordinate.Entity)
}

func bill(_ context.Context, e reactor.Event[reserved], out *reactor.Reactions) error {
	out.Append(store.At("bill:"+e.Body.Order, "shop"), billed{Order: e.Body.Order})
	return nil
}

func shop(w *warehouse) supervision.Group {
	return supervision.Group{Name: "shop", Children: []supervision.Child{
		reactor.New("stock", reactor.On(w.reserve)), reactor.New("billing", reactor.On(bill)),
	}}
}

func order(n int) store.Payload {
	return reactortest.At(store.At(fmt.Sprintf("order:%d", n), "shop"), ordered{SKU: "lamp"})
}

// once fails the first time it is called.
func once(err error) func(string) error {
	return func(string) error {
		defer func() { err = nil }()
		return err
	}
}

func TestNothingIsHandledBeforeAStep(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{}))
	run.Given(order(1), order(2))
	run.Then()
	require.Equal(t, actors.Running, run.Status("stock").State)
	require.Equal(t, 2, run.Status("stock").Lag)

	require.Equal(t, reactortest.Outcome{Handled: 2, Committed: 2}, run.Step("stock"))
	run.Then(reserved{"order:1"}, reactortest.At(store.At("stock:lamp", "shop"), reserved{"order:2"}))
	require.Equal(t, reactortest.Status{State: actors.Idle, Position: 2}, run.Status("stock"))
	require.Equal(t, reactortest.Outcome{}, run.Step("stock"))

	run.Settle()
	run.Then(billed{"order:1"}, billed{"order:2"})
	require.Equal(t, []billed{{"order:1"}, {"order:2"}}, reactortest.Of[billed](run))
}

func TestARetryComesWhenItIsDue(t *testing.T) {
	w := &warehouse{fail: func(string) error { return errDown }}
	run := reactortest.Start(t, shop(w))
	run.Given(order(1))
	run.Settle()
	s := run.Status("stock")
	require.Equal(t, actors.Retrying, s.State)
	require.ErrorIs(t, s.Reason, errDown)
	require.Equal(t, 1, s.Attempt)
	require.Equal(t, run.Now().Add(100*time.Millisecond), s.Due)

	run.Advance(99 * time.Millisecond)
	require.Equal(t, 1, w.calls)
	run.Advance(time.Millisecond)
	require.Equal(t, 2, w.calls)
	require.Equal(t, 2, run.Status("stock").Attempt)
	w.fail = nil
	run.Advance(time.Minute)
	run.Then(reserved{"order:1"}, billed{"order:1"})
}

func TestParkedEventsWaitForAReplay(t *testing.T) {
	w := &warehouse{fail: func(order string) error {
		if order == "order:1" {
			return reactor.Park(errDown)
		}
		return nil
	}}
	run := reactortest.Start(t, shop(w))
	run.Given(order(1), order(2), order(1))
	run.Settle()
	run.Then(reserved{"order:2"}, billed{"order:2"})
	parked := run.Parked("stock")
	require.Len(t, parked, 2)
	require.ErrorContains(t, errors.New(parked[0].Error), "the warehouse is down")
	require.True(t, parked[1].Held)
	require.Equal(t, 1, run.Status("stock").Held)

	w.fail = nil
	require.Len(t, run.Replay("stock", cursor.ParkedFilter{Key: "order:1"}), 2)
	run.Settle()
	run.Then(reserved{"order:1"}, reserved{"order:1"}, billed{"order:1"}, billed{"order:1"})
	require.Empty(t, run.Parked("stock"))
}

func TestAPanicRestartsAndASecondOneHaltsWhereThePolicySaysSo(t *testing.T) {
	w := &warehouse{fail: func(string) error { panic(errDown) }}
	tree := shop(w)
	tree.Policy = supervision.Policy{Attempts: 2, Exhausted: supervision.ActionHalt}
	run := reactortest.Start(t, tree)
	run.Given(order(1))
	run.Settle()
	require.Equal(t, actors.Restarting, run.Status("stock").State)
	run.Advance(time.Hour)
	s := run.Status("stock")
	require.Equal(t, actors.Halted, s.State)
	require.ErrorIs(t, s.Reason, errDown)
	require.Equal(t, 1, s.Restarts)
	require.Error(t, run.Control("stock", func(context.Context, cursor.Operator) error { return nil }))

	w.fail = nil
	run.Resume("stock")
	run.Settle()
	run.Then(reserved{"order:1"}, billed{"order:1"})
}

func TestAPauseEndsAtItsTime(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{}))
	run.Pause("stock", run.Now().Add(time.Hour))
	run.Given(order(1))
	run.Advance(59 * time.Minute)
	require.Equal(t, actors.Paused, run.Status("stock").State)
	run.Crash(1)
	run.Advance(time.Minute)
	run.Then(reserved{"order:1"}, billed{"order:1"})
}

func TestAPauseUntilThePastOrBeyondTheYear9999IsRefusedInARun(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{}))
	run.Advance(time.Hour)
	for _, until := range []time.Time{run.Now(), run.Now().Add(-time.Minute), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		err := run.Control("stock", func(ctx context.Context, w cursor.Operator) error {
			return w.Pause(ctx, until, checkpoint.Request{})
		})
		var invalid *store.InvalidError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, "until", invalid.Field)
	}
	run.Given(order(1))
	run.Settle()
	run.Then(reserved{"order:1"}, billed{"order:1"})
}

func TestAHandlerMayEndItsReactor(t *testing.T) {
	run := reactortest.Start(t, cursor.Worker{Name: "one", Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
		return cursor.Stop, nil
	}})
	run.Given(order(1))
	run.Settle()
	require.Equal(t, actors.Ended, run.Status("one").State)
	run.Given(order(2))
	require.Equal(t, reactortest.Outcome{}, run.Step("one"))
}

func TestShuffledLanesKeepTheOrderOfTheirKeys(t *testing.T) {
	orders := make(map[string]bool)
	for seed := range uint64(20) {
		stock := reactor.New("stock", reactor.On((&warehouse{}).reserve))
		stock.Lanes, stock.BatchSize = 3, 1
		run := reactortest.Start(t, stock)
		run.Shuffle(seed)
		for range 2 {
			run.Given(order(1), order(2), order(3))
		}
		run.Settle()
		got := reactortest.Of[reserved](run)
		require.ElementsMatch(t, []reserved{{"order:1"}, {"order:1"}, {"order:2"}, {"order:2"}, {"order:3"}, {"order:3"}}, got)
		orders[fmt.Sprint(got)] = true
	}
	require.Greater(t, len(orders), 3)
}

func TestALongScenarioSurvivesEveryCrash(t *testing.T) {
	healed := false
	tree := func() supervision.Child {
		healed = false
		w := &warehouse{fail: func(order string) error {
			switch {
			case order == "order:1" && !healed:
				return reactor.Park(errDown)
			case order == "order:2" && !healed:
				return errDown
			}
			return nil
		}}
		g := shop(w)
		g.Children[0].(*reactor.Reactor).Lanes = 3
		g.Policy = supervision.Policy{Attempts: 20}
		return g
	}
	reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
		for n := range 12 {
			run.Given(order(n % 4))
		}
		run.Settle()
		healed = true
		run.Advance(time.Minute)
		run.Replay("stock", cursor.ParkedFilter{All: true})
		run.Settle()
		run.Apply("billing", checkpoint.Rewind{To: 3})
		run.Given(order(5))
		run.Settle()
		require.Len(t, reactortest.Of[billed](run), 13)
	})
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

// plain is a child that is no worker.
type plain struct{}

func (plain) Spec() supervision.Spec { return supervision.Spec{Name: "plain"} }
