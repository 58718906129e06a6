package drive

import (
	"slices"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Wait is something that failed and is not done.
type Wait struct {
	Event   store.Position // 0 for the worker itself
	Key     string         // of the event
	Due     time.Time      // zero while it is being tried, and in an outage
	Reason  error
	Attempt int // the number of the one that failed; in an outage, where none counts, of those that did
}

// Waits returns what the worker waits to try again at a time that is known, by event.
func (w *Worker) Waits() (waits []Wait) {
	for _, event := range w.failing.events() {
		if t := w.failing[event]; t.step == troubleDelayed {
			waits = append(waits, t.wait(event))
		}
	}
	return waits
}

// wait describes what failed, and has a reason.
func (t *trouble) wait(event store.Position) Wait {
	w := Wait{Event: event, Key: t.key, Reason: t.reason, Attempt: t.attempt}
	if t.step == troubleDelayed {
		w.Due = t.due
	}
	return w
}

// Failures returns the first of all that failed and is not done, by event, and how much there is
// altogether: what waits for its delay, what is being tried once more, and what waits for the end
// of an outage. What is parked is none of it.
func Failures(w *Worker, most int) (first []Wait, all int) {
	var events lowest
	for event, t := range w.failing {
		if t.reason != nil || w.doubts.waiting(event) != nil {
			events.add(event, most)
			all++
		}
	}
	if w.doubts != nil {
		for event := range w.doubts.events {
			if w.failing[event] == nil && w.doubts.waiting(event) != nil {
				events.add(event, most)
				all++
			}
		}
	}
	for _, event := range events {
		first = append(first, failureAt(w, event))
	}
	return first, all
}

// failureAt describes one of them. In an outage its dependency is to blame.
func failureAt(w *Worker, event store.Position) Wait {
	t, e := w.failing[event], w.doubts.waiting(event)
	switch {
	case t == nil, t.reason == nil, e != nil && e.of.phase == outageOut && t.step != troubleDelayed:
		return e.wait(w.failing.tries(event))
	}
	return t.wait(event)
}

// lowest are the first few of events, ascending: in an outage very many may fail.
type lowest []store.Position

func (l *lowest) add(event store.Position, most int) {
	if len(*l) == most && (most == 0 || (*l)[most-1] <= event) {
		return
	}
	if len(*l) == most {
		*l = (*l)[:most-1]
	}
	at, _ := slices.BinarySearch(*l, event)
	*l = slices.Insert(*l, at, event)
}

// waiting returns an event that failed and waits in its turn, nil where it does not, or is parked.
func (d *withholding) waiting(event store.Position) *suspected {
	if d == nil {
		return nil
	}
	if e := d.events[event]; e != nil && e.place == inTurn {
		return e
	}
	return nil
}

// wait describes an event that failed, with the attempts at it that count.
func (e *suspected) wait(attempts int) Wait {
	what := "in an outage"
	if e.of.phase != outageOut {
		what = "just failed"
	}
	return Wait{Event: e.event, Key: e.key, Attempt: attempts, Reason: &supervision.FailureError{
		Event: uint64(e.event), Key: e.key, Attempt: attempts, What: what, Err: e.err,
	}}
}
