package drive

import (
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// Nudge has what of a key waits for its delay tried now.
func Nudge(w *Worker, now time.Time, key string) {
	for _, event := range w.failing.events() {
		if t := w.failing[event]; event > 0 && t.step == troubleDelayed && t.key == key && t.due.After(now) {
			if t.until.IsZero() {
				t.until = t.due
			}
			t.due = now
		}
	}
}

// nudgeAll does what handlers want whose batches are committed.
func nudgeAll(w *Worker, now time.Time) {
	for _, key := range w.unsettled.takeNudged() {
		Nudge(w, now, key)
	}
}

// nudged reports whether something was tried before its delay was over and has failed: then it
// waits for the rest of that, and nothing is counted. What a handler says is obeyed, and a panic
// counts.
func nudged(w *Worker, now time.Time, r ruling) bool {
	t := w.failing[r.first]
	_, directed := supervision.DirectiveOf(r.failure.Err)
	if t == nil || !t.until.After(now) || directed || r.failure.Panic {
		return false
	}
	t.step, t.due, t.until = troubleDelayed, t.until, time.Time{}
	t.reason = &supervision.FailureError{
		Event: r.failure.Event, Key: t.key, Attempt: t.attempt, What: "tried early, no attempt", Err: r.failure.Err,
	}
	return true
}
