package actors

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
)

// The calls in this file change what a worker does, between two batches: with lanes, when none has
// anything in flight. Each is one commit with an audit event in the reserved scope that names the
// reason and who decided, so it survives a restart, and a crash leaves it whole or not at all. ctx
// bounds the wait for the worker: a change that has not begun when it ends never comes; if one has,
// the error wraps store.ErrOutcomeUnknown, too.
//
// With checkpoint.Request.DryRun nothing is changed, but the same errors are returned.
//
// They return [ErrUnknownWorker], [ErrStopped], a [HaltedError], [ErrEnded], [ErrRemoved],
// [ErrInsideHandler] when called from a handler of the same worker, cursor.ErrNoCheckpoint for a
// volatile worker, and what each of them says.

// Pause lets a worker finish its batch and then handle no more until a time, or with the zero time
// until [System.Resume]. Nothing is lost: its events wait. The reason is shown in its status. A
// time that is not after [store.Store.Now] when the worker begins with the call, or is after the
// year 9999, is a [store.InvalidError].
func (s *System) Pause(ctx context.Context, name string, until time.Time, q checkpoint.Request) error {
	return order(ctx, s, name, func(ctx context.Context, b *drive.Baton) error { return b.Pause(ctx, until, q) })
}

// Resume ends the pause of a worker. One that is halted is started again, with a fresh count of
// attempts and restarts; the audit event of that follows its start, since a halt is nothing that
// the log keeps. A worker that is neither stays as it is, and nothing is written.
func (s *System) Resume(ctx context.Context, name string, q checkpoint.Request) error {
	if p := s.workers.find(name); p != nil {
		if v := p.published.view(); v.state == Halted {
			if err := q.Validate(); err != nil || q.DryRun {
				return err
			}
			return resumeHalted(ctx, s, p, q)
		}
	}
	return order(ctx, s, name, func(ctx context.Context, b *drive.Baton) error { return b.Resume(ctx, q) })
}

// Apply changes the checkpoint of a worker: checkpoint.Rewind, SkipTo, Reset, Widen and Rebind,
// whose docs say what they do. The worker continues where that leads, and what failed before a
// Rewind, Reset or Widen counts no more. A position comes from a receipt, an event, or
// [store.Store.Resolve].
//
// A Widen or Rebind outlasts this system: the program must declare the new region when it starts
// the worker again.
//
// Errors: those of the change; checkpoint.ErrRunning for the others, which need the worker to be
// stopped and checkpoint.Apply; cursor.ErrExternalPosition for a worker that keeps its position
// elsewhere.
func (s *System) Apply(
	ctx context.Context, name string, c checkpoint.Change, q checkpoint.Request,
) (checkpoint.Outcome, error) {
	c = owned(c)
	return query(ctx, s, name, func(ctx context.Context, b *drive.Baton) (checkpoint.Outcome, error) { return b.Apply(ctx, c, q) })
}

// owned is a change that shares nothing with the caller, which may leave while the worker makes it.
func owned(c checkpoint.Change) checkpoint.Change {
	switch c := c.(type) {
	case checkpoint.Widen:
		c.Region.Kinds, c.Kinds = slices.Clone(c.Region.Kinds), slices.Clone(c.Kinds)
		return c
	case checkpoint.Rebind:
		c.Region.Kinds, c.Kinds = slices.Clone(c.Region.Kinds), slices.Clone(c.Kinds)
		return c
	}
	return c
}

// Replay marks parked events to be handled again: each key of which one is selected, with what is
// held. It returns them by position when that is durably marked, before they are handled; a crash
// in between does not stop it. Errors: cursor.ErrNotParked, and a [store.InvalidError] for a filter
// that breaks a rule, as one that selects more than 1,000 events without a Max.
func (s *System) Replay(
	ctx context.Context, name string, which cursor.ParkedFilter, q checkpoint.Request,
) ([]checkpoint.Parked, error) {
	return query(ctx, s, name, func(ctx context.Context, b *drive.Baton) ([]checkpoint.Parked, error) {
		return b.Replay(ctx, which, q)
	})
}

// Discard drops parked events that failed, for good; what is held for these alone is handled. It
// returns both by position: what is Held is handled. Errors: as those of Replay.
func (s *System) Discard(
	ctx context.Context, name string, which cursor.ParkedFilter, q checkpoint.Request,
) ([]checkpoint.Parked, error) {
	return query(ctx, s, name, func(ctx context.Context, b *drive.Baton) ([]checkpoint.Parked, error) {
		return b.Discard(ctx, which, q)
	})
}

// Parked iterates over the parked events of a worker, by position: those that failed, and those
// held for them.
func (s *System) Parked(name string) iter.Seq2[checkpoint.Parked, error] {
	return func(yield func(checkpoint.Parked, error) bool) {
		p := s.workers.find(name)
		if p == nil {
			yield(checkpoint.Parked{}, fmt.Errorf("%w: %q", ErrUnknownWorker, name))
			return
		}
		if p.baton.Worker.Volatile {
			return
		}
		for parked, err := range checkpoint.ParkedEvents(s.store, checkpoint.ID(name)) {
			if !yield(parked, err) {
				return
			}
		}
	}
}

// Nudge has a worker try again now what of a key waits in a backoff, and does not wait for that:
// because what failed was mended, or because nothing needs the outcome any more and the handler
// will find out. A try that fails before its delay is over is no attempt, and the rest of the delay
// follows; but what its handler says by a directive is obeyed, and a panic counts. Nothing changes
// where nothing of the key waits, and nothing is written. It may be called in any handler.
func Nudge(s *System, name, key string) error {
	p := s.workers.find(name)
	if p == nil {
		return fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	}
	if reason := never(s, p.published.view(), name); reason != nil {
		return reason
	}
	if pid, gen := p.calls.present(); pid != nil {
		s.actors.Root.Send(pid, &nudge{incarnation: incarnation{leaf: p.Leaf, gen: gen}, key: key})
	}
	return nil
}

// TakeGaps returns the gaps that a worker with cursor.Worker.Gaps observed since the last call,
// oldest first, and how many were dropped since it was started to make room.
//
// Where ctx ends once the worker has begun, the gaps that the call would have returned are lost: as
// its error says, the outcome is unknown.
func (s *System) TakeGaps(ctx context.Context, name string) (gaps []cursor.Gap, dropped uint64, err error) {
	type taken struct {
		gaps    []cursor.Gap
		dropped uint64
	}
	all, err := query(ctx, s, name, func(_ context.Context, b *drive.Baton) (all taken, err error) {
		all.gaps, all.dropped = b.TakeGaps()
		return all, nil
	})
	return all.gaps, all.dropped, err
}
