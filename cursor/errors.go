package cursor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/store"
)

var (
	// ErrWorker is what every [*WorkerError] is.
	ErrWorker = errors.New("cursor: bad worker")
	// ErrTimeout is the cause of the end of a handler's context when Worker.Timeout is over.
	ErrTimeout = errors.New("cursor: timeout of the handler")
	// ErrGoexit is the reason of a handler that ended its goroutine with runtime.Goexit, as the
	// FailNow of package testing does.
	ErrGoexit = errors.New("cursor: handler called runtime.Goexit")
	// ErrCrashLoop is the reason of an event that is not tried again because the process ended each
	// time it was.
	ErrCrashLoop = errors.New("cursor: the process ended each time while this event was handled")
	// ErrInFlight is the error of a call that needs all tasks to be finished, and committed where
	// they can be.
	ErrInFlight = errors.New("cursor: worker has events in flight")
	// ErrNoCheckpoint is the error of a call that would write beside the checkpoint of a worker
	// which has none.
	ErrNoCheckpoint = errors.New("cursor: worker has no checkpoint to keep it beside")
	// ErrNotParked says that no event is parked at a position, or for a key.
	ErrNotParked = errors.New("cursor: not parked")
	// ErrKey is what every [*KeyError] is.
	ErrKey = errors.New("cursor: no key")
	// ErrParkLimit is what every [*ParkLimitError] is.
	ErrParkLimit = errors.New("cursor: no room to park")
	// ErrExternalPosition is the error of a call that moves a worker which keeps its position
	// itself, see Worker.ExternalPosition.
	ErrExternalPosition = errors.New("cursor: worker keeps its position elsewhere: move it there")
)

// WorkerError says which field of a worker is wrong.
type WorkerError struct {
	Worker string
	Field  string
	Err    error // what is wrong; of the store, of checkpoint or of supervision where the rule is theirs
}

func (e *WorkerError) Error() string {
	text := strings.TrimPrefix(e.Err.Error(), "invalid ")
	if !strings.HasPrefix(text, e.Field) {
		text = e.Field + ": " + text
	}
	return fmt.Sprintf("cursor: worker %.64q: %s", e.Worker, text)
}

// Unwrap returns [ErrWorker] and the reason.
func (e *WorkerError) Unwrap() []error { return []error{ErrWorker, e.Err} }

// EventError says at which event of a batch its handler failed.
type EventError struct {
	Index    int
	Position store.Position // 0 in what the handler returns; the runner wraps that, or a copy, in one that has it
	Err      error
}

// FailedAt is what a handler returns when it failed at Events[i] and is done with those before:
// they are committed, with their reactions, and never come again. A handler that keeps something
// outside the store must therefore have saved what those before changed; one that saves once for
// the whole batch returns the plain error instead, and all of it comes again. FailedAt is never
// nil, even if err is.
func FailedAt(i int, err error) error { return &EventError{Index: i, Err: err} }

func (e *EventError) Error() string {
	if e.Position == 0 {
		return fmt.Sprintf("cursor: event %d of the batch: %v", e.Index, e.Err)
	}
	return fmt.Sprintf("cursor: event %d of the batch, position %d: %v", e.Index, e.Position, e.Err)
}

// Unwrap returns the error of the handler.
func (e *EventError) Unwrap() error { return e.Err }

// HandlerError says that a handler failed: with an error, a panic, or reactions that the store
// refuses as invalid.
type HandlerError struct {
	Worker string
	// Event is the position of the event it failed at, 0 when that is not known.
	Event store.Position
	// First is the position of the first event that is not done: that of Event, or the first one of
	// the batch.
	First store.Position
	// Size is the number of events that were handled together.
	Size int
	// Panic says that it panicked, or ended its goroutine; Stack is where.
	Panic bool
	Stack []byte
	// Timeout says that the time of Worker.Timeout was over when it failed.
	Timeout bool
	// Crashes is how often the process ended while it handled the event alone.
	Crashes int
	Err     error
}

func (e *HandlerError) Error() string {
	what := "failed"
	switch {
	case e.Panic:
		what = "panicked"
	case e.Timeout:
		what = "failed after its timeout"
	}
	if e.Event == 0 {
		return fmt.Sprintf("cursor: worker %q: handler %s in a batch of %d: %v", e.Worker, what, e.Size, e.Err)
	}
	return fmt.Sprintf("cursor: worker %q: handler %s at event %d: %v", e.Worker, what, e.Event, e.Cause())
}

// Cause is what the handler itself said: Err, without the [EventError] around it that names the
// same event.
func (e *HandlerError) Cause() error {
	//nolint:errorlint // one that is wrapped further in is part of what the handler said
	if named, ok := e.Err.(*EventError); ok && named.Err != nil && named.Position != 0 && named.Position == e.Event {
		return named.Err
	}
	return e.Err
}

// Unwrap returns the error of the handler or of the store, or the value of the panic.
func (e *HandlerError) Unwrap() error { return e.Err }

// Decided is the cause: where another handler returns this error, it says nothing about that one's
// events. See [supervision.Own].
func (e *HandlerError) Decided() error { return e.Err }

// ExternalPositionError says that Worker.ExternalPosition failed or panicked, or that its context
// ended. What it wraps is said of the place where the worker keeps its position.
type ExternalPositionError struct{ Err error }

func (e *ExternalPositionError) Error() string { return fmt.Sprintf("external position: %v", e.Err) }

// Unwrap returns the error of the function.
func (e *ExternalPositionError) Unwrap() error { return e.Err }

// CommitError says that a commit failed, and not because of the handler.
type CommitError struct {
	Worker string
	// Event is the position of the event whose reactions were refused, 0 when it was not because of
	// one.
	Event store.Position
	Err   error
}

func (e *CommitError) Error() string {
	if e.Event == 0 {
		return fmt.Sprintf("cursor: worker %q: commit: %v", e.Worker, e.Err)
	}
	return fmt.Sprintf("cursor: worker %q: commit of the reactions to event %d: %v", e.Worker, e.Event, e.Err)
}

// Unwrap returns the error of the store or of the checkpoint.
func (e *CommitError) Unwrap() error { return e.Err }

// KeyError says at which event the function Worker.Key failed. No order can be kept without a key.
type KeyError struct {
	Worker string
	Event  store.Position
	Err    error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("cursor: worker %q: key of event %d: %v", e.Worker, e.Event, e.Err)
}

// Unwrap returns [ErrKey] and what is wrong with the key.
func (e *KeyError) Unwrap() []error { return []error{ErrKey, e.Err} }

// ParkLimitError says that a worker has no room to park one more event: it parks events of at most
// 1,000 keys, and 10,000 events altogether, those included that are held after them.
type ParkLimitError struct {
	Worker string
	Field  string // "parked keys" or "parked events"
	Limit  int
	Event  store.Position
}

func (e *ParkLimitError) Error() string {
	return fmt.Sprintf("cursor: worker %q: no room to park event %d: the limit of %s is %d", e.Worker, e.Event, e.Field, e.Limit)
}

// Unwrap returns [ErrParkLimit].
func (e *ParkLimitError) Unwrap() error { return ErrParkLimit }
