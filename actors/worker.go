package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// worker is the actor of one incarnation of a worker. What it does next is decided by core; the actor
// has the mailbox, the timer, the goroutines of the handlers and the context they are given. Without
// lanes its handler runs inside Receive, on the actor's goroutine; with lanes each runs inside the
// Receive of a child.
type worker struct {
	sys    *System
	node   *node
	child  int // its place in the tree
	gen    uint64
	parent *actor.PID
	limit  int  // of the first batch; 0: the worker's own
	later  bool // another incarnation was before it in this system

	ctx    context.Context //nolint:containedctx // of the handlers: ends when Stop gives up draining, or with the actor
	cancel context.CancelFunc
	labels context.Context //nolint:containedctx // of the goroutines of the handlers, in profiles

	core     *drive.Worker
	runner   *cursor.Runner    // nil until the checkpoint is acquired
	pause    *checkpoint.Pause // as core has it
	moved    bool              // by an order that is being carried out
	shown    State             // what core showed last
	lanes    []*actor.PID      // that have nothing to do
	controls []*control
	timer    *time.Timer // has core asked again
	due      time.Time   // when, while the timer is set
}

// insideKey marks the context of a handler with its worker.
type insideKey struct{}

// profileLabel is the name under which goroutines of handlers have the name of their worker in profiles.
const profileLabel = "penstock.worker"

// newWorker makes an incarnation.
func newWorker(sys *System, p *node, parent *actor.PID, s drive.Spawn) *worker {
	w := &worker{
		sys: sys, node: p, child: p.Leaf, gen: s.Gen, parent: parent, limit: s.Limit, later: s.Later,
		core: drive.NewWorker(drive.Incarnation{
			Lanes: p.worker.Lanes, Limit: s.Limit, Later: s.Later, Failing: s.Failing,
		}),
	}
	if s.Cause != drive.Restart { // it may take over from another owner
		p.epoch = 0
	}
	w.ctx, w.cancel = context.WithCancel(context.WithValue(sys.handlers, insideKey{}, w))
	p.published.arm(s.Gen, w.cancel)
	return w
}

// Receive implements actor.Actor.
func (w *worker) Receive(c actor.Context) {
	defer w.sys.recoverPanic(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		w.node.address.set(c.Self(), w.gen)
	case *actor.Stopping:
		w.stop()
		return
	default:
		if !w.happened(c, m) {
			return
		}
	}
	w.turn(c)
}

// happened passes on what a message says; false if it is for another incarnation.
func (w *worker) happened(c actor.Context, message any) bool {
	switch m := message.(type) {
	case *begin:
		w.begin(c)
	case *bounds:
		if m.gen != w.gen {
			return false
		}
		w.core.Available(m.upTo)
	case *step:
		return m.gen == w.gen
	case *wake:
		if m.gen != w.gen {
			return false
		}
		w.due = time.Time{}
	case *handled:
		w.lanes = append(w.lanes, m.lane)
		w.core.Finished(m.task)
	case *write:
		if m.gen != w.gen {
			return false
		}
		w.commit()
	case *decision:
		if m.gen != w.gen {
			return false
		}
		w.core.Decide(time.Now(), m.Decision)
	case *control:
		w.controls = append(w.controls, m)
		w.core.Operate()
	case *persist:
		w.core.Persist()
	case *drain:
		w.core.Drain(w.sys.isStopping())
	default: // of the actor system
		return false
	}
	return true
}

// turn does what core says until it waits. It returns soon: without lanes after one batch, so that
// the mailbox is served between two.
func (w *worker) turn(c actor.Context) {
	if w.sys.isStopping() {
		w.core.CloseIntake()
	}
	for intake := w.intake(); ; {
		next := w.core.Next(w.ctx, time.Now(), intake)
		w.show()
		switch next.Kind {
		case drive.StepWait:
			w.wait(c, next.Until)
			if intake == drive.Finish {
				c.Send(c.Self(), &step{gen: w.gen})
			}
			return
		case drive.StepRun:
			intake = w.run(c, next.Task.(*cursor.Task))
		case drive.StepDrained:
			c.Stop(c.Self())
			return
		default:
			w.do(c, next)
		}
	}
}

// do carries out a step that neither runs a batch nor ends the turn.
func (w *worker) do(c actor.Context, next drive.Step) {
	switch next.Kind {
	case drive.StepReport:
		w.report(c, next.Update)
	case drive.StepAcquire:
		w.acquire()
	case drive.StepCommit:
		if w.laned() { // once the mailbox was served: one commit takes all that is handled by then
			c.Send(c.Self(), &write{gen: w.gen})
		} else {
			w.commit()
		}
	case drive.StepFlush:
		w.flush()
	case drive.StepForget:
		c.Send(w.sys.storeActor, &forget{worker: c.Self()})
	case drive.StepOperate:
		w.operate(next.Err)
	case drive.StepUnpause:
		w.unpause(next.Err)
	case drive.StepPull:
		w.publish(0)
		c.Send(w.sys.storeActor, &pull{
			worker: c.Self(), gen: w.gen, after: w.runner.Progress().Read, region: w.runner.Region(),
		})
	default: // the others end the turn
	}
}

// acquire takes over the checkpoint, and so fences its owner before. After a failure that must be the
// incarnation before: else the newer owner keeps it.
func (w *worker) acquire() {
	runner, err := cursor.RestartRunner(w.sys.acquisition(), w.sys.store, w.resumed(), &w.node.epoch)
	if err == nil {
		w.pause, err = w.loadPause()
	}
	if err != nil {
		w.core.Refused(err)
		return
	}
	if w.later && !w.node.guarded.Load() {
		runner.ClearCrashGuard()
	}
	runner.Limit(w.limit)
	w.runner = runner
	w.node.published.acquired(runner.Progress().Position, runner.Region())
	w.publish(0)
	w.core.Acquired(drive.EngineOf(runner), w.pause)
}

// resumed is the worker to run. One without a checkpoint continues where the incarnation before it
// came to: at its start events would be skipped, or come again and again, with their reactions. One
// that was widened while it ran stays so.
func (w *worker) resumed() cursor.Worker {
	again := w.node.worker
	again.Policy = w.node.Spec.Policy // with what it inherits
	if v := w.node.published.view(); again.Volatile && v.acquired {
		again.Start = store.After(v.position)
	}
	return again
}

// begin makes the lanes.
func (w *worker) begin(c actor.Context) {
	w.core.Begin()
	if n := w.node.worker.Lanes; n > 1 && w.lanes == nil {
		for range n {
			props := newProps(func() actor.Actor { return &lane{w: w} })
			w.lanes = append(w.lanes, c.Spawn(props))
		}
	}
}

// commit writes what is handled, and shows what is done by it.
func (w *worker) commit() {
	n := w.core.Commit(w.ctx, time.Now())
	w.show()
	w.publish(n)
}

// flush writes how far the worker has read, up to the head if nothing in between concerns it. It
// does so too after the contexts of the handlers were cancelled.
func (w *worker) flush() {
	ctx := context.WithoutCancel(w.ctx)
	upTo := store.Position(0)
	at := w.runner.Progress()
	if head := w.sys.store.Head(); head > at.Read && at.Queued == 0 {
		waiting, err := waiting(ctx, w.sys.store, w.runner.Region(), at.Read, head)
		if err == nil && !waiting {
			upTo = head
		}
	}
	if err := w.core.Flush(ctx, time.Now(), upTo); err != nil {
		w.sys.log.Debug("position not written", workerField(w.node), errorField(err))
	}
	w.publish(0)
}

// show shows the state that core has come into.
func (w *worker) show() {
	state := w.core.State()
	if state == w.shown && state != Retrying {
		return
	}
	w.shown = state
	switch shown := w.node.published; state {
	case Running, Idle:
		shown.moved(state, w.runner.Progress().Position, 0)
	case Retrying:
		if waits := w.core.Waits(); len(waits) > 0 {
			shown.failing(Retrying, waits[0].Reason, waits[0].Attempt)
		}
	case Paused:
		shown.set(Paused, &PausedError{Until: w.pause.Until, Reason: w.pause.Reason, By: w.pause.By})
	case Stopped:
		shown.set(Stopped, nil)
	default: // the others are its supervisor's to show
	}
}

// publish shows exactly what is done, and how many events were handled for it.
func (w *worker) publish(handled int) {
	p := w.runner.Progress()
	w.node.published.progress(p.Position, p.Scanned, p.Pending, p.Parked, p.Held, handled)
	w.node.guarded.Store(w.runner.Guarded())
	w.publishKey()
}

// publishKey shows the key of the oldest pending event where only the user's function knows it. An
// error of that is met again where the key matters.
func (w *worker) publishKey() {
	if w.node.worker.Key == nil {
		return
	}
	event, key, err := w.runner.OldestKey()
	if old := w.node.oldest.Load(); event > 0 && err == nil && (old == nil || old.event != event) {
		w.node.oldest.Store(&keyedEvent{event: event, key: key})
	}
}

// wait has core asked again at a time, or not if that is zero. Messages do so too.
func (w *worker) wait(c actor.Context, until time.Time) {
	if until.Equal(w.due) {
		return
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.due = until; until.IsZero() {
		return
	}
	root, self, gen := c.ActorSystem().Root, c.Self(), w.gen
	w.timer = time.AfterFunc(time.Until(until), func() { root.Send(self, &wake{gen: gen}) })
}

// stop ends what belongs to the incarnation. What a handler that panicked has left behind must not
// run beside the next one.
func (w *worker) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	for _, m := range w.controls {
		if m.claim() {
			m.reply <- errAgain
		}
	}
	w.controls = nil
	if w.node.published.view().state == Halted {
		w.close()
	}
	w.cancel()
}

// close ends a halted worker in good order if nothing is in flight. That is refused where another
// owner is the reason.
func (w *worker) close() {
	w.core.Drain(true)
	for {
		switch w.core.Next(w.ctx, time.Now(), drive.Finish).Kind {
		case drive.StepReport: // it is halted, whatever else fails
		case drive.StepCommit:
			w.core.Commit(w.ctx, time.Now())
		case drive.StepFlush:
			_ = w.core.Flush(context.WithoutCancel(w.ctx), time.Now(), 0)
		default:
			return
		}
	}
}
