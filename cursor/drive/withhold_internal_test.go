package drive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// ownFailure is what a handler returns that may be an outage.
func ownFailure(event store.Position) *cursor.HandlerError {
	f := failure(event)
	f.Evidence = true
	return f
}

// service is a worker whose handler calls other services, with a judge and a clock that moves from
// one thing that is due to the next.
type service struct {
	t      *testing.T
	w      *Worker
	engine *fakeEngine
	judge  *supervision.Judge
	now    time.Time
	tasks  []*fakeTask
	down   func(store.Position) bool                 // whether a call for an event fails now
	fails  func(store.Position) *cursor.HandlerError // how; nil: with an error of its own
	calls  int
	seen   []UpdateKind
	given  []store.Position // up
}

func newService(t *testing.T, lanes int, events store.Position, policy supervision.Policy) *service {
	s := &service{
		t: t, engine: newFake(t, lanes, events), now: begun, down: func(store.Position) bool { return false },
		judge: supervision.NewJudge(supervision.Spec{Policy: policy}, nil),
		w:     NewWorker(Incarnation{Lanes: lanes, Policy: &policy}),
	}
	s.w.Acquired(s.engine, nil)
	s.w.Begin()
	return s
}

// settle does all that can be done now.
func (s *service) settle() {
	for range 100_000 {
		intake := Take
		if len(s.tasks) >= max(1, s.engine.lanes) {
			intake = ReadAhead
		}
		switch step := s.w.Next(context.Background(), s.now, intake); step.Kind {
		case StepRun:
			s.tasks = append(s.tasks, step.Task.(*fakeTask))
		case StepCommit:
			s.w.Commit(context.Background(), s.now)
		case StepReport:
			s.hear(step.Update)
		case StepPull:
			if s.engine.scanned < s.engine.head {
				s.w.Available(s.engine.head)
			}
		case StepWait:
			if len(s.tasks) == 0 {
				return
			}
			s.call()
		default:
			require.Fail(s.t, "unexpected", step.Kind)
		}
	}
	require.Fail(s.t, "it never comes to rest")
}

// call runs the oldest task.
func (s *service) call() {
	task := s.tasks[0]
	s.tasks = s.tasks[1:]
	if task.given {
		require.False(s.t, s.engine.suspended[s.engine.dependency(task.event)], "given up in an outage")
		s.given = append(s.given, task.event)
		s.w.Finished(task)
		return
	}
	s.calls++
	if s.down(task.event) {
		task.err = ownFailure(task.event)
		if s.fails != nil {
			task.err = s.fails(task.event)
		}
	}
	s.w.Finished(task)
}

func (s *service) hear(u *Update) {
	s.seen = append(s.seen, u.Kind)
	switch u.Kind {
	case UpdateFailed:
		v := s.judge.Failed(s.now, u.Failure)
		s.w.Decide(s.now, Decision{First: u.First, Serial: u.Serial, Action: v.Action, Delay: v.Delay, Attempt: v.Attempt, Reason: v.Reason})
	case UpdateCharged:
		s.judge.Charge(uint64(u.Event))
	case UpdateKept:
		s.judge.Remember(uint64(u.Event), u.Attempts)
	case UpdatePutOff:
		s.judge.Remember(uint64(u.Event), u.Decision.Attempt-1)
	case UpdatePassed:
		s.judge.Passed(s.now, uint64(u.Event))
	default:
	}
}

// advance lets time pass.
func (s *service) advance(d time.Duration) {
	end := s.now.Add(d)
	for {
		s.settle()
		due := s.w.Due()
		if due.IsZero() || due.After(end) {
			s.now = end
			return
		}
		require.False(s.t, due.Before(s.now), "due in the past, which it does not use")
		s.now = due
	}
}

func (s *service) count(kind UpdateKind) (n int) {
	for _, k := range s.seen {
		if k == kind {
			n++
		}
	}
	return n
}

func TestAnOutageLeavesNothingParkedAndCallsLittle(t *testing.T) {
	for _, lanes := range []int{1, 2, 8} {
		s := newService(t, lanes, 300, supervision.Policy{})
		down := true
		s.down = func(event store.Position) bool { return down || event == 70 }
		s.advance(10 * time.Minute)
		require.Equal(t, Outage, s.w.State())
		require.ErrorIs(t, s.w.Trouble(), supervision.ErrOutage)
		require.Less(t, s.calls, 100, "lanes %d", lanes)
		require.Equal(t, 1, s.count(UpdateOutage))
		require.Empty(t, s.engine.parked)
		down = false
		s.advance(2 * time.Minute)
		require.Equal(t, 1, s.count(UpdateOutageOver))
		require.Equal(t, []store.Position{70}, s.engine.parked)
		require.Len(t, s.engine.done, 300)
	}
}

func TestInAnOutageOneEventIsTriedAtATimeAndOthersTakeTurns(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 10, supervision.Policy{})
		tried := make(map[store.Position]int)
		s.down = func(event store.Position) bool { tried[event]++; return true }
		s.advance(5 * time.Minute)
		clear(tried)
		s.advance(10 * time.Minute)
		require.Len(t, tried, 10, "all of them: %v", tried)
		for event, n := range tried {
			require.LessOrEqual(t, n, 4, "%d: %v", event, tried)
		}
	}
}

func TestWithLanesEventsOfOtherDependenciesContinueInAnOutage(t *testing.T) {
	s := newService(t, 4, 100, supervision.Policy{})
	s.engine.depends = func(event store.Position) string { return fmt.Sprint(event % 2) }
	s.down = func(event store.Position) bool { return event%2 == 0 }
	s.advance(time.Minute)
	require.Len(t, s.engine.done, 50)
	require.Equal(t, Outage, s.w.State())
}

func TestOneEventAloneIsParkedAndProbed(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 1, supervision.Policy{Attempts: 3})
		down := true
		s.down = func(store.Position) bool { return down }
		s.advance(time.Second)
		require.Equal(t, []store.Position{1}, s.engine.parked)
		require.Equal(t, Idle, s.w.State())
		s.advance(10 * time.Minute)
		require.Equal(t, []store.Position{1}, s.engine.parked)
		require.Equal(t, Outage, s.w.State())
		require.InDelta(t, 24, s.calls, 3, "each 30 s, once it is parked")
		down = false
		s.advance(time.Minute)
		require.Empty(t, s.engine.parked)
		require.Equal(t, Idle, s.w.State())
	}
}

func TestABadEventIsNotProbedAnyMoreOnceAnotherIsHandled(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 1, supervision.Policy{Attempts: 3})
		s.down = func(event store.Position) bool { return event == 1 }
		s.advance(10 * time.Minute)
		s.engine.head = 2
		s.w.Available(2)
		s.advance(time.Minute)
		calls := s.calls
		s.advance(time.Hour)
		require.Equal(t, calls, s.calls)
		require.Equal(t, []store.Position{1}, s.engine.parked)
		require.Equal(t, Idle, s.w.State())
		require.Nil(t, s.w.doubts)
	}
}

func TestSkippingWaitsUntilItIsKnownWhatIsToBlame(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 1, supervision.Policy{Attempts: 3, Exhausted: supervision.ActionSkip})
		s.down = func(event store.Position) bool { return event == 1 }
		s.advance(20 * time.Minute)
		require.Empty(t, s.engine.done)
		require.Equal(t, Outage, s.w.State())
		s.engine.head = 2
		s.w.Available(2)
		s.advance(20 * time.Minute)
		require.True(t, s.engine.done[2])
		s.engine.head = 3
		s.w.Available(3)
		s.advance(20 * time.Minute)
		require.Len(t, s.engine.done, 3, "1 is skipped: others were handled")
		require.Nil(t, s.w.doubts)
	}
}

func TestAnOutageIsNeverTheFaultOfEventsThatAreTurnedOffForIt(t *testing.T) {
	s := newService(t, 4, 4, supervision.Policy{Attempts: 3, Outage: supervision.OutagePolicy{Off: true}})
	s.down = func(store.Position) bool { return true }
	s.advance(time.Hour)
	require.ElementsMatch(t, []store.Position{1, 2, 3, 4}, s.engine.parked)
	require.Equal(t, 12, s.calls)
}

// Services that come and go, and bad events: in the end the bad ones alone are parked, and little
// was called that did not answer.
func TestRandomOutagesHealThemselves(t *testing.T) {
	outs := 0
	for seed := range uint64(300) {
		outs += randomOutages(t, seed)
	}
	require.Greater(t, outs, 100)
}

func randomOutages(t *testing.T, seed uint64) int {
	dice := rand.New(rand.NewPCG(seed, 0))
	lanes, services := 1+dice.IntN(4), 1+dice.IntN(3)
	policy := supervision.Policy{Attempts: 2 + dice.IntN(5)}
	if dice.IntN(4) == 0 {
		policy.Exhausted = supervision.ActionSkip
	}
	s := newService(t, lanes, store.Position(1+dice.IntN(40)), policy)
	s.w.gives = dice.IntN(3) == 0
	bad := make(map[store.Position]bool)
	for range dice.IntN(4) {
		bad[store.Position(1+dice.IntN(40))] = true
	}
	away := make([]bool, services)
	s.engine.depends = func(event store.Position) string { return fmt.Sprint(int(event) % services) }
	s.down = func(event store.Position) bool { return bad[event] || away[int(event)%services] }
	for range 1 + dice.IntN(6) {
		away[dice.IntN(services)] = dice.IntN(2) == 0
		calls, length := s.calls, time.Duration(1+dice.IntN(40))*time.Minute
		queued := len(s.engine.undone())
		s.advance(length)
		tried := s.calls - calls - queued
		require.LessOrEqual(t, tried, 90*services+40*len(bad)+int(length/(20*time.Second))*services, "seed %d", seed)
		s.engine.head += store.Position(dice.IntN(3))
		s.w.Available(s.engine.head)
	}
	clear(away)
	for range 60 { // however rare the traffic
		s.engine.head += store.Position(services)
		s.w.Available(s.engine.head)
		s.advance(time.Hour)
	}
	for _, event := range slices.Sorted(slices.Values(s.engine.parked)) {
		require.True(t, bad[event], "seed %d: %d is parked", seed, event)
	}
	require.Empty(t, s.engine.undone(), "seed %d", seed)
	for _, event := range s.given {
		require.True(t, bad[event], "seed %d: %d is given up", seed, event)
	}
	require.False(t, s.w.gives && len(s.engine.parked) > 0, "seed %d", seed)
	for event := range bad {
		switch {
		case event > s.engine.head:
		case s.w.gives:
			require.Contains(t, s.given, event, "seed %d", seed)
		case policy.Exhausted != supervision.ActionSkip:
			require.Contains(t, s.engine.parked, event, "seed %d", seed)
		}
	}
	for event, is := range s.engine.doubtful {
		require.False(t, is && slices.Contains(s.engine.parked, event), "seed %d: %d is parked in doubt", seed, event)
	}
	require.Nil(t, s.w.doubts, "seed %d", seed)
	require.Empty(t, s.engine.suspended, "seed %d", seed)
	require.Equal(t, s.count(UpdateOutage), s.count(UpdateOutageOver), "seed %d", seed)
	require.Empty(t, s.judge.Failing(), "seed %d", seed)
	return s.count(UpdateOutage)
}

// operate has an operator do something.
func (s *service) operate(o Operation) {
	s.w.Operate()
	for step := (Step{}); step.Kind != StepOperate; {
		if step = s.w.Next(s.t.Context(), s.now, Take); step.Kind == StepReport {
			s.hear(step.Update)
		}
	}
	s.w.Operated(s.t.Context(), s.now, o)
}

func TestAnOperatorWhoMovesAWorkerEndsItsOutages(t *testing.T) {
	s := newService(t, 4, 4, supervision.Policy{})
	s.down = func(store.Position) bool { return true }
	s.advance(time.Minute)
	require.Equal(t, Outage, s.w.State())
	s.operate(Operation{Moved: true})
	require.Empty(t, s.engine.suspended)
	s.down = func(store.Position) bool { return false }
	s.advance(time.Minute)
	require.Len(t, s.engine.done, 4)
	require.Equal(t, 1, s.count(UpdateOutageOver))
}

func TestAPausedWorkerProbesNothing(t *testing.T) {
	s := newService(t, 1, 4, supervision.Policy{})
	s.down = func(store.Position) bool { return true }
	s.advance(5 * time.Minute)
	require.False(t, s.w.Due().IsZero())
	s.operate(Operation{Pause: &checkpoint.Pause{}})
	require.True(t, s.w.Due().IsZero())
	require.Equal(t, Paused, s.w.State())
	s.operate(Operation{})
	require.False(t, s.w.Due().IsZero())
}

// As one whose siblings take their time to end before it is told to.
func TestAWorkerWhoseContextHasEndedDoesNotWaitForAProbeThatCannotBeMade(t *testing.T) {
	s := newService(t, 1, 4, supervision.Policy{})
	s.down = func(store.Position) bool { return true }
	s.advance(5 * time.Minute)
	s.now = s.w.Due().Add(time.Second)
	s.w.Available(s.engine.head)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.engine.fillErr = ended.Err()
	require.Equal(t, Step{Kind: StepWait}, s.w.Next(ended, s.now, Take))
	s.engine.fillErr = nil
	require.Equal(t, StepRun, s.w.Next(t.Context(), s.now, Take).Kind)
}
