package cursor

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// An event that failed is named by the HandlerError.First or CommitError.Event of the failure. It
// waits at the head of its queue for one of three decisions.

// errNotFailed is the error of a decision about an event that does not wait for one.
var errNotFailed = errors.New("the event has not failed")

// IsFailed reports whether the event at a position failed and waits for [Runner.Retry],
// [Runner.Park] or [Runner.Skip].
func (r *Runner) IsFailed(first store.Position) bool { return r.next.failed(first) != nil }

// Retry lets an event that failed be handled again.
func (r *Runner) Retry(first store.Position) {
	if q := r.next.failed(first); q != nil {
		r.next.release(q)
	}
}

// Park parks an event that failed, and holds what follows of its key. It is durable with the next
// [Runner.Commit]. Errors: [ErrNoCheckpoint], [*ParkLimitError], [*KeyError], and then nothing is
// changed.
func (r *Runner) Park(first store.Position, reason error, attempts int) error {
	q := r.next.failed(first)
	switch {
	case q == nil:
		return r.own.wrap(fmt.Sprintf("park %d", first), errNotFailed)
	case r.own.lease == nil:
		return r.own.wrap(fmt.Sprintf("park %d", first), ErrNoCheckpoint)
	case q.parked:
		r.park.parkAgain(q, reason, attempts)
	default:
		if err := r.park.park(q, reason, attempts); err != nil {
			return err
		}
	}
	r.guard.forget(first)
	r.next.release(q)
	return nil
}

// Skip discards an event that failed: it counts as done, and an audit event says so. It is durable
// with the next [Runner.Commit].
func (r *Runner) Skip(first store.Position, reason error, attempts int) error {
	q := r.next.failed(first)
	if q == nil {
		return r.own.wrap(fmt.Sprintf("skip %d", first), errNotFailed)
	}
	r.park.skip(q, reason, attempts)
	r.guard.forget(first)
	r.next.release(q)
	return nil
}
