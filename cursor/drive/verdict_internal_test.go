package drive

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// court is a worker whose failures are judged late, while an operator moves it. After each act it
// does all that it can.
type court struct {
	*play
	tasks []*fakeTask // with a handler
	asked []Decision  // to be made
	fails int
	order func() // of an operator
}

// act is something that may happen next; it reports whether it can.
type act struct {
	name string
	do   func(c *court) bool
}

var acts = []act{
	{"fail", func(c *court) bool { return c.fail(false) }},
	{"panic", func(c *court) bool { return c.fail(true) }},
	{"park for the oldest", func(c *court) bool { return c.answer(0, supervision.ActionPark) }},
	{"skip for the newest", func(c *court) bool { return c.answer(len(c.asked)-1, supervision.ActionSkip) }},
	{"retry for the oldest", func(c *court) bool { return c.answer(0, supervision.ActionRetry) }},
	{"move", func(c *court) bool { return c.operate(true, c.engine.Again) }},
	{"replay", func(c *court) bool { return c.operate(false, c.engine.Again) }},
	{"leave out", func(c *court) bool { return c.operate(false, c.leaveOut) }},
	{"pass", func(c *court) bool {
		c.now = c.now.Add(time.Minute)
		return true
	}},
}

func newCourt(t *testing.T, lanes int) *court {
	t.Helper()
	c := &court{play: beginPlay(t, Incarnation{Lanes: lanes}, 2)}
	c.engine.strict = true
	c.settle()
	return c
}

// fail ends the oldest task with an error of its own.
func (c *court) fail(panics bool) bool {
	if len(c.tasks) == 0 {
		return false
	}
	c.fails++
	f := failure(c.tasks[0].event)
	f.Err, f.Panic = fmt.Errorf("failure %d: %w", c.fails, errBroken), panics
	c.finish(c.tasks[0], f)
	c.tasks = c.tasks[1:]
	return true
}

// operate has an operator do something about what fails.
func (c *court) operate(moved bool, about func(store.Position)) bool {
	c.order = func() {
		for _, event := range c.engine.failing() {
			about(event)
		}
		c.operated(Operation{Moved: moved})
	}
	c.Operate()
	return true
}

// leaveOut is what a skip of the operator does.
func (c *court) leaveOut(event store.Position) {
	delete(c.engine.failed, event)
	c.engine.done[event] = true
}

// answer decides about one of the failures.
func (c *court) answer(i int, action supervision.Action) bool {
	if len(c.asked) == 0 || i > 0 && len(c.asked) == 1 {
		return false
	}
	d := c.asked[i]
	c.asked = slices.Delete(slices.Clone(c.asked), i, i+1)
	d.Action, d.Attempt = action, 1
	if d.Restart = d.Restart && action != supervision.ActionRetry; action == supervision.ActionRetry {
		d.Delay = time.Minute
	}
	c.Decide(c.now, d)
	return true
}

func (c *court) settle() {
	c.t.Helper()
	for range 100 {
		intake := Take
		if len(c.tasks) >= c.engine.lanes {
			intake = ReadAhead
		}
		switch s := c.Next(context.Background(), c.now, intake); s.Kind {
		case StepWait:
			return
		case StepRun:
			c.tasks = append(c.tasks, s.Task.(*fakeTask))
		case StepReport:
			if u := s.Update; u.Kind == UpdateFailed {
				c.asked = append(c.asked, Decision{
					First: u.First, Serial: u.Serial, Reason: u.Failure.Err, Restart: u.Failure.Panic,
				})
			}
		case StepCommit:
			c.Commit(context.Background(), c.now)
		case StepOperate:
			c.order()
		default:
		}
	}
	require.Fail(c.t, "it never waits")
}

// explore lets every act happen after a sequence of acts, up to a depth. The engine finds a
// decision that is carried out for another failure than the one it is about.
func (c *court) explore(depth int, path []int, seen *int) {
	for i := range acts {
		again := newCourt(c.t, c.engine.lanes)
		next, possible := append(slices.Clip(path), i), true
		for _, a := range next {
			possible = possible && acts[a].do(again)
			again.settle()
		}
		if !possible {
			continue
		}
		if c.t.Failed() {
			for _, a := range next {
				c.t.Log(acts[a].name)
			}
			c.t.FailNow()
		}
		if *seen++; depth > 1 {
			again.explore(depth-1, next, seen)
		}
	}
}

func TestInNoOrderOfFailuresMovesAndDecisionsIsOneCarriedOutForAnotherFailure(t *testing.T) {
	seen := 0
	for lanes := 1; lanes <= 2; lanes++ {
		newCourt(t, lanes).explore(6, nil, &seen)
	}
	t.Log(seen, "orders")
}

// Others are handled until the supervisor has decided, and an event that is parked counts as done.
func TestAVerdictOnAProbeOfAParkedEventIsCarriedOutAfterOthersWereCommitted(t *testing.T) {
	s := newService(t, 4, 1, supervision.Policy{Attempts: 3})
	s.down = func(event store.Position) bool { return event == 1 }
	s.advance(3 * time.Second)
	require.Equal(t, []store.Position{1}, s.engine.parked)

	s.now = s.w.Due()
	step := s.w.Next(t.Context(), s.now, Take)
	require.Equal(t, StepRun, step.Kind)
	probe := step.Task.(*fakeTask)
	probe.err = asking(1, supervision.Skip(errBroken))
	s.w.Finished(probe)
	require.Equal(t, StepCommit, s.w.Next(t.Context(), s.now, Take).Kind)
	s.w.Commit(t.Context(), s.now)
	failed := s.w.Next(t.Context(), s.now, Take)
	require.Equal(t, StepReport, failed.Kind)

	s.engine.head = 2
	s.w.Available(2)
	s.settle()
	require.True(t, s.engine.done[2])
	s.hear(failed.Update)
	s.settle()
	require.False(t, s.engine.failed[1])
	require.Equal(t, 2, s.count(UpdateDecided), "it was parked, and is skipped")
	require.Empty(t, s.judge.Failing())
}
