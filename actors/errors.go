package actors

import (
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// States and misuse, for errors.Is.
var (
	// ErrOptions: the options make no sense.
	ErrOptions = errors.New("actors: bad options")
	// ErrNoStore: the store is nil.
	ErrNoStore = errors.New("actors: no store")
	// ErrUnknownWorker: the system has no worker of that name.
	ErrUnknownWorker = errors.New("actors: unknown worker")
	// ErrEmptyReceipt: the receipt is the zero value, which a commit that failed returns.
	ErrEmptyReceipt = errors.New("actors: empty receipt (was the error of the commit checked?)")
	// ErrInsideHandler: the call would wait for the handler it was made from.
	ErrInsideHandler = errors.New("actors: called from inside a handler")
	// ErrStopped: the system was stopped.
	ErrStopped = errors.New("actors: stopped")
	// ErrEnded: the worker ended because its handler said so.
	ErrEnded = errors.New("actors: worker has ended")
	// ErrHalted: the worker was halted by its policy. See HaltedError.
	ErrHalted = errors.New("actors: worker is halted")
	// ErrHung: a handler did not return when its context was cancelled. See HungError.
	ErrHung = errors.New("actors: handler does not return")
	// ErrChild: the tree, or a child of it, cannot be run. See ChildError.
	ErrChild = errors.New("actors: cannot run child")
)

// ChildError names a child of the tree that cannot be run, and why.
type ChildError struct {
	Path string // names from the top group down, joined by "/"
	Err  error
}

func (e *ChildError) Error() string { return fmt.Sprintf("actors: child %q: %v", e.Path, e.Err) }

// Unwrap returns ErrChild and the reason.
func (e *ChildError) Unwrap() []error { return []error{ErrChild, e.Err} }

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
// halted the worker. See [supervision.Decided].
func (e *HaltedError) Decided() error { return nil }

// ErrParked and ErrSkipped: the event was parked, or skipped. See ParkedError and SkippedError.
var (
	ErrParked  = errors.New("actors: event is parked")
	ErrSkipped = errors.New("actors: event was skipped")
)

// ParkedError says that an event is parked, and why.
type ParkedError struct {
	Worker string
	Event  store.Position
	Held   bool   // it did not fail itself, but follows a parked event of its key
	Err    string // the text of the last error
}

func (e *ParkedError) Error() string {
	if e.Held {
		return fmt.Sprintf("actors: worker %q holds event %d after a parked event of its key", e.Worker, e.Event)
	}
	return fmt.Sprintf("actors: worker %q has parked event %d: %s", e.Worker, e.Event, e.Err)
}

// Unwrap returns [ErrParked].
func (e *ParkedError) Unwrap() error { return ErrParked }

// SkippedError says that an event was skipped, and why.
type SkippedError struct {
	Worker string
	Event  store.Position
	Err    string // the text of the last error
}

func (e *SkippedError) Error() string {
	return fmt.Sprintf("actors: worker %q has skipped event %d: %s", e.Worker, e.Event, e.Err)
}

// Unwrap returns [ErrSkipped].
func (e *SkippedError) Unwrap() error { return ErrSkipped }

// HungError names the workers whose handlers were still running when their time to return was over.
type HungError struct {
	Workers []string
	// Positions up to which each of them has committed: the batch in flight lies after it.
	Positions []store.Position
	// Stack of the handler, when it is one worker's: as the goroutine profile shows it.
	Stack []byte
}

func (e *HungError) Error() string {
	parts := make([]string, len(e.Workers))
	for i, name := range e.Workers {
		parts[i] = fmt.Sprintf("%q (after position %d)", name, e.Positions[i])
	}
	return "actors: handlers did not return: " + strings.Join(parts, ", ")
}

// Is makes errors.Is(err, ErrHung) true.
func (e *HungError) Is(target error) bool { return target == ErrHung }
