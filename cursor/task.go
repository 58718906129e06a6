package cursor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// ErrTimeout is the cause of the end of a handler's context when Worker.Timeout is over.
var ErrTimeout = errors.New("cursor: timeout of the handler")

// ErrCrashLoop is the reason of an event that is not tried again because the process ended each time it was.
var ErrCrashLoop = errors.New("cursor: the process ended each time while this event was handled")

// Task is a batch to handle, made by [Runner.Next]. Run may be called on any goroutine; everything else is for the one
// that the runner belongs to.
type Task struct {
	runner *Runner
	queue  *queue
	events []store.Event
	batch  *Batch
	deaths int // of processes that handled the event alone
	marked bool

	action    Action
	failed    *failure
	cancelled error // of the context that Run was given
	good      int   // events that were handled
	committed int   // of these
}

// Next takes the next batch of at most limit events (0 for Worker.BatchSize) that can be handled now, or nil: then
// nothing waits, or everything that waits stands behind what is in hand. A worker without lanes has one task in hand at
// a time.
//
// An error is that of the commit by which a worker whose predecessor died notes which event it is about to try, or of that by
// which one that keeps its position itself notes what was set aside.
func (r *Runner) Next(ctx context.Context, limit int) (*Task, error) {
	r.expireGuard()
	suspicious := r.Guarded()
	alone := !r.laned() || suspicious
	if alone && (r.inFlight > 0 || len(r.finished) > 0) {
		return nil, nil
	}
	if r.worker.ExternalPosition != nil { // its own position may pass what is set aside or held, so the log must know of that before
		if err := r.commitExtra(ctx); err != nil {
			return nil, err
		}
	}
	q, err := r.nextQueue(ctx)
	if q == nil || err != nil {
		return nil, err
	}
	n := min(len(q.events), r.worker.batchSize(limit))
	if q.limit > 0 {
		n = min(n, q.limit)
	}
	t := &Task{runner: r, queue: q}
	if suspicious {
		n = 1
		if err := r.mark(ctx, t, q.events[0].Position); err != nil {
			r.list(q)
			return nil, err
		}
	}
	t.events = q.events[:n:n]
	t.batch = r.newBatch(t)
	q.busy = true
	r.inFlight++
	return t, nil
}

// nextQueue takes turns between what is parked and has to be handled again, and what is new. The event at which the process
// ended comes first: were others tried before it, its deaths could not be counted.
func (r *Runner) nextQueue(ctx context.Context) (*queue, error) {
	if q := r.tried(); q != nil {
		return q, r.load(ctx, q)
	}
	r.turn = !r.turn
	if r.turn {
		if q, err := r.nextReplay(ctx); q != nil || err != nil {
			return q, err
		}
		return r.take(), nil
	}
	if q := r.take(); q != nil {
		return q, nil
	}
	return r.nextReplay(ctx)
}

// tried gives the queue of the event that was tried last, if a process died at it and it can be handled now.
func (r *Runner) tried() *queue {
	if r.suspect == 0 || r.tries == 0 {
		return nil
	}
	if entry := r.parked.at[r.trying]; entry != nil {
		if k := r.parked.replays[entry.Key]; k != nil && k.entries[0] == entry && k.queue.free() {
			return &k.queue
		}
		return nil
	}
	for _, q := range r.ready {
		if len(q.events) > 0 && q.events[0].Position == r.trying && q.free() {
			return q
		}
	}
	return nil
}

// Guarded reports whether the next event may be the one that killed the process before. It ends once everything is passed
// that may have been in flight then.
func (r *Runner) Guarded() bool { return r.suspect > 0 && !r.passedGuard() }

func (r *Runner) passedGuard() bool {
	return r.floor(r.at.scanned) >= r.suspectTo && len(r.parked.replays) == 0
}

// expireGuard ends the guard for good once it is passed: a replay that begins later is none of its business.
func (r *Runner) expireGuard() {
	if r.suspect > 0 && r.passedGuard() {
		r.ClearCrashGuard()
	}
}

func (r *Runner) newBatch(t *Task) *Batch {
	b := NewBatch(t.events, r.witness())
	b.trace = r.trace
	if r.worker.ExternalPosition != nil && !t.queue.parked {
		b.aside = r.asideUpTo(t.events[len(t.events)-1].Position)
	}
	switch pass := r.pass(); {
	case t.queue.parked: // the handler may run beside changes of the list
		b.parked = true
		b.replayed, b.mutes = r.emittedOf(t.events)
	case !pass.Empty():
		b.replayed, b.mutes = pass.Replayed, pass.Mutes
	}
	return b
}

// mark notes durably that an event is about to be handled alone, and says how often that ended with the process before.
func (r *Runner) mark(ctx context.Context, t *Task, event store.Position) error {
	if r.trying != event {
		r.trying, r.tries = event, 0
	}
	t.deaths = int(r.tries)
	if t.deaths >= r.attempts() {
		return nil // it will not be handled
	}
	r.tries++
	if err := r.write(ctx, nil, store.Batch{}, nil); err != nil {
		r.tries--
		return &CommitError{Worker: r.worker.Name, Err: err}
	}
	t.marked = true
	return nil
}

// attempts is how often the process may end while one event is handled before the event is taken for the reason.
func (r *Runner) attempts() int { return r.worker.Policy.WithDefaults().Attempts }

// Run calls the handler and keeps what became of it for [Runner.Finish]. A panic of the handler is kept too; if it ends
// its goroutine with runtime.Goexit, Run does not return, but Finish may be called all the same.
func (t *Task) Run(ctx context.Context) {
	if t.deaths >= t.runner.attempts() {
		t.fail(t.batch, 0, ErrCrashLoop)
		return
	}
	parent := ctx
	if d := t.runner.worker.Timeout; d > 0 {
		limited, cancel := context.WithCancelCause(ctx)
		timer := time.AfterFunc(d, func() { cancel(ErrTimeout) })
		defer timer.Stop()
		defer cancel(nil)
		t.batch.restart = func() bool { timer.Reset(d); return limited.Err() != nil }
		ctx = limited
	}
	returned := false
	defer func() {
		if !returned {
			t.failed = t.panicked(ErrGoexit)
			t.settle(parent, ctx)
		}
	}()
	t.call(ctx)
	t.settle(parent, ctx)
	returned = true
}

// call runs the handler and turns a panic into a failure.
func (t *Task) call(ctx context.Context) {
	defer func() {
		if value := recover(); value != nil {
			t.action, t.failed = Continue, t.panicked(panicError(value))
		}
	}()
	b := t.batch
	action, err := t.runner.worker.Handle(ctx, b)
	if err == nil && action > StopWithRollback {
		err = fmt.Errorf("cursor: handler returned an unknown %s", action)
	}
	t.action = action
	if err != nil {
		t.action, t.failed = Continue, t.failedAt(err) // may panic: an error has methods too
	}
	if b.fault != nil && (t.failed == nil || b.fault.Index < t.failed.at) {
		t.action, t.failed = Continue, t.failedAt(b.fault)
	}
}

// settle decides how many events are done. When the caller's context ended, the failure of a handler says nothing about
// its events.
func (t *Task) settle(parent, ctx context.Context) {
	t.good = len(t.events)
	if t.failed == nil {
		return
	}
	if err := parent.Err(); err != nil {
		t.good, t.cancelled = 0, fmt.Errorf("cursor: worker %q: %w", t.runner.worker.Name, err)
		return
	}
	t.good = t.failed.at
	if cause := context.Cause(ctx); !errors.Is(cause, ErrTimeout) {
		return
	}
	if t.robbed() {
		t.failed = nil
	} else if !errors.Is(t.failed.err.Err, ErrTimeout) {
		t.failed.err.Timeout = true
	}
}

// robbed reports whether the event that failed had no time, because one before it took more than its own and was done
// nevertheless. It is handled again, as if it had not been tried.
func (t *Task) robbed() bool {
	at, b := t.failed.at, t.batch
	return at > 0 && !t.failed.err.Panic && (b.late > 0 && b.late <= at || b.begun >= 0 && b.begun < at)
}

// Err is how the handler failed, a [*HandlerError], or the error of the context that Run was given if that ended; nil if
// all went well.
func (t *Task) Err() error {
	switch {
	case t.cancelled != nil:
		return t.cancelled
	case t.failed != nil:
		return t.failed.err
	}
	return nil
}

// Action that the handler wants.
func (t *Task) Action() Action { return t.action }

// Size is the number of events of the task.
func (t *Task) Size() int { return len(t.events) }

// First is the position of the first event of the task.
func (t *Task) First() store.Position { return t.events[0].Position }

// Finish takes back a task that has run. What was handled is written by the next [Runner.Commit]. If the handler failed,
// what it failed at stays where it is, with all behind it, until [Runner.Retry], [Runner.Park] or [Runner.Skip] say what to
// do with it.
func (r *Runner) Finish(t *Task) {
	r.inFlight--
	q := t.queue
	if t.action == StopWithRollback {
		t.good = 0
	}
	if t.marked { // the process lives: what became of the event is no death
		r.tries--
		r.extra.lived = r.extra.lived || t.good == 0
	}
	if t.failed != nil && t.cancelled == nil {
		q.blocked = true
		if t.failed.err.Event == 0 {
			q.limit = max(1, len(t.events)/2)
		}
	}
	if t.good > 0 {
		r.finished = append(r.finished, t) // the queue stays busy until the commit
		return
	}
	q.busy = false
	if t.action != StopWithRollback {
		r.list(q)
	}
}

// failure is a failed handler: at is the index of the first event that is not done.
type failure struct {
	at  int
	err *HandlerError
}

func panicError(value any) error {
	if err, ok := value.(error); ok {
		return err
	}
	return fmt.Errorf("%v", value)
}

// panicked must be called while the stack of the panic is still there.
func (t *Task) panicked(err error) *failure {
	f := t.failureAt(t.batch.begun, err)
	f.err.Panic, f.err.Stack = true, debug.Stack()
	return f
}

func (t *Task) fail(b *Batch, at int, err error) {
	t.failed = t.failureAt(at, &EventError{Index: at, Position: b.events[at].Position, Err: err})
	t.failed.err.Crashes = t.deaths
}

func (t *Task) failedAt(err error) *failure {
	at := -1
	var named *EventError
	if errors.As(err, &named) && named.Index >= 0 && named.Index < len(t.events) {
		at = named.Index
		// A copy gets the position: the handler may return the same error again, elsewhere, while this one is read.
		if err == error(named) { //nolint:errorlint // only the outermost error is replaced
			err = named.Err
		}
		err = &EventError{Index: at, Position: t.events[at].Position, Err: err}
	}
	return t.failureAt(at, err)
}

// failureAt takes -1 for an event that is not known. In a batch of one it always is.
func (t *Task) failureAt(at int, err error) *failure {
	if len(t.events) == 1 {
		at = 0
	}
	first := max(at, 0)
	f := &failure{at: first, err: &HandlerError{
		Worker: t.runner.worker.Name, First: t.events[first].Position, Size: len(t.events), Crashes: t.deaths, Err: err,
	}}
	if at >= 0 {
		f.err.Event = t.events[at].Position
	}
	return f
}

// trace gives the causes of an event.
func (r *Runner) trace(ctx context.Context, e *store.Event) []store.Event {
	var chain []store.Event
	for cause := e.Cause; cause != (store.Event{}).Cause && len(chain) < maxTrace; {
		event, err := r.st.Get(ctx, cause)
		if err != nil {
			break
		}
		chain = append(chain, event)
		cause = event.Cause
	}
	return chain
}

// maxTrace is how many causes are told.
const maxTrace = 64

// witness tells the handler of its checkpoint.
func (r *Runner) witness() Ownership {
	if r.lease == nil {
		return Ownership{}
	}
	return Ownership{ID: r.lease.ID(), FirstName: r.lease.FirstName(), Epoch: r.record().Epoch, Origin: r.st.Origin()}
}

func (r *Runner) pass() checkpoint.Pass {
	if r.lease == nil {
		return checkpoint.Pass{}
	}
	return r.lease.Pass()
}
