package reactortest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// surrendering is a worker that bills what it can, cannot bill order 2, and says so.
func surrendering(lanes int, fail func()) cursor.Worker {
	say := func(b *cursor.Batch, i int, p store.Payload) {
		b.React(i, store.At("bill", "shop"), p)
	}
	return cursor.Worker{
		Name: "bills", Region: store.Region{Kinds: []string{ordered{}.Kind()}}, Lanes: lanes,
		Policy: supervision.Policy{Attempts: 4, Outage: supervision.OutagePolicy{Off: true}},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				if e.Coordinate.Entity == "order:2" {
					fail()
					return cursor.Continue, cursor.FailedAt(i, errDown)
				}
				say(b, i, billed{e.Coordinate.Entity})
			}
			return cursor.Continue, nil
		},
		GiveUp: func(_ context.Context, b *cursor.Batch, _ error, _ int) error {
			say(b, 0, surrendered{b.Events[0].Coordinate.Entity})
			return nil
		},
	}
}

type surrendered struct{ Order string }

func (surrendered) Kind() string { return "shop.surrendered" }

// What is given up is so once, whenever the power fails: not done without what was said instead,
// and that is not said of what is parked.
func TestACrashLeavesAnEventThatIsGivenUpDoneWithWhatIsSaidOfIt(t *testing.T) {
	for _, lanes := range []int{0, 3} {
		reactortest.EveryCrash(t, func() supervision.Child { return surrendering(lanes, func() {}) }, func(run *reactortest.Run) {
			run.Given(order(1), order(2), order(3), order(2))
			run.Settle()
			run.Advance(time.Hour)
			require.Len(t, reactortest.Of[surrendered](run), 2)
			require.Len(t, reactortest.Of[billed](run), 2)
			require.Empty(t, run.Parked("bills"))
		})
	}
}

func TestAnEventThatEndsTheProcessEachTimeIsGivenUp(t *testing.T) {
	var run *reactortest.Run
	deaths := 0
	run = reactortest.Start(t, surrendering(0, func() {
		deaths++
		run.Crash(uint64(deaths))
	}))
	run.Given(order(1), order(2), order(3))
	run.Settle()
	run.Advance(time.Hour)
	require.Equal(t, []surrendered{{"order:2"}}, reactortest.Of[surrendered](run))
	require.Len(t, reactortest.Of[billed](run), 2)
	require.Empty(t, run.Parked("bills"))
	require.Equal(t, 5, deaths, "the first with others in flight")
}

func TestAnEventThatEndsTheProcessAlsoWhenItIsGivenUpIsParked(t *testing.T) {
	var run *reactortest.Run
	w, deaths := surrendering(0, func() {}), 0
	w.GiveUp = func(context.Context, *cursor.Batch, error, int) error {
		deaths++
		run.Crash(uint64(deaths))
		return nil
	}
	run = reactortest.Start(t, w)
	run.Given(order(1), order(2), order(3))
	run.Settle()
	run.Advance(24 * time.Hour)
	require.Len(t, run.Parked("bills"), 1)
	require.Empty(t, reactortest.Of[surrendered](run))
	require.Len(t, reactortest.Of[billed](run), 2)
	require.Equal(t, 6, deaths)
}

// It is handled again, and given up again, with what that was worth.
func TestARewindHasWhatWasGivenUpGivenUpAgain(t *testing.T) {
	for _, emit := range []bool{false, true} {
		w, calls := surrendering(0, func() {}), 0
		giveUp := w.GiveUp
		w.GiveUp = func(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
			calls++
			require.Equal(t, calls > 1, b.Replayed(0))
			return giveUp(ctx, b, failure, attempts)
		}
		run := reactortest.Start(t, w)
		run.Given(order(1), order(2), order(3))
		run.Advance(time.Hour)
		run.Apply("bills", checkpoint.Rewind{To: 0, Emit: emit})
		run.Advance(time.Hour)
		require.Equal(t, 2, calls)
		want := 1
		if emit {
			want = 2
		}
		require.Len(t, reactortest.Of[surrendered](run), want)
		require.Empty(t, run.Parked("bills"))
	}
}

func TestANudgeInARunHasAnEventTriedWithoutTimePassing(t *testing.T) {
	calls := 0
	run := reactortest.Start(t, surrendering(0, func() { calls++ }))
	run.Given(order(2))
	run.Settle()
	for range 10 {
		reactortest.Nudge(run, "bills", "order:2")
		run.Settle()
	}
	require.Equal(t, 11, calls)
	require.Empty(t, reactortest.Of[surrendered](run))
	run.Advance(time.Hour)
	require.Equal(t, 14, calls, "four attempts, and what was nudged")
	require.Len(t, reactortest.Of[surrendered](run), 1)
}
