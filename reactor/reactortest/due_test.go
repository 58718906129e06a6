package reactortest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// bell repeats itself, every so many minutes.
type bell struct{ Minutes, Left int }

func (bell) Kind() string { return "bell" }

func bells() *reactor.Reactor {
	return reactor.New("bells", reactor.On(func(_ context.Context, e reactor.Event[bell], out *reactor.Reactions) error {
		if next := e.Body; next.Left > 0 {
			next.Left--
			out.After(time.Duration(next.Minutes)*time.Minute, e.Coordinate, next)
		}
		return nil
	}))
}

func TestTimeBringsWhatIsScheduledInItsOrder(t *testing.T) {
	run := reactortest.Start(t, bells())
	run.Given(bell{3, 2}, bell{2, 2})
	run.Settle()
	run.Then()
	run.Advance(2 * time.Minute)
	run.Then(bell{2, 1})
	run.Advance(10 * time.Minute)
	run.Then(bell{3, 1}, bell{2, 0}, bell{3, 0})
}

// Every month for ten years: no limit of depth ends it.
func TestWhatRepeatsItselfMeetsNoLimitOfDepth(t *testing.T) {
	run := reactortest.Start(t, bells())
	run.Given(bell{30 * 24 * 60, 120})
	run.Advance(11 * 365 * 24 * time.Hour)
	require.Len(t, reactortest.Of[bell](run), 121)
	require.Zero(t, run.Status("bells").Parked)
}

func TestAPausedWorkerWritesWhatIsDueWhenItIsResumed(t *testing.T) {
	run := reactortest.Start(t, bells())
	run.Given(bell{1, 1})
	run.Settle()
	run.Pause("bells", run.Now().Add(time.Hour))
	run.Advance(59 * time.Minute)
	run.Then()
	run.Advance(time.Minute)
	run.Then(bell{1, 0})
	require.NotEqual(t, drive.Paused, run.Status("bells").State)
}

func TestACrashLosesAndDoublesNothingThatIsScheduled(t *testing.T) {
	reactortest.EveryCrash(t, func() supervision.Child { return bells() }, func(run *reactortest.Run) {
		run.Given(reactortest.At(store.At("a", "test"), bell{1, 2}), reactortest.At(store.At("b", "test"), bell{2, 1}))
		run.Advance(90 * time.Second)
		run.Given(reactortest.At(store.At("c", "test"), bell{1, 1}))
		run.Advance(time.Hour)
		require.Len(t, reactortest.Of[bell](run), 7)
	})
}

// The payments of the example, one of which comes in the moment in which its time is over.
func TestACrashLeavesNothingThatIsCancelledAndNothingElseUndone(t *testing.T) {
	var payments Payments
	reactortest.EveryCrash(t, func() supervision.Child {
		r := reactor.New("payments",
			reactor.OnState(func(e Ordered) string { return e.Order }, payments.ordered),
			reactor.OnState(func(e Paid) string { return e.Order }, payments.paid),
			reactor.OnState(func(e PayBy) string { return e.Order }, payments.payBy))
		r.Lanes = 2
		return r
	}, func(run *reactortest.Run) {
		run.Given(Ordered{"1"}, Ordered{"2"}, Ordered{"3"})
		run.Settle()
		run.Given(Paid{"1"}, Paid{"1"})
		run.Advance(30 * time.Minute)
		run.Given(Paid{"2"})
		run.Advance(time.Hour)
		require.Equal(t, []PayBy{{"2"}, {"3"}}, reactortest.Of[PayBy](run))
		require.Equal(t, []Lapsed{{"2"}, {"3"}}, reactortest.Of[Lapsed](run))
	})
}
