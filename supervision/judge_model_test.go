package supervision_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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
	passed  uint64              // not 0: just this event is done
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

// expect is the model: it answers the last entry of a history by searching the whole history, with no state of its own.
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
		waits := 1 + waitsIn(past, now.at, p.Period)
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

// attemptsIn counts the attempts at an event since it was last passed, set aside or given up.
func attemptsIn(h []entry, event uint64) (n int) {
	for _, e := range h {
		switch {
		case e.success >= event && e.success != 0, e.passed == event && event != 0:
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

// waitsIn counts the waits since the last success or quiet period.
func waitsIn(h []entry, now, period time.Duration) (n int) {
	for i, e := range h {
		if e.success != 0 || e.passed != 0 || quietBefore(h[:i], e.at, period) {
			n = 0
		}
		if e.failed() && waits(e.failure) {
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
	if a.final() {
		switch {
		case errors.As(v.Reason, new(*supervision.ExhaustedError)):
			a.reason = "exhausted"
		case errors.As(v.Reason, new(*supervision.IntensityError)):
			a.reason = "intensity"
		default:
			a.reason = "other"
		}
	}
	return a
}

// compareAll walks through every history of the given length over an alphabet. It returns how many histories there were and
// how often each action was seen.
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
		case s.success != 0:
			judge.Succeeded(start.Add(clock), s.success)
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

func fails(name string, f supervision.Failure) step { return step{name: name, failure: f} }

// specs is every combination of what a spec can say, over a policy. A permanent child differs from a transient one only when
// it ends by itself.
func specs(p supervision.Policy) (all []supervision.Spec) {
	for _, restart := range []supervision.Restart{supervision.Transient, supervision.Temporary} {
		for _, exhausted := range []supervision.Action{supervision.ActionPark, supervision.ActionSkip, supervision.ActionHalt} {
			for _, over := range []supervision.Action{supervision.ActionHalt, supervision.ActionEscalate} {
				p.Exhausted, p.OverBudget = exhausted, over
				all = append(all, supervision.Spec{Name: "w", Restart: restart, Policy: p})
			}
		}
	}
	return all
}

// compareSpecs is compareAll for every combination, and wants each answer that it has to have seen somewhere.
func compareSpecs(t *testing.T, p supervision.Policy, alphabet []step, length int, wanted ...string) {
	t.Helper()
	histories, all := 0, make(map[string]int)
	for _, spec := range specs(p) {
		n, seen := compareAll(t, spec, alphabet, length)
		histories += n
		for action, count := range seen {
			all[action] += count
		}
	}
	requireAllSeen(t, histories, all, wanted...)
}

func TestTheJudgeAgreesWithTheModelInEveryShortHistory(t *testing.T) {
	p := strict
	p.Period = 10 * time.Second // short enough for delays to matter
	at := func(event uint64, err error) supervision.Failure { return supervision.Failure{Event: event, Err: err} }
	compareSpecs(t, p, []step{
		fails("error at 1", errorAt(1)),
		fails("error at 2", errorAt(2)),
		fails("panic at 2", panicAt(2)),
		fails("no event", noEvent),
		fails("wait at 2", supervision.Failure{Event: 2, Err: errStock, NoAttempt: true}),
		fails("asks to wait at 1", at(1, supervision.Wait(errStock))),
		fails("retry after at 1", at(1, supervision.RetryAfter(11*time.Second, errStock))),
		fails("park at 2", at(2, supervision.Park(errStock))),
		fails("skip at 1", at(1, supervision.Skip(errStock))),
		fails("park, no event", at(0, supervision.Park(errStock))),
		fails("halt at 2", at(2, supervision.Halt(errStock))),
		fails("halt, no event", at(0, supervision.Halt(errStock))),
		{name: "success at 1", success: 1},
		{name: "2 passed", passed: 2},
		{name: "quiet", passes: 10 * time.Second},
	}, 4, "retry", "restart", "park", "skip", "haltexhausted", "haltintensity", "haltother", "escalateintensity")
}

// everything is each thing that can happen: all kinds of failures, with all that an error can say, with and without an event,
// and all that heals.
func everything() (all []step) {
	for event, where := range []string{"no event", "event 1", "event 2"} {
		for says, err := range map[string]error{
			"nothing": errStock, "retry after": supervision.RetryAfter(11*time.Second, errStock), "wait": supervision.Wait(errStock),
			"park": supervision.Park(errStock), "skip": supervision.Skip(errStock), "halt": supervision.Halt(errStock),
		} {
			for kind, f := range map[string]supervision.Failure{"error": {}, "panic": {Panic: true}, "no attempt": {NoAttempt: true}} {
				f.Event, f.Err = uint64(event), err
				all = append(all, fails(kind+" at "+where+" that says "+says, f))
			}
		}
	}
	slices.SortFunc(all, func(a, b step) int { return strings.Compare(a.name, b.name) }) // so that a seed gives the same again
	return append(all,
		step{name: "success at 1", success: 1}, step{name: "success at 2", success: 2}, step{name: "1 passed", passed: 1},
		step{name: "quiet", passes: 10 * time.Second}, step{name: "a while", passes: 4 * time.Second},
		step{name: "ended", ended: true}, step{name: "two deaths at 1", deaths: 2},
	)
}

// kinds is specs for every kind of child, also one that may never be restarted.
func kinds(p supervision.Policy) (all []supervision.Spec) {
	for _, restart := range []supervision.Restart{supervision.Transient, supervision.Permanent, supervision.Temporary} {
		for _, intensity := range []int{-1, 1} {
			p.Intensity = intensity
			for _, s := range specs(p)[:6] {
				s.Restart = restart
				all = append(all, s)
			}
		}
	}
	return all
}

func TestTheJudgeAgreesWithTheModelInEveryPairOfThingsThatCanHappenAndInRandomHistories(t *testing.T) {
	p := strict
	p.Period, p.Attempts = 10*time.Second, 3
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	all, seen, histories := everything(), make(map[string]int), 0
	for _, spec := range kinds(p) {
		n, actions := compareAll(t, spec, all, 2)
		histories += n
		for action, count := range actions {
			seen[action] += count
		}
		for range 1000 {
			histories++
			few := make([]step, 5) // so that things happen again
			for i := range few {
				few[i] = all[random.IntN(len(all))]
			}
			compare(t, spec, 12, seen, func() step { return few[random.IntN(len(few))] })
		}
	}
	requireAllSeen(t, histories, seen, "retry", "restart", "park", "skip",
		"haltexhausted", "haltintensity", "haltother", "escalateintensity")
}

func TestTheJudgeAgreesWithTheModelInEveryShortHistoryOfPanics(t *testing.T) {
	p := strict
	p.Intensity, p.Period = 1, 20*time.Second
	parks := panicAt(4)
	parks.Err = supervision.Park(errStock)
	compareSpecs(t, p, []step{
		fails("panic at 1", panicAt(1)),
		fails("panic at 2", panicAt(2)),
		fails("panic at 3", panicAt(3)),
		fails("panic at 4 that parks", parks),
		fails("panic at 5", panicAt(5)),
		{name: "success at 5, later", success: 5, passes: 15 * time.Second},
	}, 6, "restart", "park", "skip", "haltexhausted", "haltintensity", "haltother", "escalateintensity")
}

// requireAllSeen guards against an alphabet that cannot reach what it is meant to test.
func requireAllSeen(t *testing.T, histories int, seen map[string]int, wanted ...string) {
	t.Helper()
	t.Logf("%d histories: %v", histories, seen)
	for _, want := range wanted {
		require.Positive(t, seen[want], want)
	}
}
