package reactortest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// busy is a provider that counts requests: when it got how many.
type busy struct {
	run  *reactortest.Run
	at   []time.Time
	fail func(store.Position) error
}

func (p *busy) worker(perSecond float64, lanes int) cursor.Worker {
	return cursor.Worker{
		Name: "w", Kinds: []string{ordered{}.Kind()}, Rate: perSecond, Lanes: lanes,
		Policy: supervision.Policy{Attempts: 3, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: time.Millisecond}},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				p.at = append(p.at, p.run.Now())
				if p.fail != nil {
					if err := p.fail(e.Position); err != nil {
						return cursor.Continue, cursor.FailedAt(i, err)
					}
				}
			}
			return cursor.Continue, nil
		},
	}
}

// most returns the most requests in a second.
func (p *busy) most() (most int) {
	for i := range p.at {
		n := 0
		for j := i; j < len(p.at) && p.at[j].Sub(p.at[i]) < time.Second; j++ {
			n++
		}
		most = max(most, n)
	}
	return most
}

func orders(n int) (list []store.Payload) {
	for i := range n {
		list = append(list, order(i+1))
	}
	return list
}

func TestAWorkerHandlesNoMoreEventsInASecondThanItsRate(t *testing.T) {
	for name, c := range map[string]struct {
		rate  float64
		lanes int
		n     int
		most  int           // in any second: the rate, and one slice that has gathered before
		takes time.Duration // for all of them
	}{
		"one by one":       {rate: 2, n: 11, most: 3, takes: 5 * time.Second},
		"less than one":    {rate: 0.1, n: 4, most: 1, takes: 30 * time.Second},
		"in batches":       {rate: 100, n: 310, most: 110, takes: 3100 * time.Millisecond},
		"with lanes":       {rate: 4, lanes: 8, n: 21, most: 5, takes: 5 * time.Second},
		"lanes in batches": {rate: 50, lanes: 8, n: 106, most: 55, takes: 2100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			p := &busy{}
			run := reactortest.Start(t, p.worker(c.rate, c.lanes))
			p.run = run
			run.Given(orders(c.n)...)
			run.Settle()
			s := run.Status("w")
			require.Equal(t, actors.Throttled, s.State)
			require.NoError(t, s.Reason)
			require.True(t, s.Due.After(run.Now()))
			run.Advance(c.takes + time.Millisecond)
			require.Equal(t, c.n, len(p.at))
			require.LessOrEqual(t, p.most(), c.most)
			require.GreaterOrEqual(t, p.at[c.n-1].Sub(p.at[0]), c.takes*9/10, "not faster")
			require.Equal(t, actors.Idle, run.Status("w").State)
			run.Advance(time.Hour)
			run.Given(orders(c.n)...)
			run.Advance(c.takes + time.Millisecond)
			require.LessOrEqual(t, p.most(), c.most, "a rest saves up no more than one slice")
		})
	}
}

func TestEachTryCountsForTheRateAndNoRestartResetsIt(t *testing.T) {
	broken := errors.New("broken")
	for name, fail := range map[string]func() error{
		"errors": func() error { return broken }, "panics": func() error { panic(broken) },
	} {
		for _, lanes := range []int{0, 4} {
			t.Run(name, func(t *testing.T) {
				p := &busy{}
				ill := true
				p.fail = func(event store.Position) error {
					if ill && event == 2 {
						return fail()
					}
					return nil
				}
				run := reactortest.Start(t, p.worker(2, lanes))
				p.run = run
				run.Given(orders(6)...)
				run.Advance(time.Minute)
				require.Equal(t, 1, run.Status("w").Parked)
				require.GreaterOrEqual(t, len(p.at), 8)
				ill = false
				run.Replay("w", cursor.ParkedFilter{All: true})
				run.Advance(time.Minute)
				require.Zero(t, run.Status("w").Parked)
				require.LessOrEqual(t, p.most(), 3)
			})
		}
	}
}

func TestProbesOfAnOutageCountForTheRateToo(t *testing.T) {
	p := &busy{}
	down := true
	p.fail = func(store.Position) error {
		if down {
			return errProvider
		}
		return nil
	}
	run := reactortest.Start(t, p.worker(0.5, 4))
	p.run = run
	run.Given(orders(20)...)
	run.Advance(10 * time.Minute)
	require.Equal(t, actors.Outage, run.Status("w").State)
	down = false
	run.Advance(10 * time.Minute)
	require.Equal(t, actors.Idle, run.Status("w").State)
	require.Zero(t, run.Status("w").Parked+run.Status("w").Lag)
	require.LessOrEqual(t, p.most(), 1)
}
