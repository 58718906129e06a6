package drive

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// An Engine is what a [Worker] drives: a [cursor.Runner], see [EngineOf], or a fake one in tests of
// the decisions. It belongs to the goroutine of the worker.
type Engine interface {
	// Fill reads on up to a position, and reports whether everything up to there was read.
	Fill(ctx context.Context, upTo store.Position) (caughtUp bool, err error)
	// Take returns the next batch to handle, nil when there is none that may begin now.
	Take(ctx context.Context) (Task, error)
	Finish(t Task)
	Commit(ctx context.Context) (committed int, err error)
	// Submit begins a commit, after which Take returns the next batch before it is answered, unless
	// it is alone, as it is where beside is false; nil where only Commit will do. Answered takes it
	// back; where it is refused, Drop takes back the task that was taken meanwhile. See
	// [cursor.Runner.Submit].
	Submit(beside bool) Submission
	Answered(s Submission) (committed int, err error)
	Drop(t Task)
	Flush(ctx context.Context) error
	Close(ctx context.Context) error

	// Alarm is when Ring has scheduled events to write, or looks whether it has; zero where nothing is
	// scheduled. Ring writes some of those that are due, and returns how many.
	Alarm() time.Time
	Ring(ctx context.Context, now time.Time) (written int, err error)

	// Again, Park, Skip and GiveUp decide about an event that failed, which Failed reports.
	Again(first store.Position)
	Park(first store.Position, reason error, attempts int) error
	Skip(first store.Position, reason error, attempts int) error
	// GiveUp has the worker settle the outcome of an event that failed, in place of what a decision
	// says; false where it is to be parked. See [cursor.GiveUp].
	GiveUp(first store.Position, d Decision) bool
	Failed(first store.Position) bool
	// Done reports whether an event that was read is done, or parked.
	Done(event store.Position) bool

	Dependencies

	// Dirty reports whether a commit has something to write; Idle that there is nothing to take or
	// to commit; Guarded that nothing is taken beside what is in flight, with lanes, too.
	Dirty() bool
	Idle() bool
	Guarded() bool
}

// Dependencies is the part of an engine that keeps events from being handled in an outage: see
// [cursor.Dependencies].
type Dependencies interface {
	// Subject is that of an event that failed, Handled those of what was handled of a finished task.
	Subject(first store.Position) cursor.Subject
	Handled(t Task) []cursor.Subject
	// Suspend keeps the events of a dependency from being taken, until Release. What one depends on
	// that failed is what failed says.
	Suspend(dependency string, failed func(store.Position) (dependency string, is bool))
	Release(dependency string)
	// Probe takes one of them all the same, which has not failed, and says which; ProbeAt one that
	// has, also where it is parked. The task is nil where that cannot be handled now.
	Probe(ctx context.Context, dependency string) (Task, store.Position, error)
	ProbeAt(ctx context.Context, event store.Position) (Task, error)
	// Waits reports whether an event was read, or is to be handled again, and is not done; Parked that
	// it is parked, and not about to be handled again; HoldsUp that others wait for one that failed.
	Waits(event store.Position) bool
	Parked(event store.Position) bool
	HoldsUp(event store.Position) bool
	// Defer lets what follows an event that failed be handled before it, where that is of use, with
	// more also where it may be; TakeBack lets parked events be handled again.
	Defer(first store.Position, more bool) bool
	TakeBack(events []store.Position)
	// Doubt notes whether something else than a parked event may be to blame: then the next engine
	// handles it again.
	Doubt(event store.Position, is bool)
}

// A Task is a batch that is with a handler: a [*cursor.Task].
type Task interface {
	// Err is how the handler failed: a [*cursor.HandlerError], or the error of a context that
	// ended, of which nothing is recorded.
	Err() error
	Action() cursor.Action
	Size() int
	Nudged() []string
	// Tried takes how many attempts there were at each of its events, before it is run.
	Tried(attempts func(event store.Position) int)
}

// A Submission is a commit that is under way while its worker does something else: a
// [*cursor.Submission]. Send may be called on any goroutine.
type Submission interface {
	Send(tell func(error))
	Alone() bool
	// Covers returns how many events it writes, and up to where all are done once it has.
	Covers() (events int, upTo store.Position)
}

// EngineOf returns the engine that is a runner.
func EngineOf(r *cursor.Runner) Engine { return runner{r} }

// runner is one pointer, so that it becomes an Engine without an allocation.
type runner struct{ *cursor.Runner }

// Take returns a nil interface where there is no task: a nil *cursor.Task would be one.
func (r runner) Take(ctx context.Context) (Task, error) {
	t, err := r.Next(ctx, 0)
	if t == nil {
		return nil, err
	}
	return t, err
}

func (r runner) Alarm() time.Time { return cursor.Due(r.Runner) }

func (r runner) Ring(ctx context.Context, now time.Time) (int, error) {
	return cursor.Ring(ctx, r.Runner, now)
}

func (r runner) Finish(t Task) { r.Runner.Finish(t.(*cursor.Task)) }

// Submit returns a nil interface where there is no submission.
func (r runner) Submit(beside bool) Submission {
	if s := r.Runner.Submit(beside); s != nil {
		return s
	}
	return nil
}

func (r runner) Answered(s Submission) (int, error) {
	return r.Runner.Answered(s.(*cursor.Submission))
}

func (r runner) Drop(t Task) { r.Runner.Drop(t.(*cursor.Task)) }

// Again changes nothing where the event does not wait any more.
func (r runner) Again(first store.Position) {
	_ = r.Settle(first, supervision.Verdict{Action: supervision.ActionRetry})
}

func (r runner) Park(first store.Position, reason error, attempts int) error {
	return r.Settle(first, supervision.Verdict{Action: supervision.ActionPark, Attempt: attempts, Reason: reason})
}

func (r runner) Skip(first store.Position, reason error, attempts int) error {
	return r.Settle(first, supervision.Verdict{Action: supervision.ActionSkip, Attempt: attempts, Reason: reason})
}

func (r runner) GiveUp(first store.Position, d Decision) bool {
	return cursor.GiveUp(r.Runner, first, supervision.Verdict{Action: d.Action, Attempt: d.Attempt, Reason: d.Reason})
}

func (r runner) Failed(first store.Position) bool { return r.IsFailed(first) }
func (r runner) Done(event store.Position) bool   { return r.IsDone(event) }
func (r runner) Guarded() bool                    { return r.Progress().Guarded }

func (r runner) dependencies() cursor.Dependencies { return cursor.DependenciesOf(r.Runner) }

func (r runner) Subject(first store.Position) cursor.Subject { return r.dependencies().Failed(first) }

func (r runner) Handled(t Task) []cursor.Subject { return r.dependencies().Handled(t.(*cursor.Task)) }

func (r runner) Suspend(dependency string, failed func(store.Position) (string, bool)) {
	r.dependencies().Suspend(dependency, failed)
}

func (r runner) Release(dependency string) { r.dependencies().Release(dependency) }

func (r runner) Defer(first store.Position, more bool) bool {
	return r.dependencies().Defer(first, more)
}
func (r runner) TakeBack(events []store.Position) { r.dependencies().TakeBack(events) }

func (r runner) Doubt(event store.Position, is bool) { r.dependencies().Doubt(event, is) }

func (r runner) Waits(event store.Position) bool   { return r.dependencies().Waits(event) }
func (r runner) Parked(event store.Position) bool  { return r.dependencies().Parked(event) }
func (r runner) HoldsUp(event store.Position) bool { return r.dependencies().HoldsUp(event) }

func (r runner) Probe(ctx context.Context, dependency string) (Task, store.Position, error) {
	t, err := r.dependencies().Probe(ctx, dependency)
	if t == nil {
		return nil, 0, err
	}
	return t, t.First(), err
}

func (r runner) ProbeAt(ctx context.Context, event store.Position) (Task, error) {
	t, err := r.dependencies().ProbeAt(ctx, event)
	if t == nil {
		return nil, err
	}
	return t, err
}
