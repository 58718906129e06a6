package reactortest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
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

func TestAnEventThatCrashesTheProcessIsParked(t *testing.T) {
	var run *reactortest.Run
	w := &warehouse{fail: func(order string) error {
		if order == "order:2" {
			run.Crash(1)
		}
		return nil
	}}
	stock := reactor.New("stock", reactor.On(w.reserve))
	stock.Policy = supervision.Policy{Attempts: 3}
	run = reactortest.Start(t, stock)
	run.Given(order(1), order(2), order(3))
	run.Settle()
	run.Then(reserved{"order:1"}, reserved{"order:3"})
	parked := run.Parked("stock")
	require.Len(t, parked, 1)
	require.Contains(t, parked[0].Error, cursor.ErrCrashLoop.Error())
	require.Equal(t, 4, run.Crashes(), "once in the batch of all, and three times alone")
}

func TestATimeoutEndsInTheTimeOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		slow := reactor.New("slow", reactor.On(func(ctx context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
			if hangs {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return bill(ctx, reactor.Event[reserved]{Body: reserved{e.Coordinate.Entity}}, out)
		}))
		slow.Timeout = time.Minute
		run := reactortest.Start(t, slow)
		begun := time.Now()
		run.Given(order(1))
		run.Settle()
		require.Equal(t, time.Minute, time.Since(begun))
		require.ErrorIs(t, run.Status("slow").Reason, cursor.ErrTimeout)
		hangs = false
		run.Advance(time.Second)
		run.Then(billed{"order:1"})
	})
}

func TestARetryNamesItsEventAndOtherLanesContinue(t *testing.T) {
	w := &warehouse{fail: func(order string) error {
		if order == "order:1" {
			return errDown
		}
		return nil
	}}
	stock := reactor.New("stock", reactor.On(w.reserve))
	stock.Lanes = 2
	run := reactortest.Start(t, stock)
	run.Given(order(2), order(1), order(2))
	run.Settle()
	run.Then(reserved{"order:2"}, reserved{"order:2"})
	s := run.Status("stock")
	require.Equal(t, actors.Retrying, s.State)
	require.Equal(t, store.Position(2), s.Event)
	require.Equal(t, 1, s.Lag)
	require.Equal(t, 1, s.Attempt)
	require.ErrorIs(t, s.Reason, errDown)
}

func TestTheStatusOfAHaltedWorkerCountsWhatWaits(t *testing.T) {
	w := &warehouse{fail: func(order string) error {
		if order == "order:1" {
			return reactor.Park(errDown)
		}
		return reactor.Halt(errDown)
	}}
	run := reactortest.Start(t, reactor.New("stock", reactor.On(w.reserve)))
	run.Given(order(1), order(2), order(3))
	run.Settle()
	s := run.Status("stock")
	require.Equal(t, actors.Halted, s.State)
	require.Equal(t, store.Position(1), s.Position)
	require.Equal(t, 2, s.Lag)
	require.Equal(t, 1, s.Parked)
}

func reset(ctx context.Context, w cursor.Operator) error {
	_, err := w.Apply(ctx, checkpoint.Reset{}, checkpoint.Request{})
	return err
}

func TestAnOperatorDoesNotShortenTheDelayOfARestart(t *testing.T) {
	w := &warehouse{fail: func(string) error { panic(errDown) }}
	run := reactortest.Start(t, reactor.New("stock", reactor.On(w.reserve)))
	run.Given(order(1))
	run.Settle()
	due := run.Status("stock").Due
	require.NoError(t, run.Control("stock", reset))
	s := run.Status("stock")
	require.Equal(t, actors.Restarting, s.State)
	require.Equal(t, due, s.Due)
	run.Settle()
	require.Equal(t, 1, w.calls)
}

func TestADiskErrorIsACrash(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{}))
	run.Given(order(1))
	run.Disk().FailAt(run.Disk().Ops()+1, errors.New("input/output error"))
	run.Settle()
	run.Then(reserved{"order:1"}, billed{"order:1"})
	require.Equal(t, 1, run.Crashes())
}

// photographed is too large for many of them to fit into what is allocated already.
type photographed struct{ Picture string }

func (photographed) Kind() string { return "order.photographed" }

func TestAWorkerWaitsWhileTheDiskIsFull(t *testing.T) {
	camera := reactor.New("camera", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		out.Append(e.Coordinate, photographed{strings.Repeat("x", 40_000)})
		return nil
	}))
	camera.BatchSize = 1
	run := reactortest.Start(t, camera)
	for n := range 5 {
		run.Given(order(n))
	}
	run.Disk().SetCapacity(1)
	run.Settle()
	s := run.Status("camera")
	require.Equal(t, actors.Retrying, s.State)
	require.ErrorIs(t, s.Reason, store.ErrDiskFull)
	require.Zero(t, s.Event, "no event is to blame")
	run.Advance(time.Hour)
	require.Equal(t, actors.Retrying, run.Status("camera").State, "and none is parked")
	run.Disk().SetCapacity(1 << 30)
	run.Advance(time.Minute)
	require.Len(t, reactortest.Of[photographed](run), 5)
}

func TestAVolatileWorkerContinuesAfterARestartAndStartsOverAfterACrash(t *testing.T) {
	var seen []store.Position
	panics := true
	v := cursor.Worker{Name: "v", Volatile: true, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			b.Begin(i)
			if e.Position == 2 && panics {
				panics = false
				panic(errDown)
			}
			seen = append(seen, e.Position)
		}
		return cursor.Continue, nil
	}}
	run := reactortest.Start(t, v)
	run.Given(order(1), order(2))
	run.Advance(time.Minute)
	require.Equal(t, []store.Position{1, 2}, seen)
	require.Equal(t, 1, run.Status("v").Restarts)
	run.Crash(1)
	run.Settle()
	require.Equal(t, []store.Position{1, 2, 1, 2}, seen)
}

// Workers that use everything: shuffled lanes with keys of their own, a parked event that is
// discarded, one that is replayed, a panic, a pause, a rewind that emits again, and a region that
// is widened. No crash changes the result.
func TestAllOperatorActionsSurviveEveryCrash(t *testing.T) {
	var w *warehouse
	tree := func() supervision.Child {
		panics := once(errDown)
		w = &warehouse{fail: func(order string) error {
			switch order {
			case "order:1", "order:2":
				return reactor.Park(errDown)
			case "order:3":
				if panics("") != nil {
					panic(errDown)
				}
			}
			return nil
		}}
		stock := reactor.New("stock", reactor.On(w.reserve))
		stock.Lanes, stock.BatchSize = 3, 2
		billing := reactor.New("billing", reactor.On(bill))
		billing.Region = store.Region{Entity: "stock:lamp"}
		return supervision.Group{Name: "shop", Children: []supervision.Child{stock, billing}}
	}
	reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
		run.Shuffle(7)
		for n := range 8 {
			run.Given(order(n % 4))
		}
		run.Given(reactortest.At(store.At("order:9", "shop"), ordered{SKU: "desk"}))
		run.Advance(time.Minute)
		require.NoError(t, run.Control("stock", func(ctx context.Context, r cursor.Operator) error {
			_, err := r.Discard(ctx, cursor.ParkedFilter{Position: 2}, checkpoint.Request{Reason: "cancelled"})
			return err
		}))
		w.fail = nil
		run.Pause("stock", run.Now().Add(time.Hour))
		run.Given(order(4))
		run.Settle()
		require.Len(t, run.Replay("stock", cursor.ParkedFilter{Key: "order:2"}), 2)
		run.Advance(2 * time.Hour)
		require.Empty(t, run.Parked("stock"))
		run.Apply("billing", checkpoint.Widen{Region: store.Region{Entity: "stock"}, Kinds: []string{reserved{}.Kind()}})
		run.Settle()
		require.Len(t, reactortest.Of[billed](run), 9)
		run.Apply("billing", checkpoint.Rewind{Emit: true})
		run.Settle()
		require.Len(t, reactortest.Of[billed](run), 18)
	})
}

func TestAPlaceThatCannotBeReachedIsWaitedFor(t *testing.T) {
	reachable := false
	w := cursor.Worker{
		Name: "w", Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
		ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) {
			if !reachable {
				return 0, supervision.Wait(errDown)
			}
			return 0, nil
		},
	}
	run := reactortest.Start(t, w)
	run.Given(order(1))
	run.Advance(time.Hour)
	require.Equal(t, actors.Retrying, run.Status("w").State)
	require.ErrorIs(t, run.Status("w").Reason, errDown)
	reachable = true
	run.Advance(time.Hour)
	require.Equal(t, reactortest.Status{State: actors.Idle, Position: 1}, run.Status("w"))
}

// A change that is made through Control is a change like any other.
func TestWhatAWorkerReadsOutlastsACrashHoweverItWasChanged(t *testing.T) {
	billing := reactor.New("billing", reactor.On(bill))
	billing.Region = store.Region{Entity: "stock:desk"}
	run := reactortest.Start(t, billing)
	run.Given(reactortest.At(store.At("stock:lamp", "shop"), reserved{"order:1"}))
	require.NoError(t, run.Control("billing", func(ctx context.Context, w cursor.Operator) error {
		_, err := w.Apply(ctx, checkpoint.Widen{Region: store.Region{Entity: "stock"}, Kinds: []string{reserved{}.Kind()}}, checkpoint.Request{})
		return err
	}))
	run.Crash(1)
	run.Settle()
	run.Then(billed{"order:1"})
}

func TestAWorkerWhosePlaceIsAwayAtTheStartIsRetriedWhileTheOthersRun(t *testing.T) {
	away := errors.New("connection refused")
	for name, c := range map[string]struct {
		err   error
		state actors.State
	}{
		"waited for":      {supervision.Wait(away), actors.Retrying},
		"tried again":     {away, actors.Retrying},
		"another history": {supervision.Halt(away), actors.Halted},
	} {
		t.Run(name, func(t *testing.T) {
			w, mended := &warehouse{}, false
			table := cursor.Worker{
				Name:   "table",
				Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
				ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) {
					if mended {
						return 0, nil
					}
					return 0, c.err
				},
			}
			group := supervision.Group{Name: "g", Children: []supervision.Child{table, reactor.New("stock", reactor.On(w.reserve))}}
			run := reactortest.Start(t, group)
			run.Given(order(1))
			s := run.Status("table")
			require.Equal(t, c.state, s.State)
			require.ErrorIs(t, s.Reason, away)
			require.Zero(t, s.Lag, "what it reads is not known yet")
			run.Settle()
			require.Equal(t, 0, run.Status("stock").Lag)
			mended = true
			if c.state == actors.Halted {
				run.Resume("table")
			}
			run.Advance(time.Minute)
			require.Equal(t, actors.Idle, run.Status("table").State)
			require.Equal(t, 0, run.Status("table").Lag)
		})
	}
}
