package cursor

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Runner executes a [Worker]. It belongs to one goroutine; only [Task.Run] may be called on others.
//
//	Fill        the log  ->  window: queues of events, by key where there are lanes
//	Next        window   ->  Task
//	Task.Run    the handler, on any goroutine
//	Finish      Task     ->  what is handled waits for the commit; what failed waits for Again, Park or Skip
//	Commit      reactions + what is parked + checkpoint = one batch of the store
//
// [Runner.Step] is these five in a row, for a worker that handles one batch at a time.
//
// It needs no close: whoever makes the next runner of the same name fences this one.
type Runner struct {
	st     *store.Store
	worker Worker
	region store.Region
	lease  *checkpoint.Lease // nil for a volatile worker
	at     place             // read into the window up to here
	passed store.Position    // the last event that was committed as handled, or where the runner began
	window
	parked   parkedEvents
	finished []*Task // handled, not committed
	inFlight int     // tasks that are with a handler
	extra    extra   // rides the next commit
	turn     bool
	current  *Task // of Step, while its handler runs

	// After an end that nobody saw, events up to suspectTo are handled alone, at most suspect of them besides parked ones.
	suspect   int
	suspectTo store.Position
	trying    store.Position
	tries     uint32
	clean     bool // what the next commit says about the end
	gaps      gaps
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
// of [checkpoint.Acquire], those of the store, and that of Worker.ExternalPosition.
//
// If the runner before did not end in good order ([Runner.Close]), one of the events it had in hand may have killed the
// process. They are handled one by one then, each noted durably before. Each end of the process at the same event is an
// attempt: when Policy.Attempts are used up, the event fails with [ErrCrashLoop] instead of being handled. [Runner.ClearCrashGuard] is for who knows better.
func NewRunner(ctx context.Context, st *store.Store, w Worker) (*Runner, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	r := &Runner{st: st, worker: w, region: w.narrowed(), gaps: gaps{limit: w.Gaps}}
	if w.Volatile {
		start, err := startAt(ctx, st, w.Start)
		if err != nil {
			return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
		}
		r.at = start
		r.reset(start.scanned)
		return r, nil
	}
	lease, err := checkpoint.Acquire(ctx, st, checkpoint.ID(w.Name), w.binding())
	if err != nil {
		return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
	}
	r.lease = lease
	if lease.Unclean() {
		r.suspect, r.suspectTo = r.windowSize(), st.Head()
		r.trying, r.tries = lease.Record().Trying, lease.Record().Tries
	}
	if err := r.locate(ctx); err != nil {
		return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
	}
	if err := r.restore(ctx); err != nil {
		return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
	}
	return r, nil
}

// reset empties the window. Everything up to high counts as done.
func (r *Runner) reset(high store.Position) {
	r.window = window{frontier: frontier{high: high}, limit: r.limit}
	r.finished, r.extra = nil, extra{}
}

// restore begins where the checkpoint says: with what was delivered and is not done, and with what is parked.
func (r *Runner) restore(ctx context.Context) error {
	record := r.lease.Record()
	r.at, r.passed = placeOf(record), record.Scanned
	r.reset(record.Scanned)
	if err := r.loadParked(); err != nil {
		return err
	}
	for _, p := range record.Pending {
		e, err := r.st.GetAt(ctx, p)
		if err != nil {
			return fmt.Errorf("read what is not done: %w", err)
		}
		if !r.region.Matches(e) { // its kind is not handled any more
			continue
		}
		key := ""
		if r.laned() {
			if key, err = r.keyOf(&e); err != nil {
				return err
			}
		}
		r.frontier = r.read(p)
		r.push(key, e)
	}
	return nil
}

// ClearCrashGuard tells the runner that the end of the one before was seen, and that no event killed it.
func (r *Runner) ClearCrashGuard() { r.suspect, r.trying, r.tries = 0, 0, 0 }

// Limit bounds the first batch of each queue, those of parked events included: for who knows that a bigger one failed.
// Batches that succeed grow again.
func (r *Runner) Limit(n int) {
	r.limit = n
	for _, q := range r.queues {
		q.limit = n
	}
	for _, k := range r.parked.keys {
		k.queue.limit = n
	}
}

// Region that is read: the region of the worker, less the kinds it does not handle.
func (r *Runner) Region() store.Region { return r.region }

// Dirty reports whether there is something for [Runner.Commit] to write.
func (r *Runner) Dirty() bool { return len(r.finished) > 0 || !r.extra.empty() }

// TakeGaps gives the gaps observed since the last call, oldest first, and how many were dropped to make room since the
// runner was made.
func (r *Runner) TakeGaps() (taken []Gap, dropped uint64) { return r.gaps.take() }

func (r *Runner) record() checkpoint.Record {
	if r.lease == nil {
		return checkpoint.Record{}
	}
	return r.lease.Record()
}

// Step reads the next events up to position upTo (0, or more than the head: the head), at most BatchSize of them and at
// most limit if that is positive, has them handled, and commits their reactions and the checkpoint in one batch of the
// store. Only what exceeds the limits of such a batch takes several, split between events. Where there is nothing to
// read it returns at once. With lanes, a step handles the events of one key.
//
// After an error the next Step tries again what failed; a batch that failed without naming an event is tried in halves.
// The errors:
//   - [*HandlerError]: the handler failed, or the store refuses its reactions as invalid. The events before the one it
//     names are committed. [Runner.Park] and [Runner.Skip] set the event aside.
//   - [*CommitError]: the commit failed, and not because of the handler: a lost race, a full disk, a closed store, a
//     newer owner ([checkpoint.ErrFenced]). The events before the one it names are committed. Where it names none, what
//     was handled is not handled again: the next Step tries to write it.
//   - the error of ctx, if that ended before or in the handler. Nothing is committed. A handler that was done
//     nevertheless, without an error, is committed; a commit is never cut short.
//   - [*KeyError], [*ParkLimitError]: nothing can go on without order, or room to set events aside.
//   - an error of reading, which wraps that of the store.
func (r *Runner) Step(ctx context.Context, upTo store.Position, limit int) (Outcome, error) {
	if head := r.st.Head(); upTo == 0 || upTo > head {
		upTo = head
	}
	if t := r.current; t != nil { // the handler took its goroutine along
		r.current = nil
		return r.finishStep(ctx, t, upTo)
	}
	for _, q := range r.stuck() {
		r.release(q)
	}
	if len(r.finished) > 0 {
		if n, err := r.Commit(ctx); err != nil {
			return Outcome{Committed: n}, err
		}
	}
	if _, err := r.fill(ctx, upTo, limit); err != nil {
		return Outcome{}, err
	}
	t, err := r.Next(ctx, limit)
	if err != nil {
		return Outcome{}, err
	}
	if t == nil { // all that was read is held behind what is parked, or left out
		n, err := r.Commit(ctx)
		return Outcome{Committed: n, CaughtUp: r.caughtUp(upTo)}, err
	}
	r.current = t
	t.Run(ctx)
	r.current = nil
	return r.finishStep(ctx, t, upTo)
}

func (r *Runner) finishStep(ctx context.Context, t *Task, upTo store.Position) (Outcome, error) {
	out := Outcome{Handled: t.Size(), Action: t.action}
	r.Finish(t)
	if t.cancelled != nil || t.action == StopWithRollback {
		return out, t.cancelled
	}
	var err error
	if out.Committed, err = r.Commit(ctx); err != nil {
		// A failure of the handler behind what could not be committed is not told: it will be met again.
		out.Action = Continue
	} else {
		err = t.Err()
	}
	out.CaughtUp = r.caughtUp(upTo)
	return out, err
}

func (r *Runner) caughtUp(upTo store.Position) bool {
	return r.at.scanned >= upTo && len(r.undone) == 0 && !r.parked.draining()
}

// Idle reports whether nothing can be taken or committed: everything that was read is done or waits for a decision.
func (r *Runner) Idle() bool {
	return r.inFlight == 0 && !r.Dirty() && len(r.ready) == 0 && !r.parked.draining()
}

// Flush writes the position to the checkpoint where it has moved past events that do not match: when the checkpoint has
// fallen far behind. It does nothing when there is nothing new. Once begun it is not cut short by ctx. If it is never
// called, or the process dies, the next runner only looks at those events again.
func (r *Runner) Flush(ctx context.Context) error {
	if r.lease == nil {
		return nil
	}
	m := r.move(r.frontier)
	record := r.lease.Record()
	if m.Scanned == record.Scanned && m.Delivered == record.Delivered && m.Clean == record.Clean && !r.Dirty() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cursor: worker %q: flush: %w", r.worker.Name, err)
	}
	if r.Dirty() {
		_, err := r.Commit(ctx)
		return err
	}
	if err := r.write(ctx, nil, store.Batch{Lazy: r.lazy(store.Batch{})}, nil); err != nil {
		return &CommitError{Worker: r.worker.Name, Err: err}
	}
	return nil
}

// ErrInFlight is the error of a call that needs all tasks to be given back, and committed where they can be.
var ErrInFlight = errors.New("cursor: worker has events in hand")

// Close flushes and notes in the checkpoint that the runner ends in good order, with no event in the hands of a handler. One
// that has not passed yet what may have killed the process before leaves that to the next. The runner may go on being used;
// then the note is taken back by its next commit.
func (r *Runner) Close(ctx context.Context) error {
	if r.inFlight > 0 {
		return fmt.Errorf("cursor: worker %q: close: %w", r.worker.Name, ErrInFlight)
	}
	r.clean = !r.Guarded()
	defer func() { r.clean = false }()
	return r.Flush(ctx)
}
