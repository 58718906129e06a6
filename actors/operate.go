package actors

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// The calls in this file change what a worker does, between two batches: with lanes, when all have given back what they
// have in hand. Each is one commit with an audit event in the reserved scope, so it survives a restart, and a crash leaves
// it whole or not at all. ctx bounds the wait for the worker: a change that has not begun when it ends never comes; if one
// has, the error wraps store.ErrOutcomeUnknown, too.
//
// They return [ErrUnknownWorker], [ErrStopped], a [HaltedError], [ErrEnded], [ErrInsideHandler] when called from a
// handler of the same worker, cursor.ErrNoCheckpoint for a volatile worker, and what each of them says.

// Pause lets a worker finish the batch in hand and then rest until a time, or with the zero time until [System.Resume].
// Nothing is lost: its events wait. The reason, at most checkpoint.MaxReasonBytes, is shown in its status.
func (s *System) Pause(ctx context.Context, name string, until time.Time, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		if err := w.runner.Pause(ctx, until, reason); err != nil {
			return err
		}
		return w.loadPause()
	})
}

// Resume ends the pause of a worker. One that is halted is started again, with a fresh count of attempts and restarts.
func (s *System) Resume(ctx context.Context, name string, reason string) error {
	if p := s.byName[name]; p != nil && p.cell.view().state == Halted {
		return s.enable(ctx, p)
	}
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		if err := w.runner.Resume(ctx, reason); err != nil {
			return err
		}
		return w.loadPause()
	})
}

// Rewind goes back to where to says: everything that matches after it is handled again. Handlers see that an event was
// handled before; the reactions to it are dropped, unless emit is set. What was parked behind it comes in its place in the
// log, for the first time. Errors: checkpoint.RewindError for what lies ahead of the worker, cursor.ErrExternalPosition.
func (s *System) Rewind(ctx context.Context, name string, to store.From, emit bool, reason string) error {
	return s.move(ctx, name, to, func(ctx context.Context, w *worker, p store.Position) error {
		return w.sentBack(w.runner.Rewind(ctx, p, emit, reason))
	})
}

// SkipTo goes forward: what lies before and was not handled yet never is. Errors: checkpoint.SkipError for what lies
// behind the worker, cursor.ErrExternalPosition.
func (s *System) SkipTo(ctx context.Context, name string, to store.From, reason string) error {
	return s.move(ctx, name, to, func(ctx context.Context, w *worker, p store.Position) error {
		return w.runner.SkipTo(ctx, p, reason)
	})
}

func (s *System) move(
	ctx context.Context, name string, to store.From, do func(context.Context, *worker, store.Position) error,
) error {
	position, err := s.store.Resolve(ctx, to)
	if err != nil {
		return fmt.Errorf("actors: worker %q: find the position: %w", name, err)
	}
	return s.control(ctx, name, func(ctx context.Context, w *worker) error { return do(ctx, w, position) })
}

// Reset begins anew at the beginning of the log as if the worker had never run: everything is handled, and emitted, again.
func (s *System) Reset(ctx context.Context, name, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		return w.sentBack(w.runner.Reset(ctx, reason))
	})
}

// sentBack notes that the worker begins anew somewhere, unless that failed.
func (w *worker) sentBack(err error) error {
	if err == nil {
		w.anew, w.trouble = true, nil
	}
	return err
}

// Widen makes the worker read a region that contains the present one: more kinds, a wider scope, a shorter entity prefix.
// What matches only now is handled first, from the beginning of the log, in order, each event once. It outlasts this system:
// the program must declare the wider region when it starts the worker again. What does not contain the present region is a
// checkpoint.RebuildError.
func (s *System) Widen(ctx context.Context, name string, region store.Region, kinds []string, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		if err := w.sentBack(w.runner.Widen(ctx, region, kinds, reason)); err != nil {
			return err
		}
		w.plan.worker.Region, w.plan.worker.Kinds = region, kinds
		w.publish() // first: what is new is not done, and then it belongs to the worker
		w.plan.cell.acquired(w.runner.Progress().Position, w.runner.Region())
		return nil
	})
}

// Replay lets parked events be handled again: the parked event of each key that is selected, then what is held behind it. It
// gives what it concerns, by position, and returns when that is durably marked, before it is handled; a crash in between
// does not stop it. A dry run changes nothing. Errors: cursor.ErrNotParked.
func (s *System) Replay(
	ctx context.Context, name string, which cursor.ParkedFilter, dryRun bool, reason string,
) (chosen []checkpoint.Parked, err error) {
	err = s.control(ctx, name, func(ctx context.Context, w *worker) (err error) {
		chosen, err = w.runner.Replay(ctx, which, dryRun, reason)
		return err
	})
	if err != nil {
		return nil, err
	}
	return chosen, nil
}

// Discard gives up a parked event for good; what is held behind it is handled. Errors: cursor.ErrNotParked.
func (s *System) Discard(ctx context.Context, name string, event store.Position, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error { return w.runner.Discard(ctx, event, reason) })
}

// Parked iterates over the events that a worker has set aside, by position, with those held behind them.
func (s *System) Parked(name string) iter.Seq2[checkpoint.Parked, error] {
	return func(yield func(checkpoint.Parked, error) bool) {
		p := s.byName[name]
		if p == nil {
			yield(checkpoint.Parked{}, fmt.Errorf("%w: %q", ErrUnknownWorker, name))
			return
		}
		if p.worker.Volatile {
			return
		}
		for parked, err := range checkpoint.ParkedEvents(s.store, checkpoint.ID(name)) {
			if !yield(parked, err) {
				return
			}
		}
	}
}

// TakeGaps gives the gaps that a worker with cursor.Worker.Gaps observed since the last call, oldest first, and how many
// were dropped since it was started to make room.
func (s *System) TakeGaps(ctx context.Context, name string) (gaps []cursor.Gap, dropped uint64, err error) {
	err = s.control(ctx, name, func(_ context.Context, w *worker) error {
		gaps, dropped = w.runner.TakeGaps()
		return nil
	})
	return gaps, dropped, err
}
