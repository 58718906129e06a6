package cursor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

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
	// Size is the number of events that were handled together.
	Size int
	// Panic says that it panicked, or ended its goroutine; Stack is where.
	Panic bool
	Stack []byte
	Err   error
}

func (e *HandlerError) Error() string {
	what := "failed"
	if e.Panic {
		what = "panicked"
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

// failure is a failed handler: at is the index of the first event that is not done.
type failure struct {
	at  int
	err *HandlerError
}

// handle calls the handler and says what it wants, or how it failed.
//
// A handler that ends its goroutine takes the caller of Step along, and nobody can hold it: the failure is kept for the
// next Step, so that it is told in any case.
func (r *Runner) handle(ctx context.Context, b *Batch) (action Action, failed *failure) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			action, failed = Continue, r.panicked(b, panicError(value))
			return
		}
		r.abandoned = r.panicked(b, ErrGoexit).err
	}()
	action, err := r.worker.Handle(ctx, b)
	if err == nil && action > StopWithRollback {
		err = fmt.Errorf("cursor: handler returned an unknown %s", action)
	}
	if err != nil {
		action, failed = Continue, r.failed(b, err) // may panic: an error has methods too
	}
	if b.fault != nil && (failed == nil || b.fault.Index < failed.at) {
		action, failed = Continue, r.failed(b, b.fault)
	}
	returned = true
	return action, failed
}

func panicError(value any) error {
	if err, ok := value.(error); ok {
		return err
	}
	return fmt.Errorf("%v", value)
}

// panicked must be called while the stack of the panic is still there.
func (r *Runner) panicked(b *Batch, err error) *failure {
	f := r.failureAt(b, b.begun, err)
	f.err.Panic, f.err.Stack = true, debug.Stack()
	return f
}

func (r *Runner) failed(b *Batch, err error) *failure {
	at := -1
	var named *EventError
	if errors.As(err, &named) && named.Index >= 0 && named.Index < len(b.events) {
		at = named.Index
		// A copy gets the position: the handler may return the same error again, elsewhere, while this one is read.
		if err == error(named) { //nolint:errorlint // only the outermost error is replaced
			err = named.Err
		}
		err = &EventError{Index: at, Position: b.events[at].Position, Err: err}
	}
	return r.failureAt(b, at, err)
}

// failureAt takes -1 for an event that is not known. In a batch of one it always is.
func (r *Runner) failureAt(b *Batch, at int, err error) *failure {
	if len(b.events) == 1 {
		at = 0
	}
	f := &failure{at: max(at, 0), err: &HandlerError{Worker: r.worker.Name, Size: len(b.events), Err: err}}
	if at >= 0 {
		f.err.Event = b.events[at].Position
	}
	return f
}

// refused reports whether the store will take no batch with this content, but may take a part of it.
func refused(err error) bool {
	return errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrConflict)
}

// commitError names the event where there is one to blame: invalid reactions are a fault of the handler, a lost race is
// not.
func (r *Runner) commitError(b *Batch, from, to int, err error) error {
	var event store.Position
	if to-from == 1 && refused(err) {
		event = b.events[from].Position
	}
	if errors.Is(err, store.ErrInvalid) && len(b.proposals(from, to)) > 0 {
		err = fmt.Errorf("reactions are refused: %w", err)
		return &HandlerError{Worker: r.worker.Name, Event: event, Size: len(b.events), Err: err}
	}
	return &CommitError{Worker: r.worker.Name, Event: event, Err: err}
}
