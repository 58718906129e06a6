package actors

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// freeRaces is how often in a row a worker handles an event again at once because the state that its reactions expected
// was changed by somebody else; from then on it is an attempt at the event, so that an expectation that can never hold
// ends somewhere.
const freeRaces = 3

// worker is the actor of one incarnation of a worker. Its handler runs inside Receive, on the actor's goroutine.
type worker struct {
	sys    *System
	plan   *plan
	child  int // its place in the group
	gen    uint64
	parent *actor.PID

	ctx      context.Context //nolint:containedctx // of the handlers: ends when Stop gives up draining, or with the actor
	cancel   context.CancelFunc
	runner   *cursor.Runner
	upTo     store.Position // there may be something up to here
	limit    int            // of the next batch; 0: the worker's own
	races    int
	troubled bool // a failure was reported, and what succeeded since was not
	timer    *time.Timer
}

// insideKey marks the context of a handler with its worker.
type insideKey struct{}

// newWorker makes an incarnation. One that follows another is troubled by the failure of that one.
func newWorker(sys *System, p *plan, child int, gen uint64, parent *actor.PID, limit int, troubled bool) *worker {
	w := &worker{sys: sys, plan: p, child: child, gen: gen, parent: parent, limit: limit, troubled: troubled}
	w.ctx, w.cancel = context.WithCancel(context.WithValue(sys.handlers, insideKey{}, w))
	return w
}

// Receive implements actor.Actor.
func (w *worker) Receive(c actor.Context) {
	defer w.sys.armour(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		w.acquire(c)
	case *actor.Stopping:
		w.stopTimer()
		w.cancel() // what a handler that panicked has left behind must not run beside the next incarnation
	case *begin:
		w.pull(c)
	case *bounds:
		if m.gen == w.gen {
			w.upTo = m.upTo
			w.step(c)
		}
	case *step:
		if m.gen == w.gen {
			w.step(c)
		}
	case *verdict:
		if m.gen == w.gen {
			w.wait(c, m.delay)
		}
	case *retry:
		if m.gen == w.gen {
			w.retry(c)
		}
	case *persist:
		w.persist(c)
	case *drain:
		w.drain(c)
	}
}

// acquire takes over the checkpoint, and so fences whoever had it.
func (w *worker) acquire(c actor.Context) {
	runner, err := cursor.NewRunner(w.sys.acquisition(), w.sys.store, w.resumed())
	if err == nil {
		w.runner = runner
		w.plan.cell.acquired(runner.Position(), runner.Region())
	}
	c.Send(w.parent, &ready{child: w.child, gen: w.gen, err: err})
}

// resumed is the worker to run. One without a checkpoint goes on where the incarnation before it came to: at its start events
// would be skipped, or come again and again, with their reactions.
func (w *worker) resumed() cursor.Worker {
	again := w.plan.worker
	if v := w.plan.cell.view(); again.Volatile && v.acquired {
		again.Start = store.After(v.position)
	}
	return again
}

// pull asks the store actor for news. The worker does nothing until the answer comes.
func (w *worker) pull(c actor.Context) {
	if w.sys.isStopping() {
		w.plan.cell.set(Stopped, nil)
		return
	}
	w.plan.cell.moved(Idle, w.runner.Position(), 0)
	c.Send(w.sys.storeActor, &pull{worker: c.Self(), gen: w.gen, after: w.runner.Position(), region: w.runner.Region()})
}

// step handles one batch. Between two steps the mailbox is served, so that drain is never behind more than one batch.
func (w *worker) step(c actor.Context) {
	if w.sys.isStopping() {
		w.plan.cell.set(Stopped, nil) // whatever it waits for: no new batch; drain is on its way
		return
	}
	w.plan.cell.moved(Running, w.runner.Position(), 0)
	out, err := w.runStep(c)
	if out.Committed > 0 || err == nil {
		w.progress(c, &out)
	}
	switch {
	case err != nil:
		w.fail(c, err)
	case out.Action == cursor.Stop, out.Action == cursor.StopWithRollback:
		w.end(c)
	case out.CaughtUp:
		w.pull(c)
	default:
		c.Send(c.Self(), &step{gen: w.gen})
	}
}

// runStep is the frame by which Stop recognises that it is called from inside a handler. A handler that ends its
// goroutine takes this call along: the dispatcher gives the actor a new one, and the next step reports it.
func (w *worker) runStep(c actor.Context) (out cursor.Outcome, err error) {
	returned := false
	defer func() {
		if !returned {
			c.Send(c.Self(), &step{gen: w.gen})
		}
	}()
	out, err = w.runner.Step(w.ctx, w.upTo, w.limit)
	returned = true
	return out, err
}

// progress notes what was committed.
func (w *worker) progress(c actor.Context, out *cursor.Outcome) {
	w.plan.cell.moved(Running, w.runner.Position(), out.Committed)
	if out.Committed == 0 {
		return
	}
	w.races = 0
	if w.limit > 0 { // the bad event is behind: grow again
		w.limit *= 2
		if w.limit >= cursor.MaxBatchSize {
			w.limit = 0
		}
	}
	if w.troubled {
		w.troubled = false
		c.Send(w.parent, &recovered{child: w.child, gen: w.gen, event: w.runner.Position()})
	}
}

// fail decides what kind of failure err is, and asks the group what to do about it.
//
// What the handler says comes first: it may use stores and checkpoints of its own, and their errors mean nothing here.
func (w *worker) fail(c actor.Context, err error) {
	var handler *cursor.HandlerError
	switch {
	case w.ctx.Err() != nil: // cancelled by Stop: nothing is recorded
		w.plan.cell.set(Stopped, nil)
	case errors.As(err, &handler):
		w.failHandler(c, handler)
	case errors.Is(err, checkpoint.ErrFenced):
		w.report(c, supervision.Failure{Err: supervision.Halt(err)})
	case storeFailure(err):
		w.sys.fail(err) // which drains this worker too
		w.plan.cell.set(Stopped, nil)
	case errors.Is(err, store.ErrDiskFull):
		w.report(c, supervision.Failure{Err: err, NoAttempt: true})
	case errors.Is(err, store.ErrConflict):
		w.failRace(c, err)
	default: // reading failed
		w.report(c, supervision.Failure{Err: err, Event: 0})
	}
}

// storeFailure reports whether the store will take no commit any more.
func storeFailure(err error) bool {
	return errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrPoisoned)
}

// failHandler charges an event that is known. A batch that failed as a whole is handled again in halves, and nothing is
// charged until the event stands alone; a handler that says when to try again, or never, is obeyed at once. The reason adds
// event, attempt and panic to an error, so it is given what the handler said.
func (w *worker) failHandler(c actor.Context, err *cursor.HandlerError) {
	failure := supervision.Failure{Err: err.Cause(), Event: uint64(err.Event), Panic: err.Panic, Stack: err.Stack}
	directive, directed := supervision.DirectiveOf(err)
	if err.Event != 0 || directed && directive.Action == supervision.ActionHalt {
		w.report(c, failure)
		return
	}
	w.limit = err.Size / 2
	if err.Panic {
		c.Send(w.parent, &failed{child: w.child, gen: w.gen, halve: true, limit: w.limit, failure: failure})
		return
	}
	w.sys.log.Warn("batch failed, worker halves it", workerField(w.plan), errorField(err), zap.Int("limit", w.limit))
	if directive.Delay == 0 {
		c.Send(c.Self(), &step{gen: w.gen})
		return
	}
	w.plan.cell.failing(Retrying, err, 0)
	w.wait(c, directive.Delay)
}

func (w *worker) failRace(c actor.Context, err error) {
	w.races++
	if w.races <= freeRaces {
		c.Send(c.Self(), &step{gen: w.gen})
		return
	}
	failure := supervision.Failure{Err: err}
	var commit *cursor.CommitError
	if errors.As(err, &commit) {
		failure.Event = uint64(commit.Event)
	}
	w.report(c, failure)
}

// report asks the group for a verdict; until it comes the worker does nothing.
func (w *worker) report(c actor.Context, f supervision.Failure) {
	w.troubled = true
	c.Send(w.parent, &failed{child: w.child, gen: w.gen, failure: f, limit: w.limit})
}

// wait goes on after a delay, without blocking the mailbox.
func (w *worker) wait(c actor.Context, delay time.Duration) {
	root, self, gen := c.ActorSystem().Root, c.Self(), w.gen
	w.stopTimer()
	w.timer = time.AfterFunc(delay, func() { root.Send(self, &retry{gen: gen}) })
}

// retry tries again what failed.
func (w *worker) retry(c actor.Context) {
	if w.runner == nil {
		w.acquire(c)
	} else {
		w.step(c)
	}
}

func (w *worker) stopTimer() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end is the end that the handler asked for.
func (w *worker) end(c actor.Context) {
	_ = w.flush()
	c.Send(w.parent, &ended{child: w.child, gen: w.gen})
}

// drain ends the actor between two batches.
func (w *worker) drain(c actor.Context) {
	w.stopTimer()
	_ = w.settle()
	w.plan.cell.set(Stopped, nil)
	c.Stop(c.Self())
}

// persist writes how far a parked worker has looked. That is a commit, so it may find out that there is a newer owner.
func (w *worker) persist(c actor.Context) {
	if err := w.settle(); errors.Is(err, checkpoint.ErrFenced) {
		w.fail(c, err)
	}
}

// settle moves the checkpoint up to the head if nothing in between matches, and writes it, also after the contexts of the
// handlers were cancelled. What it cannot write is read again by the next incarnation, so errors only cost time.
func (w *worker) settle() error {
	if w.runner == nil {
		return nil
	}
	ctx := context.WithoutCancel(w.ctx)
	head := w.sys.store.Head()
	if head <= w.runner.Position() { // 0 too, which to the store means the head as it is by then
		return w.flush()
	}
	waiting, err := w.sys.waiting(ctx, w.runner.Region(), w.runner.Position(), head)
	if err == nil && !waiting { // so the step calls no handler
		if _, err = w.runner.Step(ctx, head, 1); err == nil {
			w.plan.cell.settled(w.runner.Position())
		}
	}
	return w.flush()
}

func (w *worker) flush() error {
	err := w.runner.Flush(context.WithoutCancel(w.ctx))
	if err != nil {
		w.sys.log.Debug("position not written", workerField(w.plan), errorField(err))
	}
	return err
}
