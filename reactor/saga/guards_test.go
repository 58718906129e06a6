package saga_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestManyStartersOfAKeyMakeOneInstance(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	require.NoError(t, err)
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			_, err := st.Append(t.Context(), at("42"), store.Any, placed("42"))
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	o, err := s.In(st).Wait(t.Context(), "42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.NoError(t, sys.WaitCaughtUp(t.Context(), "checkout"))
	require.NoError(t, sys.Stop(t.Context()))
	require.Len(t, w.calls, 5, "each step once")
	recorded := 0
	for e, err := range s.In(st).History(t.Context(), "42") {
		require.NoError(t, err)
		if e.Kind == "saga.checkout.recorded" {
			recorded++
		}
	}
	require.Equal(t, 63, recorded, "duplicates")
}

// looping goes around a thousand times: the same step, an event that a reactor answers, and a
// timer.
type turned struct{ N int }

func (turned) Kind() string { return "wheel.turned" }

type turn struct{ N int }

func (turn) Kind() string { return "wheel.turn" }

type started struct{}

func (started) Kind() string { return "wheel.started" }

func TestAThousandStepsMeetNoGuard(t *testing.T) {
	type wheel struct{ Turns int }
	one := func(string) string { return "one" }
	s := saga.New("wheel",
		saga.Start(func(started) string { return one("") }, func(_ context.Context, _ reactor.Event[started], tx *saga.Tx[wheel]) error {
			tx.Run("turn")
			return nil
		}),
		saga.On(func(turned) string { return "one" }, func(_ context.Context, _ reactor.Event[turned], tx *saga.Tx[wheel]) error {
			if tx.State.Turns++; tx.State.Turns == 1000 {
				tx.Complete()
				return nil
			}
			tx.Run("turn")
			return nil
		}),
		saga.Do("turn", func(context.Context, saga.Step[wheel]) (int, error) { return 1, nil }, nil).Then(
			func(_ context.Context, n int, tx *saga.Tx[wheel]) error {
				tx.Emit(store.At("wheel", "shop"), turn{N: n})
				return nil
			}),
	)
	answers := reactor.New("answers", reactor.On(func(_ context.Context, e reactor.Event[turn], out *reactor.Reactions) error {
		out.Append(e.Coordinate, turned(e.Body))
		return nil
	}))
	run := reactortest.Start(t, supervision.Group{Name: "shop", Children: []supervision.Child{s, answers}})
	run.Given(started{})
	run.Settle()
	o, err := s.In(run.Store()).Get("one")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.Equal(t, 1000, o.State.Turns)
	require.Empty(t, run.Parked("answers"))
}

func TestAMonthlyTimerRunsForTenYears(t *testing.T) {
	type rent struct{ Months int }
	s := saga.New("rent",
		saga.Start(func(started) string { return "flat" }, func(_ context.Context, _ reactor.Event[started], tx *saga.Tx[rent]) error {
			tx.At("month", tx.Now().AddDate(0, 1, 0))
			return nil
		}),
		saga.OnTimer("month", func(_ context.Context, f saga.Fired, tx *saga.Tx[rent]) error {
			if tx.Now().Before(f.Due) {
				return fmt.Errorf("too early: %v", f)
			}
			tx.State.Months++
			tx.At("month", f.Due.AddDate(0, 1, 0))
			return nil
		}),
	)
	run := reactortest.Start(t, s)
	run.Given(started{})
	run.Settle()
	begun := run.Now()
	run.Advance(begun.AddDate(10, 0, 0).Sub(begun))
	o, err := s.In(run.Store()).Get("flat")
	require.NoError(t, err)
	require.Equal(t, 120, o.State.Months)
	require.Equal(t, begun.AddDate(10, 1, 0), o.Timers[0].Due)
	require.Empty(t, run.Parked("rent"))
}

func TestTwoThousandBadInputsHoldUpNoInstance(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	s.Policy.Attempts = 2
	run := reactortest.Start(t, s)
	bad := make([]store.Payload, 0, less(2000))
	for i := range less(2000) {
		bad = append(bad, reactortest.At(at(fmt.Sprint(i)), store.Raw{Type: orderPlaced{}.Kind(), Data: []byte(`{"Order": 7}`)}))
	}
	run.Given(bad...)
	run.Given(reactortest.At(at("42"), placed("good")))
	run.Settle()
	run.Advance(time.Hour)
	o, err := s.In(run.Store()).Get("good")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
}
