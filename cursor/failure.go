package cursor

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// ErrGoexit is the reason of a handler that ended its goroutine with runtime.Goexit, as the FailNow of package testing
// does.
var ErrGoexit = errors.New("cursor: handler called runtime.Goexit")

// HandlerError says that a handler failed: with an error, a panic, or reactions that the store refuses as invalid.
type HandlerError struct {
	Worker string
	// Event is the position of the event it failed at, 0 when that is not known.
	Event store.Position
	// First is the position of the first event that is not done: that of Event, or the first one of the batch.
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

// Cause is what the handler itself said: Err, without the [EventError] around it that names the same event.
func (e *HandlerError) Cause() error {
	//nolint:errorlint // one that is wrapped further in is part of what the handler said
	if named, ok := e.Err.(*EventError); ok && named.Err != nil && named.Position != 0 && named.Position == e.Event {
		return named.Err
	}
	return e.Err
}

// Unwrap returns the error of the handler or of the store, or the value of the panic.
func (e *HandlerError) Unwrap() error { return e.Err }

// CommitError says that a commit failed, and not because of the handler.
type CommitError struct {
	Worker string
	// Event is the position of the event whose reactions were refused, 0 when it was not because of one.
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
