package cursor

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// The calls in this file change what the worker does from now on. Each is one commit with an audit
// event in the reserved scope; after a crash it is there whole or not at all. They need all tasks
// to be given back, or return [ErrInFlight], and a checkpoint, or return [ErrNoCheckpoint]. With a
// dry run nothing of the change is written; what was handled before is committed all the same.
//
// They change the lists in memory only after their commit is answered: where it fails, the worker
// continues as if it had not been asked.

// Operator is what can be done to a worker between two of its batches. A [Runner] is one;
// [OperatorOf] returns one for a worker that is not run. The two do the same to the log.
type Operator interface {
	Apply(ctx context.Context, c checkpoint.Change, q checkpoint.Request) (checkpoint.Outcome, error)
	Pause(ctx context.Context, until time.Time, q checkpoint.Request) error
	Resume(ctx context.Context, q checkpoint.Request) error
	Replay(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error)
	Discard(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error)
}

var _ Operator = (*Runner)(nil)

// Apply changes the checkpoint and continues where that leads: for a checkpoint.Rewind, SkipTo,
// Reset, Widen or Rebind. After a rewind handlers see [Batch.Replayed] for what had been handled
// before; what was pending comes in its place in the log, for the first time.
//
// Errors: those of the change, checkpoint.ErrRunning for the others, [ErrExternalPosition], and
// [ErrWorker] for a region that does not fit the worker.
func (r *Runner) Apply(ctx context.Context, c checkpoint.Change, q checkpoint.Request) (checkpoint.Outcome, error) {
	if r.own.worker.ExternalPosition != nil {
		return checkpoint.Outcome{}, r.own.wrap("change the checkpoint", ErrExternalPosition)
	}
	if err := settled(ctx, r, "change the checkpoint"); err != nil {
		return checkpoint.Outcome{}, err
	}
	next, err := rebound(*r.own.worker, c)
	if err != nil {
		return checkpoint.Outcome{}, err
	}
	out, err := changed(ctx, r, c, q)
	if err != nil || q.DryRun {
		return out, err
	}
	r.own.worker, r.own.region = &next, next.narrowed()
	r.guard.disarm()
	r.own.emission.given = nil
	r.stale = true
	_ = refresh(ctx, r) // the change is made: what is in the way of its result is met by the next call
	return out, nil
}

// changed commits a change of the checkpoint. Retention drops nothing meanwhile: what is held from
// here on was there when the change was worked out.
func changed(ctx context.Context, r *Runner, c checkpoint.Change, q checkpoint.Request) (out checkpoint.Outcome, err error) {
	err = store.WithoutDrops(ctx, r.own.st, func() error {
		var b store.Batch
		if out, err = r.own.lease.StageChange(ctx, r.own.st, &b, r.out.present(), c, q); err != nil || q.DryRun {
			return err
		}
		if err := r.own.commit(ctx, b); err != nil {
			out = checkpoint.Outcome{}
			return r.own.failed(ErrCommit, err)
		}
		return nil
	})
	return out, err
}

// rebound is the worker after a change: that may be of what it reads.
func rebound(w Worker, c checkpoint.Change) (Worker, error) {
	switch c := c.(type) {
	case checkpoint.Widen:
		w.Region, w.Kinds = c.Region, c.Kinds
	case checkpoint.Rebind:
		w.Region, w.Kinds = c.Region, c.Kinds
	}
	return w, w.validate()
}

// settled makes sure that nothing is in flight and nothing waits to be written: a change of the
// checkpoint would lose it, or write it into a pass that it does not belong to.
func settled(ctx context.Context, r *Runner, what string) error {
	switch {
	case r.own.lease == nil:
		return r.own.wrap(what, ErrNoCheckpoint)
	case r.inFlight > 0, r.win.sent > 0:
		return r.own.wrap(what, ErrInFlight)
	}
	if err := refresh(ctx, r); err != nil {
		return r.own.wrap(what, err)
	}
	if r.Dirty() {
		if _, err := r.Commit(ctx); err != nil {
			return r.own.wrap(what, err)
		}
	}
	if len(r.finished) > 0 {
		return r.own.wrap(what, ErrInFlight)
	}
	return nil
}

// note commits what an operator has written, with the checkpoint as it is.
func note(ctx context.Context, r *Runner, b store.Batch) error {
	r.own.lease.Stage(&b, r.out.present())
	return r.own.commit(ctx, b)
}

// requested is settled, with the request checked.
func requested(ctx context.Context, r *Runner, what string, q checkpoint.Request) error {
	if err := q.Validate(); err != nil {
		return r.own.wrap(what, err)
	}
	return settled(ctx, r, what)
}

// Pause keeps over restarts that the worker is paused: until a time, or with the zero time until it
// is resumed. The caller that runs the worker has to heed it; the runner itself does not. A time
// that is not after that of the store, or after the year 9999, is a [store.InvalidError]. Resume
// takes it back.
func (r *Runner) Pause(ctx context.Context, until time.Time, q checkpoint.Request) error {
	b, err := pausing(r.own.st, checkpoint.ID(r.own.worker.Name), until, q)
	if err != nil {
		return r.own.wrap("pause", err)
	}
	if err := settled(ctx, r, "pause"); err != nil || q.DryRun {
		return err
	}
	return r.own.noted(note(ctx, r, b))
}

// Resume ends a pause. A worker that is not paused stays as it is, and nothing is written. A Pause
// takes it back.
func (r *Runner) Resume(ctx context.Context, q checkpoint.Request) error {
	if err := requested(ctx, r, "resume", q); err != nil || q.DryRun {
		return err
	}
	b, paused := resuming(r.own.st, r.own.lease.ID(), q)
	if !paused {
		return nil
	}
	return r.own.noted(note(ctx, r, b))
}

// Replay marks parked events to be handled again, between the batches of new ones, with a fresh
// count of attempts: each key of which one is selected, from what it begins with on to the last
// that is held. It returns all of them by position, as they were; of a dry run, those that it would
// mark. Once it is committed a crash does not stop it: the next runner resumes it. Nothing takes it
// back.
//
// Errors: [ErrNotParked] where one event or key is not there, and a [store.InvalidError] for a
// filter that breaks a rule, or more than the store takes in one commit.
func (r *Runner) Replay(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	return ordered(ctx, r, "replay", which, q, replayOrder)
}

// Discard drops parked events that failed, for good; what is held for these alone is handled. It
// returns both by position, as they were: what is Held is handled, the rest dropped. Each that is
// dropped has an audit event. Nothing takes it back. Errors: as those of Replay.
func (r *Runner) Discard(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	return ordered(ctx, r, discarding, which, q, discardOrder)
}

// decision works out an order on a list.
type decision func(context.Context, *store.Store, *parkedList, ParkedFilter) (parkedOrder, error)

func ordered(
	ctx context.Context, r *Runner, what string, which ParkedFilter, q checkpoint.Request, decide decision,
) ([]checkpoint.Parked, error) {
	if err := requested(ctx, r, what, q); err != nil {
		return nil, err
	}
	o, err := decide(ctx, r.own.st, &r.list, which)
	if err != nil {
		return nil, r.own.wrap(what, err)
	}
	touched := o.touched()
	if q.DryRun || len(touched) == 0 {
		return touched, nil
	}
	answers, err := o.answers(ctx, &r.own)
	if err != nil {
		return nil, r.own.wrap(what, err)
	}
	err = r.out.unlessErased(ctx, func(c store.Condition) error {
		b := o.batch(r.own.lease.ID(), q)
		b.Events, b.Conditions = append(b.Events, answers...), []store.Condition{c}
		return note(ctx, r, b)
	})
	if err != nil {
		return nil, r.own.noted(err)
	}
	o.carryOut()
	for _, e := range o.chosen {
		if o.drop {
			delete(r.own.emission.given, e.Position)
		} else if q := &r.list.keys[e.Key].queue; q.undecided() { // it failed again, and is tried now
			r.next.release(q)
		}
	}
	return touched, nil
}
