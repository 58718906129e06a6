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

// A step is one letter of a history: a failure, a success, or time that passes.
type step struct {
	name    string
	failure supervision.Failure // Err set: it fails
	success uint64              // not 0: everything up to it succeeds
	passes  time.Duration       // before it
}

// entry is a step with the steady time at which it happened, and the answer if it is a failure.
type entry struct {
	step
	at     time.Duration
	answer answer
}

func (e entry) failed() bool { return e.failure.Err != nil }

// answer is a verdict with its reason reduced to its type.
type answer struct {
	action  supervision.Action
	delay   time.Duration
	attempt int
	reason  string
	charged bool // against the intensity; of the model only
}

// expect is the model: it answers the last entry of a history by searching the whole history, with no state of its own.
func expect(p supervision.Policy, h []entry) answer {
	past, now := h[:len(h)-1], h[len(h)-1]
	for _, e := range past {
		if e.failed() && e.answer.action == supervision.ActionHalt {
			return e.answer
		}
	}
	f := now.failure
	d, directed := supervision.DirectiveOf(f.Err)
	attempt := 1 + attemptsIn(past, f.Event)
	within, crashes := chargedIn(past, now.at, p.Period)
	within, crashes = within+1, crashes+1 // if this one is charged as well

	var a answer
	switch {
	case directed && d.Action == supervision.ActionHalt:
		if f.Event == 0 {
			attempt = within
		}
		return answer{action: supervision.ActionHalt, attempt: attempt, reason: "directive"}
	case f.NoAttempt:
		waits := 1 + waitsIn(past, now.at, p.Period)
		a = answer{action: supervision.ActionRetry, delay: doubled(waits), attempt: waits}
	case f.Event == 0:
		a = answer{action: supervision.ActionRestart, delay: doubled(crashes), attempt: within, charged: true}
	case attempt >= p.Attempts:
		return answer{action: supervision.ActionHalt, attempt: attempt, reason: "exhausted"}
	case f.Panic && panickedEvents(h, now.at, p.Period) > 3:
		a = answer{action: supervision.ActionRestart, delay: doubled(max(attempt, crashes)), attempt: attempt, charged: true}
	case f.Panic:
		a = answer{action: supervision.ActionRestart, delay: doubled(attempt), attempt: attempt}
	default:
		a = answer{action: supervision.ActionRetry, delay: doubled(attempt), attempt: attempt}
	}
	if a.charged && within > p.Intensity {
		return answer{action: supervision.ActionHalt, attempt: a.attempt, reason: "intensity"}
	}
	if directed {
		a.delay = d.Delay
	}
	return a
}

// doubled is the delay of the strict policy, which has no cap within reach.
func doubled(n int) time.Duration { return time.Second << (n - 1) }

// attemptsIn counts the attempts at an event since it was last passed.
func attemptsIn(h []entry, event uint64) (n int) {
	for _, e := range h {
		switch {
		case e.success >= event && e.success != 0:
			n = 0
		case e.failed() && e.failure.Event == event && event != 0 && !e.failure.NoAttempt:
			n++
		}
	}
	return n
}

// waitsIn counts the waits since the last success or quiet period.
func waitsIn(h []entry, now, period time.Duration) (n int) {
	for i, e := range h {
		if e.success != 0 || quietBefore(h[:i], e.at, period) {
			n = 0
		}
		if e.failed() && e.failure.NoAttempt {
			n++
		}
	}
	if quietBefore(h, now, period) {
		return 0
	}
	return n
}

// chargedIn counts what was charged to the intensity within the period before now, and since the last quiet period.
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

// quietBefore says whether the child ran for a period without failing between its latest failure in h and now.
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
	if v.Action == supervision.ActionHalt {
		switch {
		case errors.As(v.Reason, new(*supervision.ExhaustedError)):
			a.reason = "exhausted"
		case errors.As(v.Reason, new(*supervision.IntensityError)):
			a.reason = "intensity"
		default:
			a.reason = "directive"
		}
	}
	return a
}

// compareAll walks through every history of the given length over an alphabet, and compares judge and model at every
// failure. It returns how many histories there were and how often each action was seen.
func compareAll(t *testing.T, p supervision.Policy, alphabet []step, length int) (histories int, seen map[string]int) {
	t.Helper()
	seen = make(map[string]int)
	for n := range int(math.Pow(float64(len(alphabet)), float64(length))) {
		histories++
		judge, clock := supervision.NewJudge(supervision.Spec{Policy: halting(p)}, nil), time.Duration(0)
		h := make([]entry, 0, length)
		for range length {
			s := alphabet[n%len(alphabet)]
			n /= len(alphabet)
			clock += s.passes
			h = append(h, entry{step: s, at: clock})
			last := &h[len(h)-1]
			switch {
			case s.success != 0:
				judge.Succeeded(start.Add(clock), s.success)
			case last.failed():
				last.answer = expect(p, h)
				got := observed(judge.Failed(start.Add(clock), s.failure))
				got.charged = last.answer.charged
				if got != last.answer {
					require.Equal(t, last.answer, got, "history: %s", spell(h))
				}
				seen[got.action.String()+got.reason]++
				clock += got.delay
			}
		}
	}
	return histories, seen
}

func spell(h []entry) string {
	var names []string
	for _, e := range h {
		names = append(names, e.name)
	}
	return strings.Join(names, ", ")
}

func fails(name string, f supervision.Failure) step { return step{name: name, failure: f} }

func TestTheJudgeAgreesWithTheModelInEveryShortHistory(t *testing.T) {
	p := strict
	p.Period = 10 * time.Second // short enough for delays to matter
	histories, seen := compareAll(t, p, []step{
		fails("error at 1", errorAt(1)),
		fails("error at 2", errorAt(2)),
		fails("panic at 2", panicAt(2)),
		fails("no event", noEvent),
		fails("wait at 2", supervision.Failure{Event: 2, Err: errStock, NoAttempt: true}),
		fails("retry after at 1", supervision.Failure{Event: 1, Err: supervision.RetryAfter(11*time.Second, errStock)}),
		fails("halt at 2", supervision.Failure{Event: 2, Err: supervision.Halt(errStock)}),
		{name: "success at 1", success: 1},
		{name: "success at 2", success: 2},
		{name: "quiet", passes: 10 * time.Second},
	}, 5)
	requireAllSeen(t, histories, seen, "retry", "restart", "haltexhausted", "haltintensity", "haltdirective")
}

func TestTheJudgeAgreesWithTheModelInEveryShortHistoryOfPanics(t *testing.T) {
	p := strict
	p.Intensity, p.Period = 1, 20*time.Second
	histories, seen := compareAll(t, p, []step{
		fails("panic at 1", panicAt(1)),
		fails("panic at 2", panicAt(2)),
		fails("panic at 3", panicAt(3)),
		fails("panic at 4", panicAt(4)),
		fails("panic at 5", panicAt(5)),
		{name: "success at 5, later", success: 5, passes: 15 * time.Second},
	}, 6)
	requireAllSeen(t, histories, seen, "restart", "haltexhausted", "haltintensity")
}

// requireAllSeen guards against an alphabet that cannot reach what it is meant to test.
func requireAllSeen(t *testing.T, histories int, seen map[string]int, wanted ...string) {
	t.Helper()
	t.Logf("%d histories: %v", histories, seen)
	for _, want := range wanted {
		require.Positive(t, seen[want], want)
	}
}
