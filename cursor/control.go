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

// Operator is what can be done to a worker between two of its batches. A [Runner] is one.
type Operator interface {
	Apply(ctx context.Context, c checkpoint.Change, q checkpoint.Request) (checkpoint.Outcome, error)
	Pause(ctx context.Context, until time.Time, q checkpoint.Request) error
	Resume(ctx context.Context, q checkpoint.Request) error
	Replay(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error)
	Discard(ctx context.Context, event store.Position, q checkpoint.Request) error
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

// note commits an audit event and a side value, with the checkpoint as it is.
func note(
	ctx context.Context, r *Runner, kind string, a checkpoint.Audit, q checkpoint.Request, side store.SideWrite,
) error {
	return r.own.noted(noteWith(ctx, r, kind, a, q, store.Batch{Sides: []store.SideWrite{side}}))
}

// noteParked is note with changes of parked events.
func noteParked(
	ctx context.Context, r *Runner, kind string, a checkpoint.Audit, q checkpoint.Request, sides func() []store.SideWrite,
) error {
	return r.own.noted(r.out.unlessErased(ctx, func(c store.Condition) error {
		return noteWith(ctx, r, kind, a, q, store.Batch{Sides: sides(), Conditions: []store.Condition{c}})
	}))
}

func noteWith(
	ctx context.Context, r *Runner, kind string, a checkpoint.Audit, q checkpoint.Request, b store.Batch,
) error {
	a.Reason, a.By = q.Reason, q.By
	b.Events = []store.Proposal{r.own.audited(nil, kind, a)}
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
// that is not after that of the store, or after the year 9999, is a [store.InvalidError].
func (r *Runner) Pause(ctx context.Context, until time.Time, q checkpoint.Request) error {
	p := checkpoint.Pause{Since: r.own.st.Now(), Until: until, Reason: q.Reason, By: q.By}
	if err := p.Validate(); err != nil {
		return r.own.wrap("pause", err)
	}
	if err := settled(ctx, r, "pause"); err != nil || q.DryRun {
		return err
	}
	var a checkpoint.Audit
	if !until.IsZero() {
		a.Until = &until
	}
	return note(ctx, r, checkpoint.AuditPaused, a, q, p.Write(r.own.lease.ID()))
}

// Resume ends a pause. A worker that is not paused stays as it is, and nothing is written.
func (r *Runner) Resume(ctx context.Context, q checkpoint.Request) error {
	if err := requested(ctx, r, "resume", q); err != nil || q.DryRun {
		return err
	}
	info, err := checkpoint.Inspect(r.own.st, r.own.lease.ID())
	if info.Pause == nil && err == nil { // one that cannot be read ends, too
		return nil
	}
	return note(ctx, r, checkpoint.AuditResumed, checkpoint.Audit{}, q, checkpoint.Resume(r.own.lease.ID()))
}

// Replay marks parked events to be handled again, between the batches of new ones, with a fresh
// count of attempts: the event that failed of each key that is selected, and then what is held for
// it. It returns them by position. Once it is committed a crash does not stop it: the next runner
// resumes it. Errors: [ErrNotParked], and [store.ErrInvalid] for a filter with two selectors.
func (r *Runner) Replay(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	if err := requested(ctx, r, "replay", q); err != nil {
		return nil, err
	}
	keys, err := which.keys(&r.list)
	if err != nil {
		return nil, r.own.wrap("replay", err)
	}
	chosen := r.list.events(keys)
	if q.DryRun || len(chosen) == 0 {
		return chosen, nil
	}
	return chosen, markReplaying(ctx, r, which, keys, chosen, q)
}

func markReplaying(
	ctx context.Context, r *Runner, which ParkedFilter, keys []string, chosen []checkpoint.Parked,
	q checkpoint.Request,
) error {
	sides := func() (sides []store.SideWrite) {
		for _, entry := range r.list.events(keys) {
			entry.Replaying = true
			sides = append(sides, entry.Write(r.own.lease.ID()))
		}
		return sides
	}
	a := checkpoint.Audit{Position: which.Position, Key: which.Key, Events: len(chosen)}
	if err := noteParked(ctx, r, checkpoint.AuditReplay, a, q, sides); err != nil {
		return err
	}
	r.list.replay(keys)
	for _, key := range keys { // one that is being replayed already, and failed, is tried again now
		if q := &r.list.keys[key].queue; q.undecided() {
			r.next.release(q)
		}
	}
	return nil
}

// Discard drops a parked event for good; what is held for it is handled. Errors: [ErrNotParked].
func (r *Runner) Discard(ctx context.Context, event store.Position, q checkpoint.Request) error {
	if err := requested(ctx, r, "discard", q); err != nil {
		return err
	}
	keys, err := ParkedFilter{Position: event}.keys(&r.list)
	if err != nil {
		return r.own.wrap("discard", err)
	}
	if q.DryRun {
		return nil
	}
	given, id := r.list.at[event], r.own.lease.ID()
	sides := func() []store.SideWrite { return append(r.list.freed(id, given), checkpoint.Unpark(id, event)) }
	a := checkpoint.Audit{Position: event, Key: keys[0]}
	if err := noteParked(ctx, r, checkpoint.AuditDiscarded, a, q, sides); err != nil {
		return err
	}
	r.list.discard(given)
	delete(r.own.emission.given, event)
	return nil
}
