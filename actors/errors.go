package actors

import (
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// States and misuse, for errors.Is.
var (
	// ErrOptions: the options are invalid, or there is no store.
	ErrOptions = errors.New("actors: bad options")
	// ErrUnknownWorker: the system has no worker of that name.
	ErrUnknownWorker = errors.New("actors: unknown worker")
	// ErrNotInFlight: no handler of the worker has the event in flight.
	ErrNotInFlight = errors.New("actors: not in flight")
	// ErrEmptyReceipt: the receipt is the zero value, which a commit that failed returns.
	ErrEmptyReceipt = errors.New("actors: empty receipt (was the error of the commit checked?)")
	// ErrInsideHandler: the call would wait for the handler it was made from.
	ErrInsideHandler = errors.New("actors: called from inside a handler")
	// ErrStopped: the system was stopped.
	ErrStopped = errors.New("actors: stopped")
	// ErrEnded: the worker ended because its handler returned cursor.Stop.
	ErrEnded = errors.New("actors: worker has ended")
	// ErrRemoved: the worker was removed from the system.
	ErrRemoved = errors.New("actors: worker was removed")
	// ErrUnknownGroup: the system has no group at that path.
	ErrUnknownGroup = errors.New("actors: unknown group")
	// ErrHalted: the worker was halted by its policy. See HaltedError.
	ErrHalted = errors.New("actors: worker is halted")
	// ErrHung: a handler did not return when its context was cancelled. See HungError.
	ErrHung = errors.New("actors: handler does not return")
	// ErrParked: the event is parked, or held for one that is. See EventError.
	ErrParked = errors.New("actors: event is parked")
	// ErrSkipped: the event was skipped or discarded. See EventError.
	ErrSkipped = errors.New("actors: event was skipped")
	// ErrStalled: the worker is behind, and stands at the event for longer than Options.StallAfter.
	// With event 0 it is not known whether it is behind, as what may wait for it cannot be read.
	// See EventError.
	ErrStalled = errors.New("actors: worker does not move")
	// ErrChild: the tree, or a child of it, cannot be run. The text has its path.
	ErrChild = errors.New("actors: cannot run the tree")
)

// endedError is [ErrEnded] in the words of one worker, which it names.
type endedError string

func (e endedError) Error() string {
	return fmt.Sprintf("actors: worker %q has ended: its handler said so, and the next start of the system runs it again", string(e))
}

// Unwrap returns [ErrEnded].
func (endedError) Unwrap() error { return ErrEnded }

// HaltedError says which worker was halted, and why.
type HaltedError struct {
	Worker string
	Reason error // a supervision error with the event, the attempts and the last error
}

func (e *HaltedError) Error() string {
	return fmt.Sprintf("actors: worker %q is halted: %v", e.Worker, e.Reason)
}

// Unwrap returns ErrHalted and the reason.
func (e *HaltedError) Unwrap() []error { return []error{ErrHalted, e.Reason} }

// Decided is nil: a handler that waits for the worker and returns this error is not halted by what
// halted the worker. See [supervision.Own].
func (e *HaltedError) Decided() error { return nil }

// EventError says that a worker will not handle an event, for now or for good, or does not get past
// it, and why.
type EventError struct {
	Err    error // ErrParked, ErrSkipped or ErrStalled
	Worker string
	Event  store.Position
	Key    string // of the event, "" where it is not known
	// Attempt is the number of the last one, 0 where it is not known.
	Attempt int
	Held    bool   // of ErrParked: it did not fail itself, but waits for a parked event of its key
	Reason  string // the text of the last error; of ErrStalled the key of the event, and since when
}

func (e *EventError) Error() string {
	switch {
	case e.Held:
		return fmt.Sprintf("actors: worker %q holds event %d after a parked event of its key", e.Worker, e.Event)
	case e.Err == ErrSkipped: //nolint:errorlint // the sentinel itself
		return fmt.Sprintf("actors: worker %q has skipped event %d: %s", e.Worker, e.Event, e.Reason)
	case e.Err == ErrStalled && e.Event == 0: //nolint:errorlint // likewise
		return fmt.Sprintf("actors: worker %q does not move: %s", e.Worker, e.Reason)
	case e.Err == ErrStalled: //nolint:errorlint // likewise
		return fmt.Sprintf("actors: worker %q stands at event %d: %s", e.Worker, e.Event, e.Reason)
	}
	return fmt.Sprintf("actors: worker %q has parked event %d: %s", e.Worker, e.Event, e.Reason)
}

// Unwrap returns [ErrParked], [ErrSkipped] or [ErrStalled].
func (e *EventError) Unwrap() error { return e.Err }

// HungError names the workers whose handlers were still running when their time to return was over.
type HungError struct {
	Workers []string
	// Positions up to which each of them has committed: the batch in flight lies after it.
	Positions []store.Position
	// InFlight is what they have in flight, when it is one worker's, and Stack theirs: as the
	// goroutine profile shows it.
	InFlight []Handling
	Stack    []byte
}

func (e *HungError) Error() string {
	parts := make([]string, len(e.Workers))
	for i, name := range e.Workers {
		parts[i] = fmt.Sprintf("%q (after position %d)", name, e.Positions[i])
	}
	return "actors: handlers did not return: " + strings.Join(parts, ", ")
}

// Unwrap returns [ErrHung].
func (e *HungError) Unwrap() error { return ErrHung }
