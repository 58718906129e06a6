package reactortest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestEventsPausesAndWhatIsParkedHaveTheTimeOfTheRun(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{fail: func(string) error { return reactor.Park(errors.New("poison")) }}))
	run.Advance(90 * time.Minute)
	run.Given(order(1))
	run.Advance(time.Minute)
	run.Crash(1)
	run.Given(order(2))
	run.Settle()
	var times []time.Time
	for e, err := range run.Store().Read(t.Context(), store.Region{Kinds: []string{ordered{}.Kind()}}, store.Beginning()) {
		require.NoError(t, err)
		times = append(times, e.Time.Time())
	}
	require.Equal(t, []time.Time{run.Now().Add(-time.Minute), run.Now()}, times)
	require.Equal(t, run.Now(), run.Store().Now())
	for i, parked := range run.Parked("stock") {
		require.Equal(t, times[i], parked.Since)
	}
	run.Pause("billing", time.Time{})
	info, err := checkpoint.Inspect(run.Store(), "billing")
	require.NoError(t, err)
	require.Equal(t, run.Now(), info.Pause.Since)
}

type reminded struct{ After time.Duration }

func (reminded) Kind() string { return "order.reminded" }

// reminders is a program that answers an order with how long it has waited.
func reminders() supervision.Child {
	return reactortest.Program(func(st *store.Store) supervision.Child {
		return reactor.New("reminders", reactor.On(func(
			_ context.Context, e reactor.Event[ordered], out *reactor.Reactions,
		) error {
			waited := st.Now().Sub(e.Time.Time())
			if waited < time.Hour {
				return reactor.RetryAfter(time.Hour-waited, errors.New("too early"))
			}
			out.Append(e.Coordinate, reminded{After: waited})
			return nil
		}))
	})
}

func TestAProgramThatActsByTheTimeOfItsStoreActsAtThatTimeWhereverThePowerFails(t *testing.T) {
	reactortest.EveryCrash(t, reminders, func(run *reactortest.Run) {
		run.Given(order(1))
		run.Advance(30 * time.Minute)
		run.Then()
		run.Advance(30 * time.Minute)
		run.Then(reminded{After: time.Hour})
	})
}
