package actors

import (
	"context"
	"errors"
	"runtime/pprof"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// worker is the actor of one incarnation of a worker. Without lanes its handler runs inside Receive, on the actor's
// goroutine; with lanes each runs inside the Receive of a child.
type worker struct {
	sys    *System
	plan   *node
	child  int // its place in the group
	gen    uint64
	parent *actor.PID
	limit  int  // of the first batch; 0: the worker's own
	later  bool // another incarnation was before it in this system

	ctx    context.Context //nolint:containedctx // of the handlers: ends when Stop gives up draining, or with the actor
	cancel context.CancelFunc
	labels context.Context //nolint:containedctx // of the goroutines of the handlers, in profiles
	runner *cursor.Runner

	upTo     store.Position // there may be something up to here
	lanes    []*actor.PID   // that have nothing to do
	pulling  bool           // the store actor has a pull, and answers when there is news
	writing  bool           // a message to commit is under way
	resting  bool           // it waits for room on the disk, or for a verdict on a failure without an event
	begun    bool           // it may handle events
	ending   bool           // its handler wants it to end
	draining bool           // the system wants it to end
	crashed  *cursor.HandlerError
	failures []*cursor.HandlerError // of tasks that wait for their commit
	trouble  map[store.Position]int // events that failed and are not done, with their lost races
	waits    map[store.Position]waiting
	controls []*control
	pause    *checkpoint.Pause
	wake     *time.Timer // ends the pause
	anew     bool        // it was sent back, and what it failed at before does not count
	gone     bool        // its actor is being stopped
}

// insideKey marks the context of a handler with its worker.
type insideKey struct{}

// profileLabel is the name under which goroutines of handlers have the name of their worker in profiles.
const profileLabel = "penstock.worker"

// newWorker makes an incarnation.
func newWorker(sys *System, p *node, child int, gen uint64, parent *actor.PID, limit int, later bool) *worker {
	w := &worker{
		sys: sys, plan: p, child: child, gen: gen, parent: parent, limit: limit, later: later,
	}
	w.ctx, w.cancel = context.WithCancel(context.WithValue(sys.handlers, insideKey{}, w))
	p.cell.arm(gen, w.cancel)
	return w
}

// Receive implements actor.Actor.
func (w *worker) Receive(c actor.Context) {
	defer w.sys.recoverPanic(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		w.plan.seat.take(c.Self(), w.gen)
		w.acquire(c)
	case *actor.Stopping:
		w.stop()
	case *begin:
		if !w.begun {
			w.begin(c)
		}
	case *bounds:
		if m.gen == w.gen {
			w.upTo, w.pulling = m.upTo, false
			w.step(c)
		}
	case *step:
		if m.gen == w.gen {
			w.step(c)
		}
	case *handled:
		w.lanes = append(w.lanes, m.lane)
		w.finish(c, m.task)
	case *write:
		if m.gen == w.gen {
			w.writing = false
			w.commit(c)
			w.step(c)
		}
	case *verdict:
		if m.gen == w.gen {
			w.obey(c, m)
		}
	case *retry:
		if m.gen == w.gen {
			w.retry(c, m.first)
		}
	case *control:
		w.controls = append(w.controls, m)
		w.step(c)
	case *unpause:
		if m.gen == w.gen {
			w.unpause(c)
		}
	case *persist:
		w.persist(c)
	case *drain:
		w.draining = true
		w.step(c)
	}
}

// acquire takes over the checkpoint, and so fences whoever had it.
func (w *worker) acquire(c actor.Context) {
	runner, err := cursor.NewRunner(w.sys.acquisition(), w.sys.store, w.resumed())
	if err == nil {
		w.runner = runner
		if w.later && !w.plan.suspicious.Load() {
			runner.ClearCrashGuard()
		}
		runner.Limit(w.limit)
		w.plan.cell.acquired(runner.Progress().Position, runner.Region())
		w.publish()
		err = w.loadPause()
	}
	c.Send(w.parent, &ready{child: w.child, gen: w.gen, err: err})
}

// resumed is the worker to run. One without a checkpoint goes on where the incarnation before it came to: at its start events
// would be skipped, or come again and again, with their reactions. One that was widened while it ran stays so.
func (w *worker) resumed() cursor.Worker {
	again := w.plan.worker
	again.Policy = w.plan.Spec.Policy // with what it inherits
	if v := w.plan.cell.view(); again.Volatile && v.acquired {
		again.Start = store.After(v.position)
	}
	return again
}

// begin makes the lanes and goes to work.
func (w *worker) begin(c actor.Context) {
	w.begun = true
	if n := w.plan.worker.Lanes; n > 1 {
		for range n {
			props := w.sys.props(func() actor.Actor { return &lane{w: w} })
			w.lanes = append(w.lanes, c.Spawn(props))
		}
	}
	w.rest(c)
	w.step(c)
}

// step is the one place that decides what comes next. It returns soon: without lanes after one batch, so that the mailbox
// is served between two.
func (w *worker) step(c actor.Context) {
	if w.runner == nil {
		if w.draining {
			w.drained(c)
		}
		return
	}
	if w.quiet(c) {
		return
	}
	caughtUp, err := w.runner.Fill(w.ctx, w.upTo)
	if err != nil {
		w.fail(c, err)
		return
	}
	for w.free() {
		t, err := w.runner.Next(w.ctx, 0)
		if err != nil {
			w.fail(c, err)
			return
		}
		if t == nil {
			break
		}
		w.plan.cell.moved(Running, w.runner.Progress().Position, 0)
		w.label()
		if !w.laned() {
			w.runStep(c, t)
			return
		}
		c.Send(w.lane(), &handle{task: t})
	}
	switch {
	case w.runner.Dirty(): // also while lanes are at work: what is held fills the window until it is written
		w.write(c)
	case caughtUp && (w.laned() || w.runner.Idle()):
		w.pull(c)
	default:
		w.showWait()
	}
}

// label makes the labels of the handlers. A worker that never handles anything needs none.
func (w *worker) label() {
	if w.labels == nil {
		w.labels = pprof.WithLabels(context.Background(), pprof.Labels(profileLabel, w.plan.worker.Name))
	}
}

// quiet reports whether no new batch may begin. What was waiting for that is done when nothing is in hand any more.
func (w *worker) quiet(c actor.Context) bool {
	stopping := w.sys.isStopping()
	if w.begun && !stopping && !w.draining && !w.ending && w.crashed == nil && !w.resting && w.pause == nil && len(w.controls) == 0 {
		return false
	}
	if w.runner.Progress().InFlight > 0 || w.writing {
		return true
	}
	switch {
	case w.draining:
		w.drain(c)
	case stopping:
		w.plan.cell.set(Stopped, nil) // whatever it waits for: no new batch; drain is on its way
	case len(w.controls) > 0: // before it is started afresh: who pauses one that panics all the time must not be too late
		w.control(c)
	case w.crashed != nil:
		w.reportCrash(c)
	case w.ending:
		w.end(c)
	case w.pause != nil && w.plan.cell.view().state != Paused:
		w.showPause()
	}
	return true
}

// pull asks the store actor for news. Until the answer comes the worker handles nothing but what its lanes have in hand, and
// what is to be handled again. While something waits for a verdict it does not look idle.
func (w *worker) pull(c actor.Context) {
	switch {
	case len(w.waits) > 0:
		w.showWait()
	case w.runner.Progress().Queued == 0 && w.runner.Idle(): // parked events may be in hand
		w.plan.cell.moved(Idle, w.runner.Progress().Position, 0)
	}
	w.publish()
	if w.pulling {
		return
	}
	w.pulling = true
	c.Send(w.sys.storeActor, &pull{worker: c.Self(), gen: w.gen, after: w.runner.Progress().Read, region: w.runner.Region()})
}

// runStep is the frame by which Stop recognises that it is called from inside a handler. A handler that ends its
// goroutine takes this call along: the dispatcher gives the actor a new one, which finds the task given back.
func (w *worker) runStep(c actor.Context, t *cursor.Task) {
	returned := false
	defer func() {
		if !returned {
			w.finish(c, t)
		}
	}()
	w.handle(t)
	returned = true
	w.finish(c, t)
}

// finish takes a task back and sees to its commit. With lanes, one commit takes all that is handled by then.
func (w *worker) finish(c actor.Context, t *cursor.Task) {
	w.runner.Finish(t)
	var failure *cursor.HandlerError
	switch err := t.Err(); {
	case errors.As(err, &failure) && failure.Panic && w.crashed == nil:
		w.crashed = failure
	case failure != nil && failure.Panic: // of another lane: one of them ends the incarnation, and each is an attempt
		second := *failure
		second.Panic = false
		w.failures = append(w.failures, &second)
	case failure != nil:
		w.failures = append(w.failures, failure)
	case err != nil: // cancelled by Stop: nothing is recorded
	case t.Action() != cursor.Continue:
		w.ending = true
	}
	if w.laned() {
		w.write(c)
		w.step(c)
		return
	}
	w.commit(c)
	c.Send(c.Self(), &step{gen: w.gen})
}

// write has all that is handled committed once the mailbox was served.
func (w *worker) write(c actor.Context) {
	if !w.writing {
		w.writing = true
		c.Send(c.Self(), &write{gen: w.gen})
	}
}

// commit writes what is handled, and then tells of what failed.
func (w *worker) commit(c actor.Context) {
	n, err := w.runner.Commit(w.ctx)
	w.progress(c, n)
	if err != nil {
		w.fail(c, err)
	}
	var commit *cursor.CommitError
	if errors.As(err, &commit) && commit.Event == 0 {
		return // the failures are told when what was handled before them is written
	}
	failures := w.failures
	w.failures = nil
	for _, failure := range failures {
		if w.runner.IsFailed(failure.First) { // or it will be met again, behind what was refused
			w.failHandler(c, failure)
		}
	}
}

// progress notes what was committed.
func (w *worker) progress(c actor.Context, n int) {
	if w.pause == nil {
		w.plan.cell.moved(Running, w.runner.Progress().Position, n)
	}
	w.publish()
	if n == 0 {
		return
	}
	if w.later {
		w.later = false
		c.Send(w.parent, &recovered{child: w.child, gen: w.gen})
	}
	for event := range w.trouble {
		if event == 0 || w.runner.IsDone(event) {
			delete(w.trouble, event)
			c.Send(w.parent, &passed{child: w.child, gen: w.gen, event: event})
		}
	}
}

// publish tells the outside exactly what is done.
func (w *worker) publish() {
	p := w.runner.Progress()
	w.plan.cell.progress(p.Position, p.Scanned, p.Pending, p.Parked, p.Held)
	w.plan.suspicious.Store(w.runner.Guarded())
}

// drain ends the actor between two batches. What the handler said about the end outlasts a restart with the siblings: the
// group hears of it first.
func (w *worker) drain(c actor.Context) {
	if w.ending && !w.sys.isStopping() {
		w.end(c)
		return
	}
	_ = w.settle()
	if err := w.runner.Close(context.WithoutCancel(w.ctx)); err != nil {
		w.sys.log.Debug("position not written", workerField(w.plan), errorField(err))
	}
	w.drained(c)
}

// drained ends the actor: for good, or to be restarted with its siblings.
func (w *worker) drained(c actor.Context) { c.Stop(c.Self()) }

// end is the end that the handler asked for.
func (w *worker) end(c actor.Context) {
	_ = w.runner.Close(context.WithoutCancel(w.ctx))
	c.Send(w.parent, &ended{child: w.child, gen: w.gen})
}

// stop ends what belongs to the incarnation. What a handler that panicked has left behind must not run beside the next one.
func (w *worker) stop() {
	w.gone = true
	for _, what := range w.waits {
		what.timer.Stop()
	}
	if w.wake != nil {
		w.wake.Stop()
	}
	for _, m := range w.controls {
		if m.claim() {
			m.reply <- errAgain
		}
	}
	w.controls = nil
	if w.runner != nil && w.runner.Progress().InFlight == 0 && w.plan.cell.view().state == Halted {
		_ = w.runner.Close(context.WithoutCancel(w.ctx)) // refused where another owner is the reason
	}
	w.cancel()
}

// persist writes how far a parked worker has looked. That is a commit, so it may find out that there is a newer owner.
func (w *worker) persist(c actor.Context) {
	if w.runner == nil || w.runner.Progress().InFlight > 0 || !w.pulling {
		return
	}
	if err := w.settle(); errors.Is(err, checkpoint.ErrFenced) {
		w.fail(c, err)
	}
}

// settle moves the checkpoint up to the head if nothing in between matches, and writes it, also after the contexts of the
// handlers were cancelled. What it cannot write is read again by the next incarnation, so errors only cost time.
func (w *worker) settle() error {
	ctx := context.WithoutCancel(w.ctx)
	if head := w.sys.store.Head(); head > w.runner.Progress().Read && w.runner.Progress().Queued == 0 {
		waiting, err := w.sys.waiting(ctx, w.runner.Region(), w.runner.Progress().Read, head)
		if err == nil && !waiting {
			if _, err = w.runner.Fill(ctx, head); err == nil {
				w.plan.cell.settled(w.runner.Progress().Position)
				w.publish()
			}
		}
	}
	err := w.runner.Flush(ctx)
	if err != nil {
		w.sys.log.Debug("position not written", workerField(w.plan), errorField(err))
	}
	return err
}

// storeFailure reports whether the store will take no commit any more.
func storeFailure(err error) bool {
	return errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrPoisoned)
}

// report asks the group for a verdict.
func (w *worker) report(c actor.Context, first store.Position, deaths int, f supervision.Failure) {
	if _, known := w.trouble[first]; !known {
		w.note(first, 0)
	}
	if first == 0 {
		w.resting = true
	}
	c.Send(w.parent, &failed{child: w.child, gen: w.gen, first: first, deaths: deaths, failure: f, limit: w.limit})
}

// inherit keeps which events failed before this incarnation.
func (w *worker) inherit(failing []uint64) {
	for _, event := range failing {
		w.note(store.Position(event), 0)
	}
}

// note keeps that an event failed, and how many races were lost for it. Most workers never need the map.
func (w *worker) note(event store.Position, races int) {
	if w.trouble == nil {
		w.trouble = make(map[store.Position]int)
	}
	w.trouble[event] = races
}
