package cursor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// The calls in this file change what the worker does from now on. Each is one commit with an audit event in the reserved
// scope; after a crash it is there whole or not at all. They need the tasks to be given back, or return [ErrInFlight].

// ErrExternalPosition is the error of a call that moves a worker which keeps its position itself, see Worker.ExternalPosition.
var ErrExternalPosition = fmt.Errorf("cursor: worker keeps its position elsewhere: move it there")

// settled makes sure that nothing is in hand and nothing waits to be written.
func (r *Runner) settled(ctx context.Context, what string) error {
	var err error
	switch {
	case r.lease == nil:
		err = ErrNoCheckpoint
	case r.inFlight > 0:
		err = ErrInFlight
	default:
		if r.Dirty() {
			_, err = r.Commit(ctx)
		}
		if err == nil && len(r.finished) > 0 {
			err = ErrInFlight
		}
	}
	if err != nil {
		return fmt.Errorf("cursor: worker %q: %s: %w", r.worker.Name, what, err)
	}
	return nil
}

// control commits a batch that has its checkpoint, with an audit event.
func (r *Runner) control(ctx context.Context, b store.Batch, a checkpoint.Audit) error {
	b.Events = append(b.Events, r.audited(nil, a))
	if err := commitStaged(ctx, r.st, r.lease, b); err != nil {
		return &CommitError{Worker: r.worker.Name, Err: err}
	}
	return nil
}

// note is control for what leaves the checkpoint as it is.
func (r *Runner) note(ctx context.Context, a checkpoint.Audit, sides ...store.SideWrite) error {
	b := store.Batch{Sides: sides}
	r.lease.Stage(&b, r.move(r.frontier))
	return r.control(ctx, b, a)
}

// Pause keeps over restarts that the worker is to rest, until a time (zero: until it is resumed), and why. Who runs the
// worker heeds it; the runner itself does not.
func (r *Runner) Pause(ctx context.Context, until time.Time, reason string) error {
	if err := r.settled(ctx, "pause"); err != nil {
		return err
	}
	p := checkpoint.Pause{Since: time.Now(), Until: until, Reason: reason}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("cursor: worker %q: pause: %w", r.worker.Name, err)
	}
	a := checkpoint.Audit{Action: checkpoint.AuditPaused, Reason: reason}
	if !until.IsZero() {
		a.Until = &until
	}
	return r.note(ctx, a, p.Write(r.lease.ID()))
}

// Resume takes a pause back.
func (r *Runner) Resume(ctx context.Context, reason string) error {
	if err := r.settled(ctx, "resume"); err != nil {
		return err
	}
	return r.note(ctx, checkpoint.Audit{Action: checkpoint.AuditResumed, Reason: reason}, checkpoint.Resume(r.lease.ID()))
}

// Rewind goes back to a position: everything that matches behind it is handled again. Handlers see [Batch.Replayed] for
// what had been handled before, and the reactions to that are dropped unless emit says that they are to be written again.
// What was parked or held behind the position, and what was not handled yet, comes in its place in the log, for the first
// time. Errors: [*checkpoint.RewindError], [*checkpoint.AheadError], [ErrExternalPosition].
func (r *Runner) Rewind(ctx context.Context, to store.Position, emit bool, reason string) error {
	if err := r.movable(ctx, "rewind"); err != nil {
		return err
	}
	var b store.Batch
	undone := slices.Clone(r.record().Pending)
	for p, entry := range r.parked.at {
		if p <= to {
			continue
		}
		b.Sides = append(b.Sides, checkpoint.Unpark(r.lease.ID(), p))
		if !entry.Replay {
			undone = append(undone, p)
		}
	}
	slices.Sort(undone)
	from := r.position()
	if err := r.lease.StageRewind(&b, to, r.region, undone, emit); err != nil {
		return err
	}
	a := checkpoint.Audit{Action: checkpoint.AuditRewound, Position: from, To: to, Emit: emit, Reason: reason}
	return r.restart(ctx, b, a)
}

// Reset begins anew at the beginning of the log, as if the worker had never run: everything is handled, and emitted, again.
// What is parked is forgotten, since it comes again too.
func (r *Runner) Reset(ctx context.Context, reason string) error {
	if err := r.movable(ctx, "reset"); err != nil {
		return err
	}
	var b store.Batch
	for p := range r.parked.at {
		b.Sides = append(b.Sides, checkpoint.Unpark(r.lease.ID(), p))
	}
	a := checkpoint.Audit{Action: checkpoint.AuditReset, Position: r.position(), Reason: reason}
	r.lease.StageReset(&b)
	return r.restart(ctx, b, a)
}

// SkipTo goes forward to a position: what lies before it and is not handled yet never is. What is parked stays. Errors:
// [*checkpoint.SkipError], [*checkpoint.AheadError], [ErrExternalPosition].
func (r *Runner) SkipTo(ctx context.Context, to store.Position, reason string) error {
	if err := r.movable(ctx, "skip"); err != nil {
		return err
	}
	var b store.Batch
	a := checkpoint.Audit{Action: checkpoint.AuditSkippedTo, Position: r.position(), To: to, Reason: reason}
	if err := r.lease.StageSkip(&b, to, r.st.Head()); err != nil {
		return err
	}
	return r.restart(ctx, b, a)
}

// Widen makes the worker read a region that contains the present one, with more kinds, a wider scope or a shorter entity
// prefix: what matches only now is handled from the beginning of the log, in order, each event once, before the worker goes
// on. A region that does not contain the present one is a [*checkpoint.RebuildError].
func (r *Runner) Widen(ctx context.Context, region store.Region, kinds []string, reason string) error {
	if err := r.movable(ctx, "widen"); err != nil {
		return err
	}
	wider := r.worker
	wider.Region, wider.Kinds = region, kinds
	if err := wider.Validate(); err != nil {
		return err
	}
	var b store.Batch
	if err := r.lease.StageWiden(&b, wider.binding()); err != nil {
		return err
	}
	a := checkpoint.Audit{Action: checkpoint.AuditWidened, Position: r.position(), Region: region.String(), Reason: reason}
	former, formerRegion := r.worker, r.region
	r.worker, r.region = wider, wider.narrowed()
	if err := r.restart(ctx, b, a); err != nil {
		r.worker, r.region = former, formerRegion
		return err
	}
	return nil
}

// movable is settled, for a worker whose position is kept here.
func (r *Runner) movable(ctx context.Context, what string) error {
	if r.worker.ExternalPosition != nil {
		return fmt.Errorf("cursor: worker %q: %s: %w", r.worker.Name, what, ErrExternalPosition)
	}
	if err := r.settled(ctx, what); err != nil {
		return err
	}
	// So the checkpoint says how far the log was read.
	return r.Flush(ctx)
}

// restart commits a move and begins where it leads.
func (r *Runner) restart(ctx context.Context, b store.Batch, a checkpoint.Audit) error {
	if err := r.control(ctx, b, a); err != nil {
		return err
	}
	r.ClearCrashGuard()
	return r.restore(ctx)
}

// Replay lets what is set aside be handled again, between the batches of what is new, with a fresh count of attempts: the
// parked event of each key that is selected, and then what is held behind it. It gives what it concerns, by position. A
// dry run changes nothing. Once it is committed a crash does not stop it: the next runner goes on. Errors: [ErrNotParked].
func (r *Runner) Replay(ctx context.Context, which ParkedFilter, dryRun bool, reason string) ([]checkpoint.Parked, error) {
	if err := r.settled(ctx, "replay"); err != nil {
		return nil, err
	}
	keys, err := r.choose(which)
	if err != nil {
		return nil, err
	}
	var chosen []checkpoint.Parked
	for _, key := range keys {
		for _, entry := range r.parked.keys[key].entries {
			chosen = append(chosen, *entry)
		}
	}
	slices.SortFunc(chosen, func(a, b checkpoint.Parked) int { return int(int64(a.Position) - int64(b.Position)) })
	if dryRun || len(chosen) == 0 {
		return chosen, nil
	}
	return chosen, r.markReplaying(ctx, which, chosen, reason)
}

func (r *Runner) markReplaying(ctx context.Context, which ParkedFilter, chosen []checkpoint.Parked, reason string) error {
	var sides []store.SideWrite
	for _, entry := range chosen {
		entry.Replaying = true
		sides = append(sides, entry.Write(r.lease.ID()))
	}
	a := checkpoint.Audit{
		Action: checkpoint.AuditReplay, Position: which.Position, Key: which.Key, Events: len(chosen), Reason: reason,
	}
	if err := r.note(ctx, a, sides...); err != nil {
		return err
	}
	for _, entry := range chosen {
		r.parked.at[entry.Position].Replaying = true
		r.parked.note(entry.Key)
	}
	return nil
}

// Discard gives up a parked event for good; what is held of its key is handled. Errors: [ErrNotParked].
func (r *Runner) Discard(ctx context.Context, event store.Position, reason string) error {
	if err := r.settled(ctx, "discard"); err != nil {
		return err
	}
	keys, err := r.choose(ParkedFilter{Position: event})
	if err != nil {
		return err
	}
	k, given := r.parked.keys[keys[0]], r.parked.at[event]
	sides := []store.SideWrite{checkpoint.Unpark(r.lease.ID(), event)}
	for _, entry := range k.entries {
		if follower := *entry; entry != given {
			follower.Replaying = true
			sides = append(sides, follower.Write(r.lease.ID()))
		}
	}
	a := checkpoint.Audit{Action: checkpoint.AuditDiscarded, Position: event, Key: keys[0], Reason: reason}
	if err := r.note(ctx, a, sides...); err != nil {
		return err
	}
	for _, entry := range k.entries {
		entry.Replaying = true
	}
	k.queue = queue{key: keys[0], parked: true}
	r.parked.remove(given)
	return nil
}
