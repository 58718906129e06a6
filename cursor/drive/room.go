package drive

import (
	"errors"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// noRoom reports whether an engine could not park or hold an event because as much is parked as may
// be.
func noRoom(err error) bool {
	e, ok := origin(err).(*cursor.RunnerError) //nolint:errorlint // origin has unwrapped what may be
	return ok && errors.Is(e.Err, cursor.ErrParkLimit)
}

// read has the engine read on. Where the next event has to be held and there is no room, reading
// stops before it, and what was read is handled, as is what is replayed. After each commit and each
// order of an operator it is tried again: nothing else makes room.
func (t *turn) read() error {
	whole, err := t.engine.Fill(t.ctx, t.upTo)
	switch {
	case noRoom(err):
		if t.full == nil {
			t.updates.add(Update{Kind: UpdateFull, Err: err})
		}
		t.fill, t.full = fillFull, err
		return nil
	case err != nil:
		return err
	case whole:
		t.fill, t.full = fillWhole, nil
	default:
		t.fill = fillPart
	}
	return nil
}

// putOff has an event tried again, since what was decided about it cannot be done now: another
// failure leads to the same verdict.
func putOff(w *Worker, now time.Time, d Decision, why error) {
	d.Reason = errors.Join(why, d.Reason)
	d.Delay = w.policy.WithDefaults().Backoff.Max
	w.updates.add(Update{Kind: UpdatePutOff, First: d.First, Event: d.First, Decision: d})
	if d.Restart {
		w.updates.add(Update{Kind: UpdateRestart, Decision: d})
		return
	}
	w.failing.at(d.First).tries = d.Attempt - 1
	w.delay(now, d.First, d)
}

// Trouble is the reason of State where that is [Full] or [Outage].
func (w *Worker) Trouble() error {
	if w.state == Outage {
		return w.doubts.reason()
	}
	return w.full
}

// keepAttempts keeps attempts at an event whose verdict was not carried out.
func keepAttempts(l *leaf, event store.Position, attempts int) {
	if !l.fresh {
		l.judged().Remember(uint64(event), attempts)
	}
}

// isPutOff handles that an event is tried again instead of what was decided about it: its next
// failure leads to the same verdict.
func isPutOff(l *leaf, u *Update) {
	d := u.Decision
	keepAttempts(l, u.Event, d.Attempt-1)
	d.Action = supervision.ActionRetry
	l.decided(d)
}
