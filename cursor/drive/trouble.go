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
	races   int // lost by it
	due     time.Time
	reason  error
	attempt int
}

// troubleAt returns what is known of an event that fails. Most workers never need the map.
func (w *Worker) troubleAt(event store.Position) *trouble {
	t := w.failing[event]
	if t == nil {
		if w.failing == nil {
			w.failing = make(map[store.Position]*trouble)
		}
		t = &trouble{}
		w.failing[event] = t
	}
	return t
}

// troubles returns the events that fail, ascending, so that the same history leads to the same
// order of tries.
func (w *Worker) troubles() []store.Position {
	if len(w.failing) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(w.failing))
}

// blocked reports whether the worker itself waits, for a decision or for its delay.
func (w *Worker) blocked() bool {
	own := w.failing[0]
	return own != nil && own.step != troubleTried
}

// judged reports whether the supervisor has something to decide.
func (w *Worker) judged() bool {
	for _, t := range w.failing {
		if t.step == troubleJudged {
			return true
		}
	}
	return false
}

func (w *Worker) report(u Update) { w.updates = append(w.updates, &u) }

// fail does what follows from an error of the engine.
func (w *Worker) fail(ctx context.Context, now time.Time, err error) {
	r := classify(err, ctx.Err() != nil)
	if r.limit == 0 {
		r.limit = w.of.Limit
	}
	switch r.outcome {
	case outcomeNothing:
	case outcomeStoreFailed:
		w.report(Update{Kind: UpdateStoreFailed, Err: err})
		w.CloseIntake()
	case outcomeRace:
		w.loseRace(r)
	case outcomeHalved:
		w.report(Update{Kind: UpdateHalved, First: r.first, Limit: r.limit, Failure: r.failure})
		if r.delay == 0 {
			w.engine.Again(r.first)
			return
		}
		w.delay(now, r.first, Decision{Delay: r.delay, Reason: err})
	case outcomeReplaced:
		w.report(Update{Kind: UpdateHalve, First: r.first, Limit: r.limit, Failure: r.failure})
	case outcomeCharged:
		w.charge(r)
	}
}

// charge leaves it to the supervisor what becomes of a failure. One that is no attempt and belongs
// to no event is reported once, however many lanes meet it.
func (w *Worker) charge(r ruling) {
	t := w.troubleAt(r.first)
	if r.first == 0 && t.step != troubleTried && r.failure.NoAttempt {
		return
	}
	t.step = troubleJudged
	if r.first == 0 && w.phase == workerWorking {
		w.enter(workerWaiting)
	}
	w.report(Update{Kind: UpdateFailed, First: r.first, Crashes: r.crashes, Limit: r.limit, Failure: r.failure})
}

func (w *Worker) loseRace(r ruling) {
	t := w.troubleAt(r.first)
	if t.races++; t.races > freeRaces {
		w.charge(r)
		return
	}
	t.step = troubleTried
	w.engine.Again(r.first)
}

// Decide does what the supervisor says about a failure. If the worker was moved meanwhile, the
// event does not wait for that any more: it comes again, and so does its failure.
func (w *Worker) Decide(now time.Time, d Decision) {
	moved := d.First > 0 && (w.engine == nil || !w.engine.Failed(d.First))
	var err error
	switch {
	case w.phase == workerDown:
		return
	case moved:
		if t := w.failing[d.First]; t != nil && t.step == troubleJudged {
			t.step = troubleTried
		}
		if d.Restart {
			w.report(Update{Kind: UpdateRestart})
		}
		return
	case d.Action == supervision.ActionPark:
		err = w.engine.Park(d.First, d.Reason, d.Attempt)
	case d.Action == supervision.ActionSkip:
		err = w.engine.Skip(d.First, d.Reason, d.Attempt)
	default:
		w.delay(now, d.First, d)
		return
	}
	if err != nil {
		w.charge(ruling{limit: w.of.Limit, failure: supervision.Failure{Err: supervision.Halt(errors.Join(err, d.Reason))}})
		return
	}
	delete(w.failing, d.First)
	w.decided = append(w.decided, d)
	w.fill = fillStale
	if w.commit == commitSettled {
		w.commit = commitDue
	}
}

// delay has something tried again when the delay is over.
func (w *Worker) delay(now time.Time, event store.Position, d Decision) {
	t := w.troubleAt(event)
	t.step, t.due, t.reason, t.attempt = troubleDelayed, now.Add(d.Delay), d.Reason, d.Attempt
	if event == 0 && w.phase == workerWorking {
		w.enter(workerWaiting)
	}
}

// reportDecided reports what is parked or skipped now that it is written.
func (w *Worker) reportDecided() {
	for _, d := range w.decided {
		w.report(Update{Kind: UpdateDecided, First: d.First, Decision: d})
		if d.Restart {
			w.report(Update{Kind: UpdateRestart})
		}
	}
	w.decided = nil
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
	if w.of.Later {
		w.of.Later = false
		w.report(Update{Kind: UpdateRecovered})
	}
	for _, event := range w.troubles() {
		if event > 0 && !w.engine.Done(event) || event == 0 && w.failing[0].step == troubleJudged {
			continue
		}
		delete(w.failing, event)
		w.report(Update{Kind: UpdatePassed, Event: event})
		if event == 0 && w.phase == workerWaiting {
			w.enter(workerWorking)
		}
	}
}

// forgive drops what does not wait any more after operators had their way: all of it, where they
// moved the worker, but not what keeps the worker itself.
func (w *Worker) forgive(moved bool) {
	for _, event := range w.troubles() {
		switch t := w.failing[event]; {
		case event == 0:
		case moved:
			delete(w.failing, event)
		case t.step == troubleDelayed && !w.engine.Failed(event):
			t.step = troubleTried
		}
	}
}

// nextDelay tries again what has waited for long enough.
func (w *Worker) nextDelay(t turn) Step {
	for _, event := range w.troubles() {
		if late := w.failing[event]; late.step == troubleDelayed && !late.due.After(t.now) {
			late.step = troubleTried
			w.tryAgain(event)
		}
	}
	return Step{}
}

func (w *Worker) tryAgain(event store.Position) {
	w.fill = fillStale
	switch {
	case w.engine == nil: // it is acquired again
	case event > 0:
		w.engine.Again(event)
	default:
		if w.phase == workerWaiting {
			w.enter(workerWorking)
		}
		w.retryCommit()
	}
}

// Wait is something that a worker waits to try again.
type Wait struct {
	Event   store.Position // 0 for the worker itself
	Due     time.Time
	Reason  error
	Attempt int // the number of the one that failed
}

// Waits returns what the worker waits to try again, by event.
func (w *Worker) Waits() []Wait {
	var waits []Wait
	for _, event := range w.troubles() {
		if t := w.failing[event]; t.step == troubleDelayed {
			waits = append(waits, Wait{Event: event, Due: t.due, Reason: t.reason, Attempt: t.attempt})
		}
	}
	return waits
}
