package cursor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var (
	// ErrWorker is what every error of [Worker.CursorWorker] is. The text names the worker and the
	// field; what it wraps is a typed error of the package whose rule is broken.
	ErrWorker = errors.New("cursor: bad worker")
	// ErrTimeout is the cause of the end of a handler's context when Worker.Timeout is over; its error
	// is context.DeadlineExceeded.
	ErrTimeout = errors.New("cursor: timeout of the handler")
	// ErrInterrupted is the cause of the end of a handler's context when an operator has interrupted
	// it.
	ErrInterrupted = errors.New("cursor: handler was interrupted")
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
	// ErrStateless is the error of [Batch.Side] and [Batch.Put] in a worker that is not Stateful.
	ErrStateless = errors.New("cursor: worker keeps nothing: it is not Stateful")
	// ErrNotParked says that no event is parked at a position, or for a key.
	ErrNotParked = errors.New("cursor: not parked")
	// ErrPulled is the error of a call for a worker, at a checkpoint whose events a program pulls
	// itself, with a [Cursor]: it heeds no pause, and parks nothing.
	ErrPulled = errors.New("cursor: a program pulls these events itself, and no worker does")
	// ErrAnswers is the error of a discard without the program of the worker, which writes
	// something in its place. See Worker.Discarded.
	ErrAnswers = errors.New("cursor: its program answers what is discarded: discard it where that runs")
	// ErrExternalPosition is the error of a call that moves a worker which keeps its position
	// itself, see Worker.ExternalPosition.
	ErrExternalPosition = checkpoint.ErrExternal
)

// What a [*RunnerError] is about.
var (
	// ErrCommit: the store, or the checkpoint, did not take a commit.
	ErrCommit = errors.New("cursor: commit failed")
	// ErrKey: Worker.Key failed at an event, and without a key no order can be kept.
	ErrKey = errors.New("cursor: no key")
	// ErrParkLimit: a worker parks events of at most 1,000 keys, and 10,000 events altogether, those
	// included that are held after them.
	ErrParkLimit = errors.New("cursor: no room to park")
	// ErrNoPosition: Worker.ExternalPosition failed or panicked, or its context ended.
	ErrNoPosition = errors.New("cursor: no external position")
	// ErrOpen: Worker.Open failed or panicked, or its context ended.
	ErrOpen = errors.New("cursor: worker does not open")
)

// workerError is an [ErrWorker] with the field that is wrong.
type workerError struct {
	worker, field string
	err           error // what is wrong; of the store, of checkpoint or of supervision where the rule is theirs
}

func (e *workerError) Error() string {
	text := strings.TrimPrefix(e.err.Error(), "invalid ")
	if !strings.HasPrefix(text, e.field) {
		text = e.field + ": " + text
	}
	return fmt.Sprintf("cursor: worker %.64q: %s", e.worker, text)
}

func (e *workerError) Unwrap() []error { return []error{ErrWorker, e.err} }

// FailedAt is what a handler returns when it failed at Events[i] and is done with those before:
// they are committed, with their reactions, and never come again. A handler that keeps something
// outside the store must therefore have saved what those before changed; one that saves once for
// the whole batch returns the plain error instead, and all of it comes again. FailedAt is never
// nil, even if err is.
func FailedAt(i int, err error) error { return &eventError{index: i, err: err} }

// eventError says at which event of a batch its handler failed. A handler may return the same one
// again, elsewhere, so nothing writes to it.
type eventError struct {
	index int
	err   error // may be nil
}

func (e *eventError) Error() string {
	return fmt.Sprintf("cursor: event %d of the batch: %v", e.index, e.err)
}

func (e *eventError) Unwrap() error { return e.err }

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
	// Evidence says that the handler failed with an error of its own that may be that of what it
	// depends on: see [supervision.Evidence]. A panic is none.
	Evidence bool
	// Crashes is how often the process ended while it handled the event alone.
	Crashes int
	// Verdict on the event is already known where not Handle but Worker.GiveUp failed; nil else, and
	// where that wants the worker to be halted.
	Verdict *supervision.Verdict
	// Err is what the handler said, without a [FailedAt] around it that names Event; the value of
	// the panic; or the error of the store.
	Err error
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
	return fmt.Sprintf("cursor: worker %q: handler %s at event %d: %v", e.Worker, what, e.Event, e.Err)
}

// Unwrap returns Err.
func (e *HandlerError) Unwrap() error { return e.Err }

// Decided is Err: where another handler returns this error, it says nothing about that one's
// events. See [supervision.Own].
func (e *HandlerError) Decided() error { return e.Err }

// RunnerError says what a runner could not do, and not because of the handler.
type RunnerError struct {
	Worker string
	// Err is [ErrCommit], [ErrKey], [ErrParkLimit], [ErrNoPosition] or [ErrOpen].
	Err error
	// Event is the position of the event that it is about: the one whose reactions were refused, or
	// that has no key, or that cannot be parked. It is 0 where it is about none.
	Event store.Position
	// Reason is of the store or the checkpoint, or what the function of the user said.
	Reason error
}

func (e *RunnerError) Error() string {
	return fmt.Sprintf("cursor: worker %q: %s: %v", e.Worker, e.what(), e.Reason)
}

func (e *RunnerError) what() string {
	switch {
	case errors.Is(e.Err, ErrKey):
		return fmt.Sprintf("key of event %d", e.Event)
	case errors.Is(e.Err, ErrParkLimit):
		return fmt.Sprintf("no room to park event %d", e.Event)
	case errors.Is(e.Err, ErrNoPosition):
		return "external position"
	case errors.Is(e.Err, ErrOpen):
		return "open"
	case e.Event > 0:
		return fmt.Sprintf("commit of the reactions to event %d", e.Event)
	}
	return "commit"
}

// Unwrap returns Err and Reason.
func (e *RunnerError) Unwrap() []error { return []error{e.Err, e.Reason} }
