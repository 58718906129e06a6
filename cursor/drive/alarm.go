package drive

import (
	"context"
	"time"
)

// nextRing orders that scheduled events are written which are due. It is tried before batches and
// after them, and between two such orders a batch is handled, if there is one: however many are
// overdue, everything else continues.
func (t *turn) nextRing() bool {
	if !t.open() || t.ahead.sent != nil || t.intake == Finish {
		return false
	}
	if at := t.engine.Alarm(); at.IsZero() || at.After(t.now) {
		return false
	}
	if t.rang {
		t.rang = false
		return false
	}
	return t.order(StepRing)
}

// Ring writes scheduled events that are due. What cannot be written is tried again like a commit
// that belongs to no event.
func Ring(ctx context.Context, w *Worker, now time.Time) {
	n, err := w.engine.Ring(ctx, now)
	w.rang = true
	w.progressed(n)
	if err != nil {
		w.fail(ctx, now, err)
	}
}
