package drive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// freeRaces is how often an event is handled again at once because another writer changed the state
// that its reactions expected; from then on it is an attempt at the event, so that an expectation
// that can never hold ends somewhere.
const freeRaces = 3

// troubleStep is where something that failed stands.
type troubleStep uint8

const (
	troubleTried   troubleStep = iota // it is tried again, or about to be
	troubleJudged                     // the supervisor has it
	troubleDelayed                    // until due
)

// trouble is an event that failed and is not done; at position 0, what keeps all events from being
// handled.
type trouble struct {
	step    troubleStep
	serial  uint64 // of the report that the decision must be about, in troubleJudged
	races   int    // lost by it
	fault   bool   // it is that of the event, whatever the state of what it depends on
	due     time.Time
	reason  error
	attempt int
	key     string // of the event
	tries   int    // how many attempts at the event count by now

	until time.Time // when the delay ends that Nudge has cut short; zero for none
}

// troubles are what fails, by event. They are nil until something does, as in most workers.
//
//nolint:recvcheck // only at makes the map
type troubles map[store.Position]*trouble

// at returns what is known of an event that fails.
func (ts *troubles) at(event store.Position) *trouble {
	t := (*ts)[event]
	if t == nil {
		if *ts == nil {
			*ts = make(troubles)
		}
		t = &trouble{}
		(*ts)[event] = t
	}
	return t
}

// events returns the events that fail, ascending, so that the same history leads to the same order
// of tries.
func (ts troubles) events() []store.Position {
	if len(ts) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(ts))
}

// block reports whether the worker itself waits, for a decision or for its delay.
func (ts troubles) block() bool {
	own := ts[0]
	return own != nil && own.step != troubleTried
}

// judged reports whether the supervisor has something to decide.
func (ts troubles) judged() bool { return ts.any(troubleJudged) }

// delayed reports whether something waits to be tried again.
func (ts troubles) delayed() bool { return ts.any(troubleDelayed) }

func (ts troubles) any(step troubleStep) bool {
	if len(ts) == 0 { // asked with each step: an iterator of none costs something, too
		return false
	}
	for _, t := range ts {
		if t.step == step {
			return true
		}
	}
	return false
}

// tries returns how many attempts at an event count by now.
func (ts troubles) tries(event store.Position) int {
	if t := ts[event]; t != nil {
		return t.tries
	}
	return 0
}

// due is when the first delay is over, zero where there is none.
func (ts troubles) due() (first time.Time) {
	if len(ts) == 0 { // as in any
		return first
	}
	for _, t := range ts {
		if t.step == troubleDelayed && (first.IsZero() || t.due.Before(first)) {
			first = t.due
		}
	}
	return first
}

// fail does what follows from an error of the engine.
func (w *Worker) fail(ctx context.Context, now time.Time, err error) {
	r := classify(err, ctx.Err() != nil)
	if r.limit == 0 {
		r.limit = int(w.limit)
	}
	switch r.outcome {
	case outcomeNothing:
	case outcomeStoreFailed:
		w.updates.add(Update{Kind: UpdateStoreFailed, Err: err})
		w.CloseIntake()
	case outcomeRace:
		w.loseRace(r)
	case outcomeHalved:
		w.updates.add(Update{Kind: UpdateHalved, First: r.first, Limit: r.limit, Failure: r.failure})
		if r.delay == 0 {
			w.engine.Again(r.first)
			return
		}
		w.delay(now, r.first, Decision{Delay: r.delay, Reason: err})
	case outcomeReplaced:
		w.updates.add(Update{Kind: UpdateHalve, First: r.first, Limit: r.limit, Failure: r.failure})
	case outcomeSettled:
		w.failing.at(r.first).fault = true
		dispose(w, now, r.verdict)
	case outcomeCharged:
		if !nudged(w, now, r) && !withhold(w, now, r) {
			w.charge(r)
		}
	}
}

// charge leaves the decision about a failure to the supervisor. One that is no attempt and belongs
// to no event is reported once, however many lanes meet it.
func (w *Worker) charge(r ruling) {
	t := w.failing.at(r.first)
	if r.first == 0 && t.step != troubleTried && r.failure.NoAttempt {
		return
	}
	w.serial++
	if r.failure.Event > 0 {
		r.failure.Key = keyOf(w, r.first)
	}
	t.until = time.Time{}
	t.step, t.serial, t.fault = troubleJudged, w.serial, !r.evidence
	if r.first == 0 && w.phase == workerWorking {
		w.enter(workerWaiting)
	}
	w.updates.add(Update{
		Kind: UpdateFailed, First: r.first, Serial: t.serial, Crashes: r.crashes, Limit: r.limit, Failure: r.failure,
	})
}

func (w *Worker) loseRace(r ruling) {
	t := w.failing.at(r.first)
	if t.races++; t.races > freeRaces {
		w.charge(r)
		return
	}
	t.step = troubleTried
	w.engine.Again(r.first)
}

// Decide does what the supervisor says about a failure. If the worker was moved meanwhile, the
// event does not wait for that any more: it comes again, and so may its failure, which is another
// one and gets a decision of its own.
func (w *Worker) Decide(now time.Time, d Decision) {
	if w.phase == workerDown {
		return
	}
	t := w.failing[d.First]
	waits := t != nil && t.step == troubleJudged && t.serial == d.Serial
	if waits && d.First > 0 && !w.engine.Failed(d.First) {
		t.step, waits = troubleTried, false
	}
	if !waits {
		if d.Restart {
			w.updates.add(Update{Kind: UpdateRestart})
		}
		return
	}
	if w.doubts.excuse(now, d) {
		return
	}
	switch {
	case d.Action != supervision.ActionPark && d.Action != supervision.ActionSkip:
		if _, waits := d.Reason.(*supervision.WaitError); !waits { //nolint:errorlint // of this verdict, not of another one
			t.tries = d.Attempt
		}
		w.delay(now, d.First, d)
	case !giveUp(w, &d):
		dispose(w, now, d)
	}
}

// dispose parks or skips an event.
func dispose(w *Worker, now time.Time, d Decision) {
	var err error
	switch d.Action {
	case supervision.ActionPark:
		err = w.engine.Park(d.First, d.Reason, d.Attempt)
		if noRoom(err) {
			putOff(w, now, d, err)
			return
		}
	default:
		err = w.engine.Skip(d.First, d.Reason, d.Attempt)
	}
	if err != nil {
		w.charge(ruling{limit: int(w.limit), failure: supervision.Failure{Err: supervision.Halt(errors.Join(err, d.Reason))}})
		return
	}
	w.doubts.carriedOut(now, d)
	delete(w.failing, d.First)
	w.unsettled.decided = append(w.unsettled.decided, d)
	w.unsettled.due()
	w.fill = fillStale
}

// delay has something tried again when the delay is over.
func (w *Worker) delay(now time.Time, event store.Position, d Decision) {
	t := w.failing.at(event)
	t.step, t.due, t.reason, t.attempt = troubleDelayed, now.Add(d.Delay), d.Reason, d.Attempt
	keyOf(w, event)
	if event == 0 && w.phase == workerWorking {
		w.enter(workerWaiting)
	}
}

// keyOf returns the key of an event that failed, and keeps it.
func keyOf(w *Worker, event store.Position) string {
	t := w.failing.at(event)
	if event > 0 && t.key == "" && w.engine != nil {
		t.key = w.engine.Subject(event).Key
	}
	return t.key
}

// progressed reports what a commit of n events shows: an incarnation that works, and events that
// are done after all. There is room again, too.
func (w *Worker) progressed(n int) {
	if n == 0 {
		return
	}
	if w.pause == nil {
		w.state = Running
	}
	if w.later {
		w.later = false
		w.updates.add(Update{Kind: UpdateRecovered})
	}
	for _, event := range w.failing.events() {
		// One that is parked is done, but where a probe of it has failed that is still to be decided.
		undone := event > 0 && (!w.engine.Done(event) || w.engine.Failed(event))
		if undone || event == 0 && w.failing[0].step == troubleJudged {
			continue
		}
		delete(w.failing, event)
		w.doubts.acquit(event)
		w.updates.add(Update{Kind: UpdatePassed, Event: event})
		if event == 0 && w.phase == workerWaiting {
			w.enter(workerWorking)
		}
	}
}

// forgive drops what does not wait any more after operators had their way: all of it, where they
// moved the worker, but not what keeps the worker itself. An event that is handled again now may
// fail before the decision about its former failure comes, which is about that alone.
func (w *Worker) forgive(moved bool) {
	if moved {
		w.doubts.pardon()
	}
	for _, event := range w.failing.events() {
		switch t := w.failing[event]; {
		case event == 0:
		case moved:
			delete(w.failing, event)
		case !w.engine.Failed(event):
			t.step = troubleTried
		}
	}
	w.doubts.review()
}

// tryDelayed tries again what has waited for long enough.
func (t *turn) tryDelayed() {
	if due := t.failing.due(); due.IsZero() || due.After(t.now) { // in an outage very many may fail
		return
	}
	for _, event := range t.failing.events() {
		if late := t.failing[event]; late.step == troubleDelayed && !late.due.After(t.now) {
			late.step = troubleTried
			t.tryAgain(event)
		}
	}
}

func (t *turn) tryAgain(event store.Position) {
	w := t.Worker
	w.fill = fillStale
	switch {
	case w.engine == nil: // it is acquired again
	case event > 0:
		w.engine.Again(event)
	default:
		if w.phase == workerWaiting {
			w.enter(workerWorking)
		}
		w.unsettled.retry()
	}
}
