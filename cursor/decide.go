package cursor

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var (
	// errNotFailed is the error of a verdict on an event that does not wait for one.
	errNotFailed = errors.New("the event has not failed")
	// errNoVerdict is the error of a verdict on a worker, which is not the runner's to carry out.
	errNoVerdict = errors.New("no verdict on an event")
)

// IsFailed reports whether the event at a position failed and waits for [Runner.Settle]. It is
// named by the HandlerError.First or RunnerError.Event of the failure, and stands at the head of
// its queue: what follows it there waits too.
func (r *Runner) IsFailed(first store.Position) bool { return r.next.failed(first) != nil }

// Settle carries out the verdict on an event that failed:
//
//   - ActionRetry lets it be handled again. The delay is the caller's to wait for, before.
//   - ActionPark parks it, and holds what follows of its key.
//   - ActionSkip discards it: it counts as done, and an audit event says so.
//
// The last two are durable with the next [Runner.Commit]. Where it returns an error nothing is
// changed: [ErrNoCheckpoint] or a [*RunnerError] for what cannot be parked, or one that says that
// the event does not wait, as after a change by an operator.
func (r *Runner) Settle(first store.Position, v supervision.Verdict) error {
	q := r.next.failed(first)
	err := errNotFailed
	if q != nil {
		err = r.settle(q, v)
	}
	if err == nil {
		r.next.release(q)
		return nil
	}
	if _, named := err.(*RunnerError); named { //nolint:errorlint // made by settle
		return err
	}
	return r.own.wrap(fmt.Sprintf("%s %d", v.Action, first), err)
}

func (r *Runner) settle(q *queue, v supervision.Verdict) error {
	first := q.events[0].Position
	switch {
	case v.Action == supervision.ActionRetry:
		return nil // what is known of crashes at it still counts
	case v.Action == supervision.ActionSkip:
		r.park.skip(q, v.Reason, v.Attempt)
	case v.Action != supervision.ActionPark:
		return errNoVerdict
	case r.own.lease == nil:
		return ErrNoCheckpoint
	case q.parked:
		r.park.parkAgain(q, v.Reason, v.Attempt)
	default:
		if err := r.park.park(q, v.Reason, v.Attempt); err != nil {
			return err
		}
	}
	r.guard.forget(first)
	delete(r.own.emission.given, first)
	return nil
}
