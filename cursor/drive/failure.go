package drive

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// outcome is the way in which a failure is answered.
type outcome uint8

const (
	outcomeNothing     outcome = iota // it was cancelled: nothing is recorded
	outcomeCharged                    // the supervisor decides
	outcomeRace                       // handled again at once, for freeRaces times
	outcomeHalved                     // the batch is handled again in halves, after a delay if it says so
	outcomeReplaced                   // likewise by another incarnation, since it panicked
	outcomeSettled                    // it could not be given up, and is parked or skipped after all
	outcomeStoreFailed                // the store takes no commit any more
)

// ruling is an outcome with its details.
type ruling struct {
	outcome  outcome
	first    store.Position // names the failure; 0: it belongs to no event
	crashes  int            // attempts that are known from elsewhere
	limit    int            // of the next batch, 0 for that of the incarnation
	delay    time.Duration
	failure  supervision.Failure
	evidence bool     // it may be that of an outage
	verdict  Decision // of outcomeSettled
}

// classify returns the ruling on an error of an engine.
//
// It looks for the outermost error that a runner makes, and what lies below that is the user's
// where the runner says so: a handler, a key or a place may use stores and runners of its own, and
// what their errors say decides nothing here.
func classify(err error, cancelled bool) ruling {
	source := origin(err)
	switch source := source.(type) { //nolint:errorlint // origin has unwrapped what may be
	case *cursor.HandlerError:
		return classifyHandler(source)
	case *cursor.RunnerError:
		switch {
		case errors.Is(source.Err, cursor.ErrKey), errors.Is(source.Err, cursor.ErrNoPosition):
			return charged(supervision.Halt(err), false)
		case errors.Is(source.Err, cursor.ErrOpen) && cancelled:
			return ruling{outcome: outcomeNothing}
		case errors.Is(source.Err, cursor.ErrOpen): // after an operator moved it
			return charged(err, false)
		}
	}
	switch scarce := scarce(err); {
	case errors.Is(err, checkpoint.ErrFenced):
		return charged(supervision.Halt(err), false)
	case storeFailed(err):
		return ruling{outcome: outcomeStoreFailed}
	case cancelled:
		return ruling{outcome: outcomeNothing}
	case source == err && errors.Is(err, store.ErrDropped): //nolint:errorlint // of reading: nothing brings them back
		return charged(supervision.Halt(err), false)
	case !scarce && refusedEvent(source) > 0:
		event := refusedEvent(source)
		return ruling{outcome: outcomeRace, first: event, failure: supervision.Failure{Err: source, Event: uint64(event)}}
	default:
		return charged(err, scarce)
	}
}

// scarce reports whether the store refused for want of something that may be had later: room,
// descriptors, a place in its queue, or what an open fence has reserved. That is waited for, and no
// attempt.
func scarce(err error) bool {
	return errors.Is(err, store.ErrDiskFull) || errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrReserved)
}

// charged is the ruling on a failure that belongs to no event.
func charged(err error, noAttempt bool) ruling {
	return ruling{outcome: outcomeCharged, failure: supervision.Failure{Err: err, NoAttempt: noAttempt}}
}

// refusedEvent is the event whose reactions a commit refused, 0 for none.
func refusedEvent(err error) store.Position {
	if e, ok := err.(*cursor.RunnerError); ok { //nolint:errorlint // it comes from origin
		return e.Event
	}
	return 0
}

// classifyHandler charges an event that is known. A batch that failed as a whole is handled again
// in halves, and nothing is charged until the event stands alone; a handler that says when to try
// again, or never, is obeyed at once. What names nothing in flight is charged to the worker.
func classifyHandler(e *cursor.HandlerError) ruling {
	r := ruling{
		outcome: outcomeCharged, first: e.First, crashes: e.Crashes,
		failure: supervision.Failure{Err: e.Err, Event: uint64(e.Event), Panic: e.Panic, Stack: e.Stack},
	}
	if e.Timeout { // which the handler has not said itself
		r.failure.Err = fmt.Errorf("%w: %w", cursor.ErrTimeout, e.Err)
	}
	if v := e.Verdict; v != nil && e.Panic {
		r.crashes = max(r.crashes, v.Attempt-1)
	} else if v != nil {
		r.outcome, r.verdict = outcomeSettled, decided(*v)
		r.verdict.First = e.First
		return r
	}
	d, directed := supervision.DirectiveOf(e)
	r.evidence = e.Evidence && e.Event != 0
	if e.Event != 0 || e.First == 0 || directed && (d.Action == supervision.ActionHalt || d.NoAttempt) {
		return r
	}
	r.outcome, r.limit, r.delay = outcomeHalved, max(1, e.Size/2), d.Delay
	if e.Panic {
		r.outcome = outcomeReplaced
	}
	return r
}

// origin returns the outermost error in a chain that a runner makes, err where there is none.
func origin(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e.(type) { //nolint:errorlint // this is the walk
		case *cursor.HandlerError, *cursor.RunnerError:
			return e
		}
	}
	return err
}

// ofUser reports whether what err wraps was said by a function of the user, which may use stores of
// its own.
func ofUser(err error) bool {
	switch source := origin(err).(type) { //nolint:errorlint // origin has unwrapped what may be
	case *cursor.HandlerError:
		return true
	case *cursor.RunnerError:
		return !errors.Is(source.Err, cursor.ErrCommit)
	}
	return false
}

// storeFailed reports whether the store takes no commit any more.
func storeFailed(err error) bool {
	if ofUser(err) {
		return false
	}
	return errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrPoisoned)
}

// unnamed reports whether a commit failed as a whole: what it would have written is kept.
func unnamed(err error) bool {
	//nolint:errorlint // origin has unwrapped what may be
	e, ok := origin(err).(*cursor.RunnerError)
	return ok && errors.Is(e.Err, cursor.ErrCommit) && e.Event == 0
}
