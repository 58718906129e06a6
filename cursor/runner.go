package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Runner executes a [Worker]. It belongs to one goroutine; only [Task.Run] may be called on others.
//
//	Fill        the log  ->  queues of events, by key where there are lanes
//	Next        queues   ->  Task
//	Task.Run    the handler, on any goroutine
//	Finish      Task     ->  what is handled waits for the commit; what failed for a decision
//	Commit      reactions + what is parked + checkpoint = one batch of the store
//
// [Runner.Step] is these five in a row, for a worker that handles one batch at a time.
//
// It needs no close: the next runner of the same name fences this one.
type Runner struct {
	own    owner
	win    window
	list   parkedList
	guard  crashGuard
	out    outbox
	park   parking
	feed   feed
	replay replays
	next   schedule

	inFlight int     // tasks that are with a handler
	finished []*Task // handled, not committed
	current  *Task   // of Step, while its handler runs
}

// NewRunner checks the worker and acquires its checkpoint, which fences the runner before. Errors:
// [*WorkerError], those of [checkpoint.Acquire], those of the store, and that of
// Worker.ExternalPosition.
//
// If the runner before did not end in good order ([Runner.Close]), one of the events it had in
// flight may have killed the process. They are handled one by one then, each marked durably before.
// Each end of the process at the same event is an attempt: when Policy.Attempts are used up, the
// event fails with [ErrCrashLoop] instead of being handled. [Runner.ClearCrashGuard] is for callers
// that know better.
func NewRunner(ctx context.Context, st *store.Store, w Worker) (*Runner, error) {
	return RestartRunner(ctx, st, &w, new(uint64))
}

// RestartRunner is NewRunner for a supervisor that starts a worker again and again. Where epoch is
// that of the runner before, it acquires the checkpoint only as that one left it, so that it never
// fences a newer owner: see [checkpoint.Binding]. Where it is 0 it takes over from whichever
// owner there is. Once the checkpoint is acquired epoch is that of the new owner, also where it
// cannot be run after all.
//
// The runner keeps w, as all those before it may, since a system may have very many. It must not be
// changed while it is used.
func RestartRunner(ctx context.Context, st *store.Store, w *Worker, epoch *uint64) (*Runner, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	if w.emission == nil {
		built := w.WithBuild("")
		w = &built
	}
	r := newRunner(owner{st: st, worker: w, region: w.narrowed()})
	var err error
	if w.Volatile {
		err = r.start(ctx)
	} else {
		err = r.acquire(ctx, epoch)
	}
	if err != nil {
		return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
	}
	return r, nil
}

// newRunner connects the parts. Each knows only those that it is given here.
func newRunner(own owner) *Runner {
	r := &Runner{own: own}
	r.win.laned = r.own.laned()
	r.guard = crashGuard{win: &r.win, list: &r.list}
	r.out = outbox{own: &r.own, win: &r.win, list: &r.list, guard: &r.guard}
	r.park = parking{own: &r.own, win: &r.win, list: &r.list, out: &r.out}
	r.feed = feed{own: &r.own, win: &r.win, parking: &r.park}
	if n := r.own.worker.Gaps; n > 0 {
		r.feed.gaps = &gaps{limit: n}
	}
	r.replay = replays{own: &r.own, list: &r.list}
	r.next = schedule{win: &r.win, list: &r.list, replays: &r.replay, guard: &r.guard}
	return r
}

// start is acquire for a volatile worker.
func (r *Runner) start(ctx context.Context) error {
	if err := checkpoint.CheckName(r.own.st, checkpoint.ID(r.own.worker.Name)); err != nil {
		return err
	}
	at, err := startAt(ctx, r.own.st, r.own.worker.Start)
	if err == nil {
		r.own.hold(nil)
		r.win.reset(at)
	}
	return err
}

func (r *Runner) acquire(ctx context.Context, epoch *uint64) error {
	w := r.own.worker
	binding := w.binding()
	binding.Epoch = *epoch
	lease, err := checkpoint.Acquire(ctx, r.own.st, checkpoint.ID(w.Name), binding)
	if err != nil {
		return err
	}
	r.own.hold(lease)
	*epoch = lease.Record().Epoch
	if lease.Unclean() {
		r.guard.arm(r.own.windowSize(), r.own.st.Head(), lease.Record())
	}
	if err := r.park.resume(ctx); err != nil {
		return err
	}
	return r.restore(ctx)
}

// restore begins where the checkpoint says: with what was delivered and is not done, and with what
// is parked.
func (r *Runner) restore(ctx context.Context) error {
	record := r.own.lease.Record()
	r.feed.ahead.drop()
	r.win.reset(placeOf(record))
	r.win.lastHandled = record.Scanned
	r.finished = nil
	r.out.discard()
	if err := r.park.load(); err != nil {
		return err
	}
	return r.feed.restore(ctx, record.Pending)
}

// ClearCrashGuard says that the end of the runner before was seen, and that no event killed it.
func (r *Runner) ClearCrashGuard() { r.guard.disarm() }

// Guarded reports whether the next event may be the one that killed the process before: then it is
// handled alone. That ends once everything is passed that may have been in flight then.
func (r *Runner) Guarded() bool { return r.guard.on() }

// Limit bounds the first batch of each queue, those of parked events included: for callers that
// know that a bigger one failed. Batches that succeed grow again.
func (r *Runner) Limit(n int) { r.next.limitTo(n) }

// Region that is read: the region of the worker, less the kinds it does not handle.
func (r *Runner) Region() store.Region { return *r.own.region }

// Dirty reports whether there is something for [Runner.Commit] to write.
func (r *Runner) Dirty() bool { return len(r.finished) > 0 || !r.out.empty() }

// Idle reports whether nothing can be taken or committed: everything that was read is done or waits
// for a decision.
func (r *Runner) Idle() bool { return r.inFlight == 0 && !r.Dirty() && r.next.idle() }

// IsDone reports whether an event that was read is done, or parked.
func (r *Runner) IsDone(p store.Position) bool {
	entry := r.list.at[p]
	return p <= r.win.at.scanned && !r.win.done.has(p) && (entry == nil || !entry.Replaying)
}

// TakeGaps returns the gaps observed since the last call, oldest first, and how many were dropped
// to make room since the runner was made.
func (r *Runner) TakeGaps() (taken []Gap, dropped uint64) {
	if r.feed.gaps == nil {
		return nil, 0
	}
	return r.feed.gaps.take()
}

// Flush writes the position to the checkpoint where it has moved past events that do not match:
// when the checkpoint has fallen far behind. It does nothing when there is nothing new. Once begun
// it is not cut short by ctx. If it is never called, or the process dies, the next runner only
// looks at those events again.
func (r *Runner) Flush(ctx context.Context) error {
	if r.own.lease == nil {
		return nil
	}
	m, record := r.out.present(), r.own.lease.Record()
	if m.Scanned == record.Scanned && m.Delivered == record.Delivered && m.Clean == record.Clean && !r.Dirty() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return r.own.wrap("flush", err)
	}
	if r.Dirty() {
		_, err := r.Commit(ctx)
		return err
	}
	if err := r.out.write(ctx, store.Batch{Lazy: r.own.lazy(store.Batch{})}, nil); err != nil {
		return &CommitError{Worker: r.own.worker.Name, Err: err}
	}
	return nil
}

// Close flushes and notes in the checkpoint that the runner ends in good order, with no event in
// flight. One that has not passed yet what may have killed the process before leaves that to the
// next. The runner may be used on; then the note is taken back by its next commit.
func (r *Runner) Close(ctx context.Context) error {
	if r.inFlight > 0 {
		return r.own.wrap("close", ErrInFlight)
	}
	r.out.clean = !r.Guarded()
	defer func() { r.out.clean = false }()
	return r.Flush(ctx)
}
