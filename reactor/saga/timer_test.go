package saga_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// What is taken back before it is due is not in the log either, and what has fired is not set.
func TestWhatIsTakenBackDoesNotFire(t *testing.T) {
	for name, c := range map[string]struct {
		then  []store.Payload
		fires int
	}{
		"it is left":       {nil, 1},
		"it is set again":  {[]store.Payload{wind{"clock0", "a", 2 * time.Hour, false}}, 1},
		"it is taken back": {[]store.Payload{stop{"clock0", "a"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			run := reactortest.Start(t, clocks())
			run.Given(wind{"clock0", "a", time.Hour, false})
			run.Given(c.then...)
			run.Advance(24 * time.Hour)
			require.Len(t, firings(t, run), c.fires)
			o, err := clocks().In(run.Store()).Get("clock0")
			require.NoError(t, err)
			require.Empty(t, o.Timers)
		})
	}
}

// timed is a saga whose start does something, with a timer of phase "late" that is due in an hour.
func timed(w *world, start func(tx *saga.Tx[order])) *saga.Saga[order] {
	return saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.State = order{ID: e.Body.Order}
			tx.After("a", time.Hour)
			start(tx)
			return nil
		}),
		saga.OnTimer("a", func(_ context.Context, _ saga.Fired, tx *saga.Tx[order]) error {
			tx.State.Payment = "late"
			return nil
		}, saga.In("late")),
		saga.Do("charge", w.action("charge"), w.back("charge")),
		saga.Undo("release", func(context.Context, saga.Step[order]) error { return nil }),
	)
}

func TestNoTimerOfAnInstanceFiresThatTurnsBackOrEnds(t *testing.T) {
	for name, end := range map[string]func(tx *saga.Tx[order]){
		"it ends":       func(tx *saga.Tx[order]) { tx.Complete() },
		"it turns back": func(tx *saga.Tx[order]) { tx.Compensate(errDown) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := timed(w, end)
			run := begun(t, s)
			run.Advance(2 * time.Hour)
			require.True(t, get(t, s, run).Life.Ended())
			require.Empty(t, firings(t, run))
		})
	}
}

func TestATimerOfAnotherPhaseIsRecorded(t *testing.T) {
	for phase, payment := range map[string]string{"late": "late", "early": ""} {
		w := newWorld()
		s := timed(w, func(tx *saga.Tx[order]) { tx.Goto(phase) })
		run := begun(t, s)
		run.Advance(2 * time.Hour)
		require.Equal(t, payment, get(t, s, run).State.Payment)
		if payment == "" {
			require.Contains(t, recorded(t, s.In(run.Store()), "42")[0], `timer "a" is not expected`)
		}
	}
}

// What a handler asks for that cannot be fails its input.
func TestWhatCannotBeFailsItsInput(t *testing.T) {
	for why, start := range map[string]func(tx *saga.Tx[order]){
		`action "charge" is in flight already`: func(tx *saga.Tx[order]) { tx.Run("charge"); tx.Run("charge") },
		`the saga has no timer "b"`:            func(tx *saga.Tx[order]) { tx.After("b", time.Hour) },
		`"p" is one of instance "1"`:           func(tx *saga.Tx[order]) { tx.Alias("payment", "p"); tx.Alias("payment", "p") },
	} {
		w := newWorld()
		s := timed(w, start)
		s.Policy.Attempts = 1
		run := reactortest.Start(t, s)
		run.Given(reactortest.At(at("1"), placed("1")))
		run.Settle()
		run.Given(reactortest.At(at("42"), placed("42")))
		run.Settle()
		parked := run.Parked("checkout")
		require.NotEmpty(t, parked, why)
		require.Contains(t, parked[len(parked)-1].Error, why)
		if o, err := s.In(run.Store()).Get("1"); err == nil {
			require.Equal(t, [][2]string{{"payment", "p"}}, o.Aliases, "twice is once")
		}
	}
}

// What fails where there is something to undo is Compensated.
func TestAnInstanceThatFailsWithSomethingToUndoIsCompensated(t *testing.T) {
	w := newWorld()
	s := timed(w, func(tx *saga.Tx[order]) {
		tx.OnUndo("release")
		tx.Fail(errSoldOut)
	})
	run := begun(t, s)
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
}

// However many timers of an instance are due, over restarts: each fires once, in the order of their
// times, and the deadline behind them.
func TestManyTimersOfAnInstanceFireOnceInTheirOrder(t *testing.T) {
	const n = 300 // more than are written at a time
	parts := []saga.Part[order]{saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
		for i := range n {
			tx.After(fmt.Sprint("t", i), time.Duration(i*7919%n+1)*time.Second)
		}
		return nil
	})}
	for i := range n {
		parts = append(parts, saga.OnTimer(fmt.Sprint("t", i), func(_ context.Context, _ saga.Fired, tx *saga.Tx[order]) error {
			tx.State.Cents++
			return nil
		}))
	}
	s := saga.New("checkout", parts...)
	s.Deadline = time.Hour
	run := begun(t, s)
	run.Pause("checkout", time.Time{})
	run.Advance(2 * time.Hour)
	run.Resume("checkout")
	for i := uint64(0); !get(t, s, run).Life.Ended() && i < 50; i++ {
		run.Step("checkout")
		if i%2 == 0 {
			run.Crash(i)
		}
		run.Advance(time.Second)
	}
	require.EqualValues(t, n, get(t, s, run).State.Cents)
	require.ErrorIs(t, get(t, s, run).Err, saga.ErrDeadline)
	all := firings(t, run)
	require.Len(t, all, n+1)
	require.True(t, slices.IsSortedFunc(all, func(a, b firing) int { return a.Due.Compare(b.Due) }))
}
