package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Runner executes a [Worker]. It belongs to one goroutine; only [Task.Run] may be called on others.
//
// It is machinery for packages that run workers, as package actors and package reactortest do by
// means of package drive, and for tests of a single worker. Its methods and those of [Task] follow
// the needs of these, and promise no compatibility.
//
//	Fill        the log  ->  queues of events, by key where there are lanes
//	Next        queues   ->  Task
//	Task.Run    the handler, on any goroutine
//	Finish      Task     ->  what is handled waits for the commit; what failed for a verdict
//	Commit      reactions + what is parked + checkpoint = one batch of the store
//
// [Runner.Step] is these five in a row, for a worker that handles one batch at a time.
//
// It needs no close: the next runner of the same name fences this one.
//
// After an error of a commit it may be used on: what was handled waits in it to be written.
type Runner struct {
	// What the parts share, and the parts, each with pointers to those before it that it uses. So a
	// runner is never copied.
	shared
	guard  crashGuard
	out    outbox
	park   parking
	feed   feed
	waits  suspension
	replay replays
	next   schedule
	alarm  alarm

	inFlight int32   // tasks that are with a handler
	stale    bool    // the checkpoint was changed, and the parts are not what it says
	finished []*Task // handled, not committed
	current  *Task   // of Step, while its handler runs
	oldest   *keyed  // of which OldestKey was asked last; nil where it never was, as in most workers
}

// shared is what the parts of a runner have in common. Each has one pointer to it, and not one to
// each of the three, as a system may have very many runners.
type shared struct {
	own  owner
	win  window
	list parkedList
}

// NewRunner checks the worker and acquires its checkpoint, which fences the runner before. Errors:
// [ErrWorker], those of [checkpoint.Acquire], those of the store, and a [*RunnerError] for a
// function of the worker that failed.
//
// If the runner before did not end in good order ([Runner.Close]), one of the events it had in
// flight may have killed the process. They are handled one by one then, each marked durably before.
// Each end of the process at the same event is an attempt: when Policy.Attempts are used up, the
// event fails with [ErrCrashLoop] instead of being handled. [RestartRunner] is for callers that
// know better.
func NewRunner(ctx context.Context, st *store.Store, w Worker) (*Runner, error) {
	return RestartRunner(ctx, st, &w, Former{})
}

// Former is what a supervisor knows of the runner before the one that it starts. The zero value is
// for one of which nothing is known.
type Former struct {
	// Epoch of its checkpoint, which is acquired only as it left it then, so that a restart never
	// fences a newer owner: see [checkpoint.Binding]. Where it is 0, the new runner takes over from
	// whichever owner there is. It becomes the epoch of the new owner once the checkpoint is
	// acquired, also where that cannot be run after all. nil stands for 0.
	Epoch *uint64
	// Limit bounds the first batch of each queue, those of parked events included: a bigger one
	// failed. Batches that succeed grow again. 0 means the size that the worker has.
	Limit int
	// Seen says that its end was seen in this process, and that no event killed it.
	Seen bool
}

// RestartRunner is [NewRunner] for a supervisor that starts a worker again and again.
//
// The runner keeps w, as all those before it may, since a system may have very many. It must not be
// changed while it is used.
func RestartRunner(ctx context.Context, st *store.Store, w *Worker, former Former) (*Runner, error) {
	if err := w.validate(); err != nil {
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
		err = r.acquire(ctx, former)
	}
	if err == nil {
		if former.Limit > 0 {
			r.next.limitTo(former.Limit)
		}
		return r, nil
	}
	//nolint:errorlint // one that is wrapped is what a function of the user said
	if _, named := err.(*RunnerError); named {
		return nil, err
	}
	return nil, fmt.Errorf("cursor: worker %q: %w", w.Name, err)
}

// newRunner connects the parts. Each knows only what is shared, and those that it is given here.
func newRunner(own owner) *Runner {
	r := &Runner{shared: shared{own: own}}
	r.win.laned = r.own.laned()
	all := &r.shared
	r.guard = crashGuard{shared: all}
	r.out = outbox{shared: all, guard: &r.guard}
	r.park = parking{shared: all, out: &r.out}
	r.out.takeIn = func(ctx context.Context) { takeInErasures(ctx, r) }
	r.feed = feed{shared: all, parking: &r.park}
	if n := r.own.worker.Gaps; n > 0 {
		r.feed.gaps = &gaps{limit: n}
	}
	if r.own.worker.Resolve != nil {
		r.feed.barrier = new(barrier)
	}
	r.waits = suspension{own: &r.own}
	r.replay = replays{shared: all, parking: &r.park, waits: &r.waits}
	r.alarm = alarm{shared: all}
	r.next = schedule{shared: all, replays: &r.replay, guard: &r.guard}
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

func (r *Runner) acquire(ctx context.Context, former Former) error {
	w, epoch := r.own.worker, former.Epoch
	if epoch == nil {
		epoch = new(uint64)
	}
	if *epoch == 0 { // nothing that was said before counts any more
		w.emission.given = nil
	}
	binding := w.binding()
	binding.Epoch = *epoch
	lease, err := checkpoint.Acquire(ctx, r.own.st, checkpoint.ID(w.Name), binding)
	if err != nil {
		return err
	}
	r.own.hold(lease)
	*epoch = lease.Record().Epoch
	if lease.Unclean() && !former.Seen {
		r.guard.arm(r.own.mostInFlight(), r.own.st.Head(), lease.Record())
	}
	if err := r.park.resume(ctx); err != nil {
		return err
	}
	if err := r.restore(ctx); err != nil {
		return err
	}
	if err := r.alarm.load(); err != nil {
		return err
	}
	return r.out.flush(ctx) // what is handled again is not shown as parked any more
}

// restore begins where the checkpoint says: with what was delivered and is not done, and with what
// is parked. Nothing may be in flight: tasks point into the queues, which are replaced.
func (r *Runner) restore(ctx context.Context) error {
	record := r.own.lease.Record()
	r.feed.ahead.drop()
	r.win.reset(placeOf(record))
	r.finished, r.oldest = nil, nil
	r.out.discard()
	if err := r.out.open(ctx); err != nil {
		return err
	}
	if err := r.park.load(); err != nil {
		return err
	}
	return r.feed.restore(ctx, record.Pending)
}

// refresh restores what a change of the checkpoint has left stale. Nothing is read, handled or
// written before that: it would be at a wrong place, or pass what is parked or pending.
func refresh(ctx context.Context, r *Runner) error {
	takeInErasures(ctx, r)
	if !r.stale {
		return nil
	}
	err := r.restore(ctx)
	r.stale = err != nil
	return err
}

// takeInErasures lets nothing that was erased meanwhile be handed out, or written again.
func takeInErasures(ctx context.Context, r *Runner) {
	if store.Erasures(r.own.st) != r.park.erasures {
		r.feed.ahead.drop()
		r.park.takeIn(ctx)
		r.alarm.look()
	}
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
	if err := refresh(ctx, r); err != nil {
		return err
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
		return r.own.failed(ErrCommit, err)
	}
	return nil
}

// Close flushes and notes in the checkpoint that the runner ends in good order, with no event in
// flight. One that has not passed yet what may have killed the process before leaves that to the
// next. The runner may be used on; then the note is taken back by its next commit.
func (r *Runner) Close(ctx context.Context) error {
	if r.inFlight > 0 || r.win.sent > 0 {
		return r.own.wrap("close", ErrInFlight)
	}
	r.out.clean = !r.guard.on()
	defer func() { r.out.clean = false }()
	return r.Flush(ctx)
}
