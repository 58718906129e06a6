package reactortest

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Control does one thing with a worker between two of its batches, as an operator does through the running system: SkipTo, Reset
// and Discard of [cursor.Runner], and those that have a method here. It gives what do returns, or the reason of a worker that
// is halted.
//
// After a crash in the middle of it do is called once more; if the operation had been made before the crash, what it returns
// then is not an error.
func (r *Run) Control(name string, do func(ctx context.Context, worker *cursor.Runner) error) error {
	r.tb.Helper()
	head, boots := r.st.Head(), r.boots
	err := r.guard(func() error { return r.worker(name).control(do) })
	if err == nil || r.boots == boots {
		return err
	}
	if len(r.read(operations(name), head)) > 0 {
		return nil
	}
	return err
}

// operations selects the audit events of what an operator does with a worker. What it does by itself has others.
func operations(name string) store.Region {
	return checkpoint.AuditRegion(checkpoint.ID(name),
		checkpoint.AuditReplay, checkpoint.AuditDiscarded, checkpoint.AuditPaused, checkpoint.AuditResumed,
		checkpoint.AuditRewound, checkpoint.AuditReset, checkpoint.AuditSkippedTo, checkpoint.AuditWidened)
}

// operate is Control for what must not fail.
func (r *Run) operate(name, what string, do func(ctx context.Context, worker *cursor.Runner) error) {
	r.tb.Helper()
	if err := r.Control(name, do); err != nil {
		r.tb.Fatalf("reactortest: %s %q: %v", what, name, err)
	}
}

// Pause lets a worker rest until a time of the run, or with the zero time until [Run.Resume].
func (r *Run) Pause(name string, until time.Time) {
	r.tb.Helper()
	r.operate(name, "pause", func(ctx context.Context, w *cursor.Runner) error { return w.Pause(ctx, until, "reactortest") })
}

// Resume starts a halted worker again, with a fresh count of attempts, and ends the pause of any other.
func (r *Run) Resume(name string) {
	r.tb.Helper()
	if r.worker(name).final == Halted {
		_ = r.worker(name).resume() // touches no disk
		return
	}
	r.operate(name, "resume", func(ctx context.Context, w *cursor.Runner) error { return w.Resume(ctx, "reactortest") })
}

// Replay lets what a worker has set aside be handled again, as new events are: by [Run.Step] and [Run.Settle]. It gives what it
// concerns, by position.
func (r *Run) Replay(name string, which cursor.ParkedFilter) (chosen []checkpoint.Parked) {
	r.tb.Helper()
	r.operate(name, "replay", func(ctx context.Context, w *cursor.Runner) (err error) {
		chosen, err = w.Replay(ctx, which, false, "reactortest")
		return err
	})
	return chosen
}

// Rewind sends a worker back: everything behind a position is handled again, which handlers can see. The reactions to what had
// been handled are dropped unless emit is set.
func (r *Run) Rewind(name string, to store.Position, emit bool) {
	r.tb.Helper()
	r.operate(name, "rewind", func(ctx context.Context, w *cursor.Runner) error { return w.Rewind(ctx, to, emit, "reactortest") })
}

// Widen lets a worker read a region that contains the present one, and these kinds of it, the past included. It stays so after a
// crash, as in a program that declares the wider region from now on.
func (r *Run) Widen(name string, region store.Region, kinds ...string) {
	r.tb.Helper()
	r.wider[name] = cursor.Worker{Region: region, Kinds: kinds}
	r.operate(name, "widen", func(ctx context.Context, w *cursor.Runner) error {
		if err := w.Widen(ctx, region, kinds, "reactortest"); err != nil {
			return err
		}
		declared := &r.worker(name).worker
		declared.Region, declared.Kinds = region, kinds
		return nil
	})
}
