package drive

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/cursor"
)

// soloBatches is for how many batches a worker does not handle ahead after a commit was refused:
// the reason is likely to be met again, and each time a batch is handled twice.
const soloBatches = 64

// ahead is what a worker without lanes has under way while it handles the next batch, or nothing.
type ahead struct {
	sent Submission // nil while there is none
	held Task       // handled since, and finished or dropped by the answer
	solo int        // so many commits are not submitted
}

// Submit begins the commit that a StepCommit orders; StepAnswer follows. Where beside is set it
// lets Next order the next batch before that, if it may be handled then. It returns nil where the
// transport has to call Commit instead: where what is written decides about what is handled next.
// It need not be called at all.
func Submit(w *Worker, beside bool) Submission {
	u := &w.unsettled
	if w.lanes > 1 || !w.open() || w.flushing || len(w.failing) > 0 || w.doubts != nil || len(u.failures)+len(u.decided) > 0 {
		return nil
	}
	if w.ahead.solo > 0 {
		w.ahead.solo--
		beside = false
	}
	w.ahead.sent = w.engine.Submit(beside)
	return w.ahead.sent
}

// Answered takes back what Submit returned, once it was answered, and finishes what was handled
// meanwhile. It returns how many events are done by it. What was refused is what Commit is for: it
// meets the same, and what follows from it is decided there. What was handled after it is handled
// again then, and was no attempt; where it panicked that is done by another incarnation.
func Answered(ctx context.Context, w *Worker, now time.Time) int {
	sent, held := w.ahead.sent, w.ahead.held
	w.ahead.sent, w.ahead.held = nil, nil
	w.fill = fillStale
	n, err := w.engine.Answered(sent)
	if err != nil {
		w.ahead.solo = soloBatches
		if held != nil {
			dropTask(w, held)
		}
		return w.Commit(ctx, now)
	}
	w.unsettled.settle()
	w.progressed(n)
	nudgeAll(w, now)
	if held != nil {
		w.Finished(held)
	}
	return n
}

// dropTask drops a batch that was handled ahead. Where its handler has panicked it ends the
// incarnation: whatever comes of the batch, the state of that handler cannot be trusted. That is
// reported like any other panic once what was handled before is written, but without an event: it
// counts against the worker, and is no attempt at an event that may not panic again.
func dropTask(w *Worker, t Task) {
	w.engine.Drop(t)
	w.inFlight--
	//nolint:errorlint // what a handler says may wrap another worker's failure
	if failure, failed := t.Err().(*cursor.HandlerError); failed && failure.Panic {
		w.panicked(&cursor.HandlerError{Worker: failure.Worker, Size: failure.Size, Panic: true, Stack: failure.Stack, Err: failure})
	}
}

// nextAnswer waits for the commit that is under way, once nothing can be handled beside it any
// more.
func (t *turn) nextAnswer() bool {
	switch {
	case t.ahead.sent == nil, t.ahead.held == nil && t.inFlight > 0:
		return false
	case t.ahead.held != nil, t.ahead.sent.Alone(), !t.open(), t.flushing:
		return t.order(StepAnswer)
	}
	return false
}

// nextAhead orders the batch after the one that is being written.
func (t *turn) nextAhead() bool {
	if t.inFlight > 0 {
		return false
	}
	if t.fill == fillStale && t.read() != nil { // it is met again after the answer
		return t.order(StepAnswer)
	}
	if t.intake == Take && t.pace.permits(t.now, true) {
		if task, err := t.engine.Take(t.ctx); task != nil && err == nil {
			return t.run(task)
		}
	}
	return t.order(StepAnswer)
}
