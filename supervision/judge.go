package supervision

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// freePanics is at how many different events a child may panic within a Period before its panics
// are held against the child rather than against the events: a few bad events are data, many are a
// bug.
const freePanics = 3

// A Judge remembers the failures of one child and returns a [Verdict] on each. It outlives restarts
// of the child. A child that is started again after it was halted, or sent back in the log, gets a
// new Judge.
//
// It keeps the last Intensity+1 restarts, and the attempts at each event that failed and was not
// passed yet: of a child that handles events in order, those of the batch in flight. It belongs to
// one goroutine.
type Judge struct {
	policy  Policy
	restart Restart
	random  func() float64
	clock   steady

	ladders map[uint64]int // attempts at events that failed and were not passed since
	waits   map[uint64]int // failures in a row that are no attempt, by event; nil until there is one
	charged int            // failures counted against Intensity since the last quiet Period: they decide the delay
	budget  *window        // the same ones within the last Period: they decide when it ends
	panics  []panicked     // the latest at each event, oldest first, at most freePanics+1 events
	running time.Time      // when the child continued, or will, after the latest failure
	verdict *Verdict       // the final one, once halted
}

type panicked struct {
	event uint64
	at    time.Time
}

// NewJudge returns the judge of a child that has not failed yet. The spec is one that
// [Spec.Validate] accepts; zero fields of its policy get their defaults. random is the source of
// jitter in [0, 1), as rand.Float64 is; nil means none.
func NewJudge(s Spec, random func() float64) *Judge {
	p := s.Policy.WithDefaults()
	return &Judge{
		policy:  p,
		restart: s.Restart,
		random:  random,
		ladders: make(map[uint64]int),
		budget:  newWindow(p.Intensity, p.Period),
	}
}

// Failed judges a failure that happened at a time.
//
//   - An error at an event is retried in place. A panic at an event restarts the child. Both are
//     attempts at that event, with growing delays; after the last one allowed Policy.Exhausted
//     decides ([*ExhaustedError]).
//   - A failure without an event restarts the child, with growing delays, and counts against
//     Intensity; so does a panic at an event once there were panics at more than three events
//     within the Period. One more than Intensity within the Period halts the child, or escalates
//     ([ErrIntensity]).
//   - A failure that is no attempt, or an error made by [Wait], is retried in place, with growing
//     delays, without end ([*WaitError]).
//   - An error made by [Park] or [Skip] at an event does that at once; without an event it is an
//     ordinary error.
//   - An error made by [Halt] halts at once. One made by [RetryAfter] is counted as above, and then
//     sets the delay.
//
// The verdict on a halted child is the one that halted it, whatever comes.
func (j *Judge) Failed(at time.Time, f Failure) Verdict {
	if j.verdict != nil {
		return *j.verdict
	}
	now := j.observe(at)
	v := j.judge(now, f)
	j.running = now.Add(v.Delay)
	if v.Action == ActionHalt || v.Action == ActionEscalate {
		j.verdict = &v
	}
	return v
}

// Ended judges the end of a child that is done: ActionRestart for a permanent one, which counts
// against Intensity, and ActionHalt without a reason for all others.
func (j *Judge) Ended(at time.Time) Verdict {
	if j.verdict != nil {
		return *j.verdict
	}
	if j.restart != Permanent {
		return Verdict{Action: ActionHalt}
	}
	return j.Failed(at, Failure{Err: errEnded})
}

var errEnded = errors.New("supervision: permanent child ended")

// Remember notes attempts at an event that are known from elsewhere: those that ended the process,
// and those that led to a verdict which could not be carried out. They count for the failures that
// follow, unless more are known already.
func (j *Judge) Remember(event uint64, attempts int) {
	if event != 0 && attempts > j.ladders[event] {
		j.ladders[event] = attempts
	}
}

// Charge counts one more attempt at an event, whose next failure is judged by that: it is never the
// last one that is allowed.
func (j *Judge) Charge(event uint64) {
	if event != 0 {
		j.ladders[event] = min(j.ladders[event]+1, j.policy.Attempts-1)
	}
}

// Failing returns the events that failed, or wait, and were not passed since, in order: for a
// caller that has to report when they are.
func (j *Judge) Failing() []uint64 {
	events := make(map[uint64]struct{}, len(j.ladders))
	for _, m := range []map[uint64]int{j.ladders, j.waits} {
		for event := range m {
			events[event] = struct{}{}
		}
	}
	delete(events, 0)
	return slices.Sorted(maps.Keys(events))
}

// Attempts returns how many attempts at an event count by now: for a caller that has to tell the
// next one its number.
func (j *Judge) Attempts(event uint64) int { return j.ladders[event] }

// Passed says that at a time exactly this event was handled and committed, or, with event 0, that
// the child started: the attempts at it and its waits are forgotten, and so are the waits without
// an event. Others before it, of other keys, may still be failing or waiting. What counts against
// Intensity stays: only time heals that.
func (j *Judge) Passed(at time.Time, event uint64) {
	if j.verdict != nil {
		return
	}
	j.observe(at)
	delete(j.waits, 0)
	j.forget(event)
}

// forget ends the ladder and the waits of an event: it was passed, parked or skipped.
func (j *Judge) forget(event uint64) {
	delete(j.ladders, event)
	delete(j.waits, event)
}

// observe makes at a time that never goes back, and starts the delays over when the child has run
// for a Period since its latest failure. The time spent waiting for a retry or restart is not
// running: else a Backoff.Max beyond the Period would make every failure the first one.
func (j *Judge) observe(at time.Time) time.Time {
	now := j.clock.read(at)
	if now.Sub(j.running) >= j.policy.Period {
		j.waits, j.charged = nil, 0
	}
	return now
}

func (j *Judge) judge(now time.Time, f Failure) Verdict {
	d, directed := ownDirective(f.Err)
	if directed && d.Action == ActionHalt {
		return j.ordered(now, f)
	}
	if directed && f.Event != 0 && (d.Action == ActionPark || d.Action == ActionSkip) {
		n := j.ladders[f.Event] + 1
		j.forget(f.Event)
		v := Verdict{Action: d.Action, Attempt: n, Reason: f.about(n, "attempt %d", n)}
		return j.restarting(now, f, v)
	}
	var v Verdict
	switch {
	case (f.NoAttempt || d.NoAttempt) && !f.Panic:
		v = j.wait(f)
	case f.Event == 0:
		v = j.restartChild(now, f)
	default:
		v = j.attempt(now, f)
	}
	if directed && d.Action == ActionRetry && (!d.NoAttempt || d.Delay > 0) && (v.Action == ActionRetry || v.Action == ActionRestart) {
		v.Delay = d.Delay
	}
	return v
}

// ordered answers an error that was made by Halt.
func (j *Judge) ordered(now time.Time, f Failure) Verdict {
	if f.Event == 0 {
		n, _ := j.charge(now)
		return halt(n, f.cause())
	}
	n := j.ladders[f.Event] + 1
	return halt(n, f.about(n, "attempt %d", n))
}

// wait answers a failure that is no attempt.
func (j *Judge) wait(f Failure) Verdict {
	if j.waits == nil {
		j.waits = make(map[uint64]int)
	}
	n := j.waits[f.Event] + 1
	j.waits[f.Event] = n
	return Verdict{
		Action:  ActionRetry,
		Delay:   j.delay(n),
		Attempt: n,
		Reason:  &WaitError{Event: f.Event, Key: f.Key, Waits: n, Err: f.cause()},
	}
}

// restartChild answers a failure that belongs to no event.
func (j *Judge) restartChild(now time.Time, f Failure) Verdict {
	if j.restart == Temporary {
		return halt(1, f.about(1, "temporary, never restarted"))
	}
	n, over := j.charge(now)
	if over {
		return j.beyondBudget(n, f)
	}
	return Verdict{
		Action:  ActionRestart,
		Delay:   j.delay(j.charged),
		Attempt: n,
		Reason:  f.about(n, "restart %d of %d within %v", n, j.policy.Intensity, j.policy.Period),
	}
}

// attempt answers an error or panic at an event.
func (j *Judge) attempt(now time.Time, f Failure) Verdict {
	n := j.ladders[f.Event] + 1
	j.ladders[f.Event] = n
	if n >= j.policy.Attempts {
		j.forget(f.Event)
		reason := &ExhaustedError{Event: f.Event, Key: f.Key, Attempts: n, Err: f.cause()}
		v := Verdict{Action: j.policy.Exhausted, Attempt: n, Reason: reason}
		return j.restarting(now, f, v)
	}
	v := Verdict{Action: ActionRetry, Attempt: n, Reason: f.about(n, "attempt %d of %d", n, j.policy.Attempts)}
	steps := n
	if f.Panic {
		v.Action = ActionRestart
		if v = j.restarting(now, f, v); v.Action != ActionRestart {
			return v
		}
		if len(j.panics) > freePanics {
			steps = max(n, j.charged)
		}
	}
	v.Delay = j.delay(steps)
	return v
}

// restarting returns the verdict, or the one in its place where the failure was a panic, so that
// the child has to be restarted: panics at many events are charged to the child, and a temporary
// one is never started again.
func (j *Judge) restarting(now time.Time, f Failure, v Verdict) Verdict {
	if !f.Panic || v.Action == ActionHalt {
		return v
	}
	if j.restart == Temporary {
		return halt(v.Attempt, f.about(v.Attempt, "temporary, never restarted"))
	}
	if j.tooManyPanics(now, f.Event) {
		if _, over := j.charge(now); over {
			return j.beyondBudget(v.Attempt, f)
		}
	}
	return v
}

// beyondBudget answers a failure that exceeds the budget.
func (j *Judge) beyondBudget(n int, f Failure) Verdict {
	return Verdict{Action: j.policy.OverBudget, Attempt: n, Reason: j.overBudget(f)}
}

// charge counts a failure against Intensity. It returns how many there are within the Period, and
// whether that is too many.
func (j *Judge) charge(now time.Time) (count int, over bool) {
	j.charged++
	count = j.budget.add(now)
	return count, count > max(0, j.policy.Intensity)
}

// tooManyPanics notes a panic at an event and says whether the child, not the event, is to blame. A
// child that may never be restarted is to blame from the first one.
func (j *Judge) tooManyPanics(now time.Time, event uint64) bool {
	j.panics = slices.DeleteFunc(j.panics, func(p panicked) bool {
		return p.event == event || now.Sub(p.at) >= j.policy.Period
	})
	if len(j.panics) > freePanics {
		j.panics = slices.Delete(j.panics, 0, 1)
	}
	j.panics = append(j.panics, panicked{event: event, at: now})
	return len(j.panics) > freePanics || j.policy.Intensity < 0
}

func (j *Judge) overBudget(f Failure) error {
	last := f.cause()
	if f.Event != 0 {
		n := max(1, j.ladders[f.Event])
		last = f.about(n, "attempt %d", n)
	}
	text := "no restart allowed, error"
	if n := j.policy.Intensity; n > 0 {
		text = fmt.Sprintf("restarts within %v used up (%d), last error", j.policy.Period, n)
	}
	return &intensityError{text: text, err: last}
}

// Charged returns when each failure happened that counts against Intensity within the Period before
// the latest one, oldest first, by the clock that the judge was told: a new slice.
func (j *Judge) Charged() []time.Time { return slices.Clone(j.budget.times) }

func (j *Judge) delay(attempt int) time.Duration { return j.policy.Backoff.Delay(attempt, j.random) }

func halt(attempt int, reason error) Verdict {
	return Verdict{Action: ActionHalt, Attempt: attempt, Reason: reason}
}
