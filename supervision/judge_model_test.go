package supervision_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

// A step is one letter of a history: a failure, an event that is passed, or time that goes by.
type step struct {
	name    string
	failure supervision.Failure // Err set: it fails
	passed  uint64              // not 0: this event is done
	deaths  int                 // not 0: of processes, at event 1, that are remembered
	ended   bool                // the child is done
	passes  time.Duration       // before it
}

// entry is a step with the steady time at which it happened, and the answer if it is a failure.
type entry struct {
	step
	at     time.Duration
	answer answer
}

func (e entry) failed() bool { return e.failure.Err != nil }

var errChildEnded = errors.New("ended")

// under is the step as it counts for a child of a kind: only a permanent one fails by its end.
func (s step) under(r supervision.Restart) step {
	if s.ended && r == supervision.Permanent {
		s.failure = supervision.Failure{Err: errChildEnded}
	}
	return s
}

// answer is a verdict with its reason reduced to its type.
type answer struct {
	action  supervision.Action
	delay   time.Duration
	attempt int
	reason  string
	charged bool // against the intensity; of the model only
}

// final says whether nothing else is ever answered.
func (a answer) final() bool {
	return a.action == supervision.ActionHalt || a.action == supervision.ActionEscalate
}

// expect is the model: it answers the last entry of a history by searching the whole history, with
// no state of its own.
func expect(spec supervision.Spec, h []entry) answer {
	past, now, p := h[:len(h)-1], h[len(h)-1], spec.Policy
	for _, e := range past {
		if e.failed() && e.answer.final() {
			return e.answer
		}
	}
	f := now.failure
	d, directed := supervision.DirectiveOf(f.Err)
	attempt := 1 + attemptsIn(past, f.Event)
	within, crashes := chargedIn(past, now.at, p.Period)
	within, crashes = within+1, crashes+1 // if this one is charged as well
	blamed := f.Event == 0 || f.Panic && (panickedEvents(h, now.at, p.Period) > 3 || p.Intensity < 0)

	var a answer
	switch {
	case directed && d.Action == supervision.ActionHalt:
		if f.Event == 0 {
			attempt = within
		}
		return answer{action: supervision.ActionHalt, attempt: attempt, reason: "other"}
	case directed && f.Event != 0 && d.Action != supervision.ActionRetry:
		a = answer{action: d.Action, attempt: attempt}
	case waits(f):
		waits := 1 + waitsIn(past, f.Event, now.at, p.Period)
		a = answer{action: supervision.ActionRetry, delay: doubled(waits), attempt: waits}
		if directed && d.Action == supervision.ActionRetry && !d.NoAttempt {
			a.delay = d.Delay
		}
		return a
	case f.Event == 0:
		a = answer{action: supervision.ActionRestart, delay: doubled(crashes), attempt: within}
		if spec.Restart == supervision.Temporary {
			a.attempt = 1
		}
	case attempt >= p.Attempts && p.Exhausted == supervision.ActionHalt:
		return answer{action: supervision.ActionHalt, attempt: attempt, reason: "exhausted"}
	case attempt >= p.Attempts:
		a = answer{action: p.Exhausted, attempt: attempt}
	case f.Panic && blamed:
		a = answer{action: supervision.ActionRestart, delay: doubled(max(attempt, crashes)), attempt: attempt}
	case f.Panic:
		a = answer{action: supervision.ActionRestart, delay: doubled(attempt), attempt: attempt}
	default:
		a = answer{action: supervision.ActionRetry, delay: doubled(attempt), attempt: attempt}
	}
	if (f.Panic || f.Event == 0) && spec.Restart == supervision.Temporary {
		return answer{action: supervision.ActionHalt, attempt: a.attempt, reason: "other"}
	}
	if a.charged = blamed; blamed && within > max(0, p.Intensity) {
		return answer{action: p.OverBudget, attempt: a.attempt, reason: "intensity"}
	}
	if directed && d.Action == supervision.ActionRetry && !d.NoAttempt && (a.action == supervision.ActionRetry || a.action == supervision.ActionRestart) {
		a.delay = d.Delay
	}
	return a
}

// waits says whether a failure is no attempt.
func waits(f supervision.Failure) bool {
	d, _ := supervision.DirectiveOf(f.Err)
	decided := f.Event != 0 && (d.Action == supervision.ActionPark || d.Action == supervision.ActionSkip)
	return (f.NoAttempt || d.NoAttempt) && !f.Panic && !decided
}

// doubled is the delay of the strict policy, which has no cap within reach.
func doubled(n int) time.Duration { return time.Second << (n - 1) }

// attemptsIn counts the attempts at an event since it was last passed, parked or skipped.
func attemptsIn(h []entry, event uint64) (n int) {
	for _, e := range h {
		switch {
		case e.passed == event && event != 0:
			n = 0
		case e.deaths > n && event == 1:
			n = e.deaths
		case e.failed() && e.failure.Event == event && event != 0 && !waits(e.failure):
			n++
			if e.answer.action == supervision.ActionPark || e.answer.action == supervision.ActionSkip {
				n = 0
			}
		}
	}
	return n
}

// waitsIn counts the waits at an event since it was last passed, parked or skipped, or a quiet
// period; those at none, since any success.
func waitsIn(h []entry, event uint64, now, period time.Duration) (n int) {
	for i, e := range h {
		if e.passed != 0 && (e.passed == event || event == 0) || quietBefore(h[:i], e.at, period) {
			n = 0
		}
		if !e.failed() || e.failure.Event != event {
			continue
		}
		if waits(e.failure) {
			n++
		} else if event != 0 && (e.answer.action == supervision.ActionPark || e.answer.action == supervision.ActionSkip) {
			n = 0
		}
	}
	if quietBefore(h, now, period) {
		return 0
	}
	return n
}

// chargedIn counts what was charged to the intensity within the period before now, and since the
// last quiet period.
func chargedIn(h []entry, now, period time.Duration) (within, sinceQuiet int) {
	for i, e := range h {
		if quietBefore(h[:i], e.at, period) {
			sinceQuiet = 0
		}
		if e.failed() && e.answer.charged {
			sinceQuiet++
			if now-e.at < period {
				within++
			}
		}
	}
	if quietBefore(h, now, period) {
		sinceQuiet = 0
	}
	return within, sinceQuiet
}

// quietBefore says whether the child ran for a period without failing between its latest failure in
// h and now.
func quietBefore(h []entry, now, period time.Duration) bool {
	for _, e := range slices.Backward(h) {
		if e.failed() {
			return now-(e.at+e.answer.delay) >= period
		}
	}
	return true
}

// panickedEvents counts the different events of panics within the period before now.
func panickedEvents(h []entry, now, period time.Duration) int {
	events := make(map[uint64]bool)
	for _, e := range h {
		if e.failure.Panic && e.failure.Event != 0 && now-e.at < period {
			events[e.failure.Event] = true
		}
	}
	return len(events)
}

// observed reduces a verdict to what the model predicts.
func observed(v supervision.Verdict) answer {
	a := answer{action: v.Action, delay: v.Delay, attempt: v.Attempt}
	if a.final() {
		switch {
		case errors.As(v.Reason, new(*supervision.ExhaustedError)):
			a.reason = "exhausted"
		case errors.Is(v.Reason, supervision.ErrIntensity):
			a.reason = "intensity"
		default:
			a.reason = "other"
		}
	}
	return a
}

// compareAll walks through every history of the given length over an alphabet. It returns how many
// histories there were and how often each action was seen.
func compareAll(t *testing.T, spec supervision.Spec, alphabet []step, length int) (histories int, seen map[string]int) {
	t.Helper()
	seen = make(map[string]int)
	for n := range int(math.Pow(float64(len(alphabet)), float64(length))) {
		histories++
		compare(t, spec, length, seen, func() step {
			s := alphabet[n%len(alphabet)]
			n /= len(alphabet)
			return s
		})
	}
	return histories, seen
}

// compare walks through one history, and compares judge and model at every failure.
func compare(t *testing.T, spec supervision.Spec, length int, seen map[string]int, next func() step) {
	t.Helper()
	judge, clock := supervision.NewJudge(spec, nil), time.Duration(0)
	h := make([]entry, 0, length)
	for range length {
		s := next().under(spec.Restart)
		clock += s.passes
		h = append(h, entry{step: s, at: clock})
		last := &h[len(h)-1]
		switch {
		case s.passed != 0:
			judge.Passed(start.Add(clock), s.passed)
		case s.deaths != 0:
			judge.Remember(1, s.deaths)
		case last.failed():
			last.answer = expect(spec, h)
			var got answer
			if s.ended {
				got = observed(judge.Ended(start.Add(clock)))
			} else {
				got = observed(judge.Failed(start.Add(clock), s.failure))
			}
			got.charged = last.answer.charged
			if got != last.answer {
				require.Equal(t, last.answer, got, "%+v, history: %s", spec, spell(h))
			}
			seen[got.action.String()+got.reason]++
			clock += got.delay
		}
	}
}

func spell(h []entry) string {
	var names []string
	for _, e := range h {
		names = append(names, e.name)
	}
	return strings.Join(names, ", ")
}
