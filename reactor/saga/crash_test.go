package saga_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/supervision"
)

// story is a scripted scenario of a checkout.
type story struct {
	fails   map[string][]error
	lies    []string
	play    func(t *testing.T, run *reactortest.Run, s *saga.Saga[order])
	life    saga.Life
	effects []string // that are there in the end

	attempts int // 0 means 100
}

func settle(_ *testing.T, run *reactortest.Run, _ *saga.Saga[order]) {
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
}

func stories() map[string]story {
	refuse := []error{saga.Refuse(errDown)}
	return map[string]story{
		"all goes well": {play: settle, life: saga.Completed, effects: []string{
			"checkout/42.1/charge.1", "checkout/42.1/invoice.1", "checkout/42.1/label.1", "checkout/42.1/reserve.1", "checkout/42.1/ship.1",
		}},
		"the first step is refused":  {play: settle, fails: map[string][]error{"reserve": refuse}, life: saga.Compensated},
		"the second step is refused": {play: settle, fails: map[string][]error{"charge": refuse}, life: saga.Compensated},
		"a branch is refused": {
			play: settle, fails: map[string][]error{"label": refuse}, life: saga.Compensated,
			effects: []string{"checkout/42.1/invoice.1"},
		},
		"a step is flaky": {
			play: func(t *testing.T, run *reactortest.Run, s *saga.Saga[order]) {
				settle(t, run, s)
				run.Advance(time.Second)
			},
			fails: map[string][]error{"reserve": {errDown, saga.Refuse(errDown)}}, life: saga.Compensated,
		},
		"it is cancelled while a step is tried again": {
			play: func(t *testing.T, run *reactortest.Run, s *saga.Saga[order]) {
				settle(t, run, s)
				run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
				run.Settle()
				run.Advance(time.Minute)
			},
			fails: map[string][]error{"charge": {errDown}}, lies: []string{"charge"}, life: saga.Compensated,
		},
		"its deadline passes while a step is tried again": {
			play: func(t *testing.T, run *reactortest.Run, s *saga.Saga[order]) {
				settle(t, run, s)
				run.Advance(time.Minute)
			},
			fails: map[string][]error{"charge": {errDown}}, lies: []string{"charge"}, life: saga.Compensated,
		},
		"a step is tried for nothing": {
			play: func(t *testing.T, run *reactortest.Run, s *saga.Saga[order]) {
				settle(t, run, s)
				run.Advance(20 * time.Second)
			},
			fails: map[string][]error{"charge": {errDown}}, lies: []string{"charge"}, attempts: 4, life: saga.Compensated,
		},
		"the clock is set while a step is tried again, between two runs, and then forwards over the deadline": {
			play: func(t *testing.T, run *reactortest.Run, s *saga.Saga[order]) {
				settle(t, run, s)
				reactortest.SetClock(run, -time.Hour)
				run.Advance(time.Second)
				run.Crash(3)
				run.Advance(time.Second)
				reactortest.SetClock(run, 2*time.Hour)
				run.Settle()
				run.Advance(10 * time.Second)
			},
			fails: map[string][]error{"charge": {errDown}}, lies: []string{"charge"}, life: saga.Compensated,
		},
		"an order comes twice": {
			play: func(t *testing.T, run *reactortest.Run, s *saga.Saga[order]) {
				settle(t, run, s)
				settle(t, run, s)
			},
			fails: map[string][]error{"charge": refuse}, life: saga.Compensated,
		},
	}
}

func TestACrashAnywhereLeadsToTheSameEnd(t *testing.T) {
	for name, st := range few(stories()) {
		t.Run(name, func(t *testing.T) {
			var w *world
			var s *saga.Saga[order]
			tree := func() supervision.Child {
				w = newWorld()
				for step, list := range st.fails {
					w.fails[step] = append([]error(nil), list...)
				}
				for _, step := range st.lies {
					w.lies[step] = true
				}
				s = w.checkout()
				s.Deadline = 30 * time.Second
				s.Effects.Policy.Attempts = max(st.attempts, 1)
				if st.attempts == 0 {
					s.Effects.Policy.Attempts = 100
				}
				return s
			}
			reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
				st.play(t, run, s)
				run.Settle()
				o, err := s.In(run.Store()).Get("42")
				require.NoError(t, err)
				require.Equal(t, st.life, o.Life, "%v", o)
				require.Equal(t, st.effects, w.effects())
			})
		})
	}
}

// few are three of them, under the race detector one: other ones in each run.
func few[T any](all map[string]T) map[string]T {
	n := 3
	if underRace {
		n = 1
	}
	some := make(map[string]T)
	for name, one := range all { // in random order
		if some[name] = one; len(some) == n {
			break
		}
	}
	return some
}

// less is n, and under the race detector a tenth of it.
func less(n int) int {
	if underRace {
		return n / 10
	}
	return n
}
