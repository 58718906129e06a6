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

// worker is the actor of one incarnation of a worker. What it does next is decided by core; the
// actor has the mailbox, the timer, the goroutines of the handlers and the context they are given.
// Without lanes its handler runs inside Receive, on the actor's goroutine; with lanes each runs
// inside the Receive of a child.
//
// All fields belong to the actor's goroutine. A lane reads ctx and labels, which are set before it
// receives its first task, and nothing else of the worker that changes.
type worker struct {
	sys    *System
	node   *node
	child  int // its place in the tree
	gen    uint64
	parent *actor.PID
	limit  int  // events in the first batch; 0: the worker's own limit
	later  bool // another incarnation was before it in this system

	ctx    context.Context //nolint:containedctx // of the handlers: ends at the end of Stop's drain, or with the actor
	cancel context.CancelFunc
	labels context.Context //nolint:containedctx // of the goroutines of the handlers, in profiles

	core   *drive.Worker
	runner *cursor.Runner    // nil until the checkpoint is acquired
	pause  *checkpoint.Pause // as core has it
	moved  bool              // by an operation that is being carried out
	shown  State             // what core showed last
	lanes  []*actor.PID      // idle ones: the others return with their task
	timer  *time.Timer       // calls turn again at due
	due    time.Time         // zero while the timer is not set
}

// insideKey marks the context of a handler with its worker.
type insideKey struct{}

// profileLabel is the name under which goroutines of handlers have the name of their worker in
// profiles.
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
		if w.node.calls.serve(c.Self(), w.gen) {
			w.core.Operate()
		}
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

// happened passes a message to core; false if it is for another incarnation.
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
	case *called:
		if m.gen != w.gen {
			return false
		}
		w.core.Operate()
	case *persist:
		if m.gen != w.gen {
			return false
		}
		w.core.Persist()
	case *drain:
		w.core.Drain(w.sys.isStopping())
	default: // of the actor system
		return false
	}
	return true
}

// turn does what core orders until it waits. Without lanes it returns after one batch, so that the
// mailbox is served between two.
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
		p := w.runner.Progress()
		c.Send(w.sys.storeActor, &pull{worker: c.Self(), gen: w.gen, after: p.Read, region: *p.Region})
	default: // the others end the turn
	}
}

// acquire takes over the checkpoint, and so fences its previous owner. After a failure that must be
// the previous incarnation of this worker: from any other owner a restart takes nothing back.
func (w *worker) acquire() {
	runner, err := cursor.RestartRunner(w.sys.acquisition(), w.sys.store, w.resumed(), cursor.Former{
		Epoch: &w.node.epoch, Limit: w.limit, Seen: w.later && !w.node.guarded.Load(),
	})
	if err == nil {
		w.pause, err = w.loadPause()
	}
	if err != nil {
		if w.sys.isStopping() { // which has cancelled it
			err = nil
		}
		w.core.Refused(err)
		return
	}
	w.runner = runner
	w.node.published.acquired(runner.Progress())
	w.publish(0)
	w.core.Acquired(drive.EngineOf(runner), w.pause)
}

// resumed returns the worker to run. One without a checkpoint continues at the position of the
// incarnation before it: from its Start events would be skipped, or handled again at each restart,
// with their reactions. One that was widened while it ran stays so.
func (w *worker) resumed() *cursor.Worker {
	v := w.node.published.view()
	if !w.node.worker.Volatile || !v.acquired {
		return &w.node.worker
	}
	again := w.node.worker
	again.Start = store.After(v.position)
	return &again
}

// begin lets core handle events, and spawns the lanes.
func (w *worker) begin(c actor.Context) {
	w.core.Begin()
	if n := w.node.worker.Lanes; n > 1 && w.lanes == nil {
		for range n {
			props := newProps(func() actor.Actor { return &lane{w: w} })
			w.lanes = append(w.lanes, c.Spawn(props))
		}
	}
}

// commit writes what is handled, and publishes the progress.
func (w *worker) commit() {
	n := w.core.Commit(w.ctx, time.Now())
	w.show()
	w.publish(n)
}

// flush writes how far the worker has read, up to the head if nothing in between concerns it. It
// does so also after the contexts of the handlers were cancelled.
func (w *worker) flush() {
	ctx := context.WithoutCancel(w.ctx)
	upTo := store.Position(0)
	at := w.runner.Progress()
	if head := w.sys.store.Head(); head > at.Read && at.Queued == 0 {
		waiting, err := waiting(ctx, w.sys.store, *at.Region, at.Read, head)
		if err == nil && !waiting {
			upTo = head
		}
	}
	if err := w.core.Flush(ctx, time.Now(), upTo); err != nil {
		w.sys.log.Debug("position not written", workerField(w.node), errorField(err))
	}
	w.publish(0)
}

// show publishes the state of core. Those that the supervisor publishes are left to it.
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
	default: // the supervisor publishes the others
	}
}

// publish publishes the progress, and how many events were handled since the last call.
func (w *worker) publish(handled int) {
	p := w.runner.Progress()
	w.node.published.progress(p.Position, p.Scanned, p.Pending, p.Parked, p.Held, handled)
	w.node.guarded.Store(p.Guarded)
	w.publishKey()
}

// publishKey publishes the key of the oldest pending event where only the user's function knows it.
func (w *worker) publishKey() {
	if w.node.worker.Key == nil {
		return
	}
	event, key := w.runner.OldestKey()
	if old := w.node.oldest.Load(); event > 0 && (old == nil || old.event != event) {
		w.node.oldest.Store(&keyedEvent{event: event, key: key})
	}
}

// wait sets the timer that calls turn again, or stops it if the time is zero. Any message calls
// turn, too.
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

// stop ends what belongs to the incarnation: goroutines that a handler has left must not run beside
// the next one.
func (w *worker) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
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
