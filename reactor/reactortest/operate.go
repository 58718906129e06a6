package reactortest

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// request names the run in the audit events of its operations.
func request() checkpoint.Request { return checkpoint.Request{By: "reactortest"} }

// Control calls do for a worker between two of its batches, as a call of an operator in a running
// system: for operations that may fail, or have no method here. It returns the error of do, or the
// reason of a worker that is halted.
//
// After a crash in the middle of it do is called once more; if the operation was written before the
// crash, the error of the second call is dropped.
func (r *Run) Control(name string, do func(ctx context.Context, worker cursor.Operator) error) error {
	r.tb.Helper()
	head, boots := r.st.Head(), r.boots
	err := r.guard(func() error { return r.worker(name).control(do) })
	if err != nil && r.boots != boots && operated(r, name, head) {
		return nil
	}
	return err
}

// operated reports whether an operator has done something to a worker since the head was at a
// position. What a worker does by itself has other audit events.
func operated(r *Run, name string, head store.Position) bool {
	r.tb.Helper()
	found := false
	err := r.guard(func() error {
		audits := checkpoint.Audits(r.ctx(), r.st, checkpoint.ID(name), head,
			checkpoint.AuditReplay, checkpoint.AuditDiscarded, checkpoint.AuditPaused, checkpoint.AuditResumed,
			checkpoint.AuditRewound, checkpoint.AuditReset, checkpoint.AuditSkippedTo, checkpoint.AuditWidened,
			checkpoint.AuditRebound)
		for _, err := range audits {
			found = err == nil
			return err
		}
		return nil
	})
	if err != nil {
		r.tb.Fatalf("reactortest: %v", err)
	}
	return found
}

// operator records what a worker will read before that is changed: the power may fail once it is,
// and then the process that starts again declares it.
type operator struct {
	cursor.Operator
	worker *worker
}

func (o operator) Apply(
	ctx context.Context, c checkpoint.Change, q checkpoint.Request,
) (checkpoint.Outcome, error) {
	wider := o.worker.run.wider
	switch c := c.(type) {
	case checkpoint.Widen:
		wider[o.worker.name()] = cursor.Worker{Region: c.Region, Kinds: c.Kinds}
	case checkpoint.Rebind:
		wider[o.worker.name()] = cursor.Worker{Region: c.Region, Kinds: c.Kinds}
	}
	return o.Operator.Apply(ctx, c, q)
}

// operate is Control for an operation that must not fail.
func (r *Run) operate(name, what string, do func(ctx context.Context, worker cursor.Operator) error) {
	r.tb.Helper()
	if err := r.Control(name, do); err != nil {
		r.tb.Fatalf("reactortest: %s %q: %v", what, name, err)
	}
}

// Apply changes the checkpoint of a worker: a checkpoint.Rewind, SkipTo, Reset, Widen or Rebind.
// What the worker reads after a Widen or Rebind stays so over a crash, as in a program that
// declares it from now on. The outcome is empty if the change was made by an attempt that crashed
// afterwards.
func (r *Run) Apply(name string, c checkpoint.Change) (out checkpoint.Outcome) {
	r.tb.Helper()
	r.operate(name, c.String(), func(ctx context.Context, w cursor.Operator) (err error) {
		out, err = w.Apply(ctx, c, request())
		return err
	})
	return out
}

// Pause keeps a worker from handling events until a time of the run, or with the zero time until
// [Run.Resume].
func (r *Run) Pause(name string, until time.Time) {
	r.tb.Helper()
	r.operate(name, "pause", func(ctx context.Context, w cursor.Operator) error { return w.Pause(ctx, until, request()) })
}

// Resume starts a halted worker again, with a fresh count of attempts, and ends the pause of any
// other.
func (r *Run) Resume(name string) {
	r.tb.Helper()
	if err := r.guard(func() error { return r.worker(name).resume() }); err != nil {
		r.tb.Fatalf("reactortest: resume %q: %v", name, err)
	}
}

// Replay marks parked events of a worker to be handled again, as new events are: by [Run.Step] and
// [Run.Settle]. It returns them by position.
func (r *Run) Replay(name string, which cursor.ParkedFilter) (chosen []checkpoint.Parked) {
	r.tb.Helper()
	r.operate(name, "replay", func(ctx context.Context, w cursor.Operator) (err error) {
		chosen, err = w.Replay(ctx, which, request())
		return err
	})
	return chosen
}

// Nudge has a worker try again what of a key waits in a backoff, with its next step, as
// actors.Nudge does. A handler may call it, too.
func Nudge(r *Run, name, key string) {
	r.tb.Helper()
	if w := r.worker(name); w.core != nil {
		drive.Nudge(w.core, r.Now(), key)
	}
}

// Erase erases all events that an entity has by now, in whatever scope, with what parked events say
// of their errors, and with what keepers keep of them: see [store.Erase] and [reactor.ErasedSides].
// Workers see it with their next step.
func Erase(r *Run, entity string, keepers ...reactor.Keeper) {
	r.tb.Helper()
	err := r.guard(func() error {
		what := erasure()
		what.Entity, what.Sides = entity, reactor.ErasedSides(r.st, keepers...)
		_, err := store.Erase(r.ctx(), r.st, what)
		if err != nil && isCut(r) { // a segment that was being sealed met it, which says nothing
			return storetest.ErrPowerCut
		}
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: erase %q: %v", entity, err)
	}
	syncStore(r)
}
