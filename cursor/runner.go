package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Runner executes a [Worker] step by step, on the goroutine of its caller. It is not safe for concurrent use.
//
// It needs no close: whoever makes the next runner of the same name fences this one.
type Runner struct {
	st     *store.Store
	worker Worker
	region store.Region
	lease  *checkpoint.Lease // nil for a volatile worker
	at     place
	// abandoned is the failure of a handler that ended its goroutine, and with it the step that should have told.
	abandoned error
}

// Outcome is what a step did. It is valid beside an error too.
type Outcome struct {
	Handled   int // events given to the handler
	Committed int // events whose reactions and checkpoint are committed
	// Action that the handler wants; Continue when there was nothing to handle.
	Action Action
	// CaughtUp says that there is nothing left up to the position that was asked for.
	CaughtUp bool
}

// NewRunner checks the worker and acquires its checkpoint, which fences the runner before. Errors: [*WorkerError], those
// of [checkpoint.Acquire], those of the store.
func NewRunner(ctx context.Context, st *store.Store, w Worker) (*Runner, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	r := &Runner{st: st, worker: w, region: w.narrowed()}
	if w.Volatile {
		start, err := startAt(ctx, st, w.Start)
		if err != nil {
			return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
		}
		r.at = start
		return r, nil
	}
	binding := checkpoint.Binding{Region: w.Region, Kinds: w.Kinds, Start: w.Start}
	lease, err := checkpoint.Acquire(ctx, st, checkpoint.ID(w.Name), binding)
	if err != nil {
		return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
	}
	r.lease, r.at = lease, placeOf(lease.Record())
	return r, nil
}

// Name of the worker.
func (r *Runner) Name() string { return r.worker.Name }

// Region that is read: the region of the worker, less the kinds it does not handle.
func (r *Runner) Region() store.Region { return r.region }

// Position up to which everything that matches is handled and committed.
func (r *Runner) Position() store.Position { return r.at.scanned }

// Delivered is the position of the last event that was handled and committed; where reading started, before the first.
func (r *Runner) Delivered() store.Position { return r.at.delivered }

// Epoch of the owner, 0 for a volatile worker.
func (r *Runner) Epoch() uint64 { return r.record().Epoch }

// Stored is the position in the checkpoint. It falls behind [Runner.Position] while nothing matches; see [Runner.Flush].
// It is 0 for a volatile worker.
func (r *Runner) Stored() store.Position { return r.record().Scanned }

func (r *Runner) record() checkpoint.Record {
	if r.lease == nil {
		return checkpoint.Record{}
	}
	return r.lease.Record()
}

// Step reads the next events up to position upTo (0, or more than the head: the head), at most BatchSize of them and at
// most limit if that is positive, has them handled, and commits their reactions and the checkpoint in one batch of the
// store. Only what exceeds the limits of such a batch takes several, split between events. Where there is nothing to
// read it returns at once.
//
// After an error the next Step begins behind the last committed event. The errors:
//   - [*HandlerError]: the handler failed, or the store refuses its reactions as invalid. The events before the one it
//     names are committed.
//   - [*CommitError]: the commit failed, and not because of the handler: a lost race, a full disk, a closed store, a
//     newer owner ([checkpoint.ErrFenced]). The events before the one it names are committed.
//   - the error of ctx, if that ended before or in the handler. Nothing is committed. A handler that was done
//     nevertheless, without an error, is committed; a commit is never cut short.
//   - an error of reading, which wraps that of the store.
func (r *Runner) Step(ctx context.Context, upTo store.Position, limit int) (Outcome, error) {
	if err := r.abandoned; err != nil {
		r.abandoned = nil
		return Outcome{}, err
	}
	if head := r.st.Head(); upTo == 0 || upTo > head {
		upTo = head
	}
	page, err := r.read(ctx, upTo, limit)
	if err != nil {
		return Outcome{}, err
	}
	if len(page.Events) == 0 {
		r.at = r.at.pass(nil, page.Scanned)
		return Outcome{CaughtUp: r.at.scanned >= upTo}, nil
	}
	out, err := r.process(ctx, page)
	out.CaughtUp = r.at.scanned >= upTo
	return out, err
}

func (r *Runner) read(ctx context.Context, upTo store.Position, limit int) (store.Page, error) {
	if err := ctx.Err(); err != nil {
		return store.Page{}, fmt.Errorf("cursor: worker %q: %w", r.worker.Name, err)
	}
	page, err := nextPage(ctx, r.st, r.region, r.at.scanned, upTo, r.worker.batchSize(limit))
	if err != nil {
		return store.Page{}, fmt.Errorf("cursor: worker %q: %w", r.worker.Name, err)
	}
	return page, nil
}

// process has the events of the page handled and commits those that were.
func (r *Runner) process(ctx context.Context, page store.Page) (Outcome, error) {
	out := Outcome{Handled: len(page.Events)}
	b := NewBatch(page.Events, r.witness())
	action, failed := r.handle(ctx, b)
	if failed != nil && ctx.Err() != nil {
		return out, fmt.Errorf("cursor: worker %q: %w", r.worker.Name, ctx.Err())
	}
	out.Action = action
	if action == StopWithRollback {
		return out, nil
	}
	good := len(page.Events)
	if failed != nil {
		good = failed.at
	}
	var err error
	if good > 0 {
		out.Committed, err = r.commit(ctx, b, page.Scanned, 0, good)
	}
	if err != nil {
		// A failure of the handler behind what could not be committed is not told: it will be met again.
		out.Action = Continue
		return out, err
	}
	if failed != nil {
		return out, failed.err
	}
	return out, nil
}

func (r *Runner) witness() Witness {
	if r.lease == nil {
		return Witness{}
	}
	return Witness{ID: r.lease.ID(), Epoch: r.Epoch()}
}

// commit writes Events[from:to] of b, with everything up to scanned if they are the last, and says how many of them are
// committed. What the store refuses because of its content is halved until the culprit is alone: batches that are too
// large get through in pieces, and events before the culprit too.
func (r *Runner) commit(ctx context.Context, b *Batch, scanned store.Position, from, to int) (int, error) {
	err := r.write(ctx, b, scanned, from, to)
	if err == nil {
		return to - from, nil
	}
	if to-from == 1 || !refused(err) {
		return 0, r.commitError(b, from, to, err)
	}
	middle := from + (to-from)/2
	done, err := r.commit(ctx, b, scanned, from, middle)
	if err != nil {
		return done, err
	}
	rest, err := r.commit(ctx, b, scanned, middle, to)
	return done + rest, err
}

// write is one commit: the reactions to Events[from:to] and the checkpoint behind them.
func (r *Runner) write(ctx context.Context, b *Batch, scanned store.Position, from, to int) error {
	if to < len(b.events) {
		scanned = b.events[to-1].Position
	}
	next := r.at.pass(b.events[from:to], scanned)
	batch := r.batch(b.proposals(from, to))
	var err error
	switch {
	case r.lease != nil:
		err = commitWith(ctx, r.st, r.lease, batch, next)
	case len(batch.Events) > 0:
		_, err = r.st.Commit(context.WithoutCancel(ctx), batch)
	}
	if err == nil {
		r.at = next
	}
	return err
}

// batch is lazy where only a checkpoint is at stake: a power cut then repeats some handling, never a reaction.
func (r *Runner) batch(events []store.Proposal) store.Batch {
	return store.Batch{Events: events, Lazy: len(events) == 0 && !r.worker.SyncCheckpoints}
}

// Flush writes the position to the checkpoint where it has moved past events that do not match: at a clean stop, and
// when the checkpoint has fallen far behind. It does nothing when there is nothing new. Once begun it is not cut short by
// ctx. If it is never called, or the process dies, the next runner only looks at those events again.
func (r *Runner) Flush(ctx context.Context) error {
	if r.lease == nil || placeOf(r.lease.Record()) == r.at {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cursor: worker %q: flush: %w", r.worker.Name, err)
	}
	if err := commitWith(ctx, r.st, r.lease, r.batch(nil), r.at); err != nil {
		return &CommitError{Worker: r.worker.Name, Err: err}
	}
	return nil
}
