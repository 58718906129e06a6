package drive

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errHopeless = errors.New("hopeless")

// giveUp gives an event up, and tells of it.
func (r *room) giveUp(task *fakeTask) {
	end := "ok"
	if len(r.ends) > 0 {
		end, r.ends = r.ends[0], r.ends[1:]
	}
	h := r.house
	h.tale = append(h.tale, fmt.Sprintf("%v %s%d up %s", h.now.Sub(begun), r.name, task.event, end))
	f := failure(task.event)
	f.Err = errHopeless
	f.Verdict = &supervision.Verdict{Action: supervision.ActionPark, Attempt: 3, Reason: errors.Join(errHopeless, errBroken)}
	switch task.err = f; end {
	case "panic":
		f.Panic, f.Err = true, supervision.Park(errHopeless)
	case "declined":
		f.Verdict.Action = supervision.ActionSkip
	case "halt":
		f.Verdict, f.Err = nil, supervision.Halt(errHopeless)
	case "race":
		task.err, r.engine.raced[task.event] = nil, true
	case "error":
	default:
		task.err = nil
	}
	r.core.Finished(task)
}

// As TestTheRulesOfOneWorker.
func TestTheRulesOfOneWorkerThatGivesEventsUp(t *testing.T) {
	halting := func(s *supervision.Spec) { s.Policy.Exhausted = supervision.ActionHalt }
	skipping := func(s *supervision.Spec) { s.Policy.Exhausted = supervision.ActionSkip }
	once := func(s *supervision.Spec) { s.Policy.Attempts = 1 }
	const all = "error error error"
	const tries = "0s a1 error, 1s a1 error, 2s a1 error, "
	for name, c := range map[string]struct {
		change      func(*supervision.Spec)
		fates, ends string // of event 1
		tale        string
		parked      []store.Position
		done        int
		starts      int
		state       State
	}{
		"an event whose attempts are used up": {fates: all, tale: tries + "2s a1 up ok, 2s a2 ok", done: 2, starts: 1, state: Idle},
		"or that would be skipped": {
			change: skipping, fates: all, tale: tries + "2s a1 up ok, 2s a2 ok", done: 2, starts: 1, state: Idle,
		},
		"but not one that halts": {change: halting, fates: all, tale: strings.TrimSuffix(tries, ", "), starts: 1, state: Halted},
		"after a panic another incarnation does": {
			change: once, fates: "panic", tale: "0s a1 panic, 0s a1 up ok, 0s a2 ok", done: 2, starts: 2, state: Idle,
		},
		"what its handler parks":         {fates: "park", tale: "0s a1 park, 0s a1 up ok, 0s a2 ok", done: 2, starts: 1, state: Idle},
		"what its handler skips":         {fates: "skip", tale: "0s a1 skip, 0s a1 up ok, 0s a2 ok", done: 2, starts: 1, state: Idle},
		"but not what its handler halts": {fates: "halt", tale: "0s a1 halt", starts: 1, state: Halted},
		"what cannot be is parked": {
			fates: "park", ends: "error", tale: "0s a1 park, 0s a1 up error, 0s a2 ok", parked: []store.Position{1}, done: 2, starts: 1, state: Idle,
		},
		"also where the policy skips": {
			change: skipping, fates: all, ends: "error", tale: tries + "2s a1 up error, 2s a2 ok",
			parked: []store.Position{1}, done: 2, starts: 1, state: Idle,
		},
		"but what it declines is skipped there": {
			change: skipping, fates: all, ends: "declined", tale: tries + "2s a1 up declined, 2s a2 ok", done: 2, starts: 1, state: Idle,
		},
		"a panic then restarts, too": {
			fates: "park", ends: "panic", tale: "0s a1 park, 0s a1 up panic, 0s a2 ok", parked: []store.Position{1}, done: 2, starts: 2, state: Idle,
		},
		"it may halt": {fates: "park", ends: "halt", tale: "0s a1 park, 0s a1 up halt", starts: 1, state: Halted},
		"three lost races are free, and the next ones attempts": {
			fates: "park", ends: "race race race race",
			tale: "0s a1 park, 0s a1 up race, 0s a1 up race, 0s a1 up race, 0s a1 up race, 1s a1 up ok, 1s a2 ok", done: 2, starts: 1, state: Idle,
		},
		"and as many as there are park it": {
			fates: "park", ends: "race race race race race race",
			tale:   "0s a1 park, 0s a1 up race, 0s a1 up race, 0s a1 up race, 0s a1 up race, 1s a1 up race, 2s a1 up race, 2s a2 ok",
			parked: []store.Position{1}, done: 2, starts: 1, state: Idle,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "t(a)", 2, map[string]func(*supervision.Spec){"a": c.change})
			a := h.rooms[0]
			a.gives, a.fates[1], a.ends = true, strings.Fields(c.fates), strings.Fields(c.ends)
			h.pass(time.Hour)
			require.Equal(t, c.tale, strings.Join(h.tale, ", "))
			require.Equal(t, c.parked, a.engine.parked)
			require.Len(t, a.engine.done, c.done)
			require.Equal(t, c.starts, a.starts)
			require.Equal(t, c.state.String(), a.state().String())
		})
	}
}

// The attempts before a panic in a call that gives an event up are those at the event.
func TestAPanicThatKeepsAnEventFromBeingGivenUpIsNoFirstAttempt(t *testing.T) {
	f := panicAt(7)
	f.Verdict = &supervision.Verdict{Action: supervision.ActionPark, Attempt: 5}
	r := classify(f, false)
	require.Equal(t, outcomeCharged, r.outcome)
	require.Equal(t, 4, r.crashes)
}

func TestATaskKnowsHowManyAttemptsThereWere(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 1, Failing: []Failing{{Event: 1, Attempts: 2}}}, 2)
	task := p.step(StepRun).Task.(*fakeTask)
	require.Equal(t, 2, task.tried)
	p.finish(task, failure(1))
	p.step(StepCommit)
	p.Commit(t.Context(), p.now)
	p.expect(UpdateFailed)
	p.decide(Decision{First: 1, Action: supervision.ActionRetry, Attempt: 3, Reason: errBroken})
	require.Equal(t, 3, p.step(StepRun).Task.(*fakeTask).tried)
	p.finish(&fakeTask{event: 1}, failure(1))
	p.step(StepCommit)
	p.Commit(t.Context(), p.now)
	p.expect(UpdateFailed)
	p.decide(Decision{First: 1, Action: supervision.ActionRetry, Attempt: 9, Reason: &supervision.WaitError{}})
	require.Equal(t, 3, p.step(StepRun).Task.(*fakeTask).tried, "what it waits for is none")
}
