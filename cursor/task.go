package cursor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Task is a batch to handle, made by [Runner.Next]. Run may be called on any goroutine; everything
// else is for the one that the runner belongs to, once Run has returned or has ended its goroutine.
//
// It is machinery for packages that run workers, and promises no compatibility; see [Runner].
type Task struct {
	// Lane that runs it, from 0, for a [Probe]. It is set before Run.
	Lane int

	// These are set by Next, and only read afterwards, by the handler's goroutine too.
	own     *owner
	queue   *queue
	crashes int  // of processes that handled the event alone
	marked  bool // durably, before the handler runs

	erasures uint32 // that were known then, see store.Erasures; the lower half tells two apart

	// These are Run's until the task is given back to the runner's goroutine, which orders its
	// writes before the reads there.
	batch     Batch
	action    Action
	failed    *failure
	cancelled error // of the context that Run was given
	good      int   // events that were handled

	committed int // of these; the runner's
	unlisted  int // of these, those that are off the list of what is parked already
}

// Run calls the handler and keeps the outcome for [Runner.Finish]. A panic of the handler is kept
// too; if it ends its goroutine with runtime.Goexit, Run does not return, but Finish may be called
// all the same.
func (t *Task) Run(ctx context.Context) {
	if t.own.looping(t.crashes) && t.givesUp() == nil {
		t.fail(0, crashLoop(t.own, t.crashes))
		return
	}
	parent := ctx
	if d := t.own.worker.Timeout; d > 0 {
		limited := newLimited(ctx, d)
		defer limited.stop()
		t.batch.deadline = &deadline{restart: limited.restart}
		ctx = limited
	}
	returned := false
	defer func() {
		if !returned {
			t.failed = t.panicked(ErrGoexit)
			t.classify(parent, ctx)
			t.probeEnd()
		}
	}()
	t.call(ctx)
	t.classify(parent, ctx)
	t.probeEnd()
	returned = true
}

// call runs the handler and turns a panic into a failure.
func (t *Task) call(ctx context.Context) {
	defer func() {
		if value := recover(); value != nil {
			t.action, t.failed = Continue, t.panicked(panicError(value, t.own.worker.redact))
		}
	}()
	if t.passedOver() {
		return
	}
	action, err := t.handle(t.probe(ctx))
	if err == nil && action > StopWithRollback {
		err = fmt.Errorf("cursor: handler returned an unknown %s", action)
	}
	t.action = action
	if err != nil {
		t.action, t.failed = Continue, t.failedAt(err) // may panic: an error has methods too
	}
	if invalid := t.batch.refused(); invalid != nil && (t.failed == nil || invalid.index < t.failed.at) {
		reached := t.reached()
		t.action, t.failed = Continue, t.failedAt(invalid)
		t.failed.reached = reached // the handler continued after it
		t.failed.err.Evidence = false
	}
}

// classify decides how many events are done. When the caller's context ended, the failure of a
// handler says nothing about its events, unless the cause is [ErrInterrupted]: then it is an
// attempt, whatever is said of what it depends on. One that succeeded all the same is done: what it
// did outside of the store cannot be taken back.
func (t *Task) classify(parent, ctx context.Context) {
	t.good = t.Size()
	if t.failed == nil {
		return
	}
	switch err, cause := parent.Err(), context.Cause(parent); {
	case errors.Is(cause, ErrInterrupted):
		t.good = t.failed.at
		t.failed.err.Evidence, t.failed.err.Err = false, fmt.Errorf("%w: %w", cause, t.failed.err.Err)
		return
	case err != nil:
		t.good, t.cancelled = 0, fmt.Errorf("cursor: worker %q: %w", t.own.worker.Name, err)
		return
	}
	t.good = t.failed.at
	if cause := context.Cause(ctx); !errors.Is(cause, ErrTimeout) {
		return
	}
	if t.timedOutByPredecessor() {
		t.batch.deadline.reached = t.failed.reached
		t.failed = nil
	} else if !t.failed.saysTimeout {
		t.failed.err.Timeout = true
	}
}

// timedOutByPredecessor reports whether the event that failed had no time, because one before it
// took more than its own and was done nevertheless. It is handled again, as if it had not been
// tried.
func (t *Task) timedOutByPredecessor() bool {
	at, b := t.failed.at, &t.batch
	late := b.deadline.late
	return at > 0 && !t.failed.err.Panic && (late > 0 && late <= at || b.begun >= 0 && int(b.begun) < at)
}

// Err is how the handler failed, a [*HandlerError], or the error of the context that Run was given
// if that ended; nil if all went well.
func (t *Task) Err() error {
	switch {
	case t.cancelled != nil:
		return t.cancelled
	case t.failed != nil:
		return t.failed.err
	}
	return nil
}

// Tried takes how many attempts there were at each event of a task that is not run yet: see
// [Batch.Attempt].
func (t *Task) Tried(attempts func(event store.Position) int) {
	for i := range t.batch.events {
		tried(&t.batch, t.at(i), attempts(t.at(i)))
	}
}

// Action that the handler returned.
func (t *Task) Action() Action { return t.action }

// Nudged are the keys that its handler gave to [Nudge], of a task that has not failed.
func (t *Task) Nudged() []string {
	if t.batch.again == nil || t.Err() != nil {
		return nil
	}
	return t.batch.again.nudged
}

// Size is the number of events of the task.
func (t *Task) Size() int { return len(t.batch.events) }

// First is the position of the first event of the task.
func (t *Task) First() store.Position { return t.at(0) }

// at is the position of event i of the task.
func (t *Task) at(i int) store.Position { return t.batch.events[i].Position }

// failure is a failed handler.
type failure struct {
	at      int // the first event that is not done
	reached int // so many events it may have handled: those before and at the one it named, or all
	err     *HandlerError

	saysTimeout bool // the handler reported by itself that its time was over
}

// panicError makes an error of the value of a panic, whatever the methods of that do.
func panicError(value any, redact Redact) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%T that panics when it is read", value)
		}
	}()
	err, ok := value.(error)
	if !ok {
		err = fmt.Errorf("%v", value)
	}
	return supervision.Capture(err, redact.Text)
}

// panicked must be called while the stack of the panic is still there.
func (t *Task) panicked(err error) *failure {
	f := t.failureAt(int(t.batch.begun), err)
	f.err.Panic, f.err.Stack = true, debug.Stack()
	t.givesUp().refused(f.err)
	return f
}

func (t *Task) fail(at int, err error) {
	t.failed = t.failureAt(at, err)
	t.failed.reached = at
}

// failedAt is called in the frame of the handler, since the methods of its error may panic or end
// the goroutine: what it keeps can be judged and shown without them.
func (t *Task) failedAt(err error) *failure {
	at, saysTimeout, evidence := -1, errors.Is(err, ErrTimeout), supervision.Evidence(err)
	named := ownEvent(err)
	if named != nil && named.index >= 0 && named.index < t.Size() {
		at = named.index
		//nolint:errorlint // only the outermost error is replaced
		if err == error(named) && named.err != nil {
			err = named.err
		}
	}
	f := t.failureAt(at, t.own.capture(err))
	f.saysTimeout, f.err.Evidence = saysTimeout, evidence && t.givesUp() == nil
	t.givesUp().refused(f.err)
	return f
}

// ownEvent returns the error that names an event of this batch, nil if there is none. One of
// another runner that the handler uses names an event of that one's batch.
func ownEvent(err error) *eventError {
	for e := range supervision.Own(err) {
		if named, ok := e.(*eventError); ok { //nolint:errorlint // Own unwraps
			return named
		}
	}
	return nil
}

// failureAt takes -1 for an event that is not known. In a batch of one it always is.
func (t *Task) failureAt(at int, err error) *failure {
	if t.Size() == 1 {
		at = 0
	}
	first := max(at, 0)
	f := &failure{at: first, reached: t.Size(), err: &HandlerError{
		Worker: t.own.worker.Name, First: t.at(first), Size: t.Size(), Crashes: t.crashes, Err: err,
	}}
	if at >= 0 {
		f.err.Event, f.reached = t.at(at), at+1
	}
	return f
}

// reached is how many events of a task that has run the handler may have handled.
func (t *Task) reached() int {
	switch {
	case t.failed != nil:
		return t.failed.reached
	case t.batch.deadline != nil && t.batch.deadline.reached > 0:
		return t.batch.deadline.reached
	}
	return t.Size()
}
