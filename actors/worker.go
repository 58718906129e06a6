package actors

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

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
	// Set before the actor exists, and never changed.
	sys   *System
	node  *node
	id    incarnation
	baton *drive.Baton // of the node

	ctx    context.Context //nolint:containedctx // of the handlers: ends at the end of Stop's drain, or with the actor
	cancel context.CancelCauseFunc
	labels context.Context //nolint:containedctx // of the goroutines of the handlers, in profiles; nil before the first

	core  *drive.Worker
	shown State         // what core showed last
	fails bool          // and whether something failed and was not done
	left  bool          // a handler has ended the goroutine of Receive
	slots *slots        // of its lanes, or the one it has without; nil before the first handler
	lanes []*actor.PID  // idle ones: the others return with their task; nil before Begin
	took  time.Duration // by the handler of the batch before
	sent  *underway     // the commit under way; nil before the first one
	timer *time.Timer   // calls turn again at due, by a message; stopped with the actor
	due   time.Time     // zero while the timer is not set
}

// aheadFrom is how long a handler must take for the next batch to be handled while one is written:
// a goroutine and two switches of it cost a few microseconds. Tests set it before they start a
// system.
//
//nolint:gochecknoglobals // see there
var aheadFrom = 50 * time.Microsecond

// insideKey marks the context of a handler with its worker.
type insideKey struct{}

// profileLabel is the name under which goroutines of handlers have the name of their worker in
// profiles.
const profileLabel = "penstock.worker"

// newWorker makes the incarnation that the tree ordered. It runs on the supervisor's goroutine; the
// one before has ended.
func newWorker(sys *System, n *node, order drive.Effect) *worker {
	w := &worker{
		sys: sys, node: n, id: incarnation{leaf: order.Leaf, gen: order.Gen}, baton: &n.baton,
		core: n.baton.Spawn(order),
	}
	w.renew()
	return w
}

// Receive implements actor.Actor.
func (w *worker) Receive(c actor.Context) {
	returned := false
	defer func() {
		value := recover()
		if value == nil && !returned && !w.left {
			value = errGoexit
		}
		w.left = false
		passOn(w.sys, c, value)
	}()
	w.receive(c)
	returned = true
}

// errGoexit is the panic of a worker's actor whose goroutine was ended, not by a handler: by a gate
// of the store, say, which runs on it too. What that was called for has no answer, so another
// incarnation has to take over.
var errGoexit = errors.New("runtime.Goexit was called outside of a handler")

func (w *worker) receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		if w.node.calls.serve(c.Self(), w.id.gen) {
			w.core.Operate()
		}
	case *actor.Stopping:
		w.stop()
		return
	case *actor.Stopped: // its lanes are gone, too
		w.baton.Leave()
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
	if m, bound := message.(interface{ of() incarnation }); bound && m.of() != w.id {
		return false
	}
	switch m := message.(type) {
	case *step, *answered:
	case *begin:
		w.begin(c)
	case *bounds:
		w.core.Available(m.upTo)
	case *wake:
		w.due = time.Time{}
	case *handled:
		w.lanes = append(w.lanes, m.lane)
		w.core.Finished(m.task)
	case *write:
		w.commit()
	case *decision:
		w.core.Decide(w.sys.store.Now(), m.Decision)
	case *called:
		w.node.calls.heard()
		w.core.Operate()
	case *nudge:
		drive.Nudge(w.core, w.sys.store.Now(), m.key)
	case *persist:
		w.core.Persist()
	case *drain:
		w.core.Drain(w.sys.isStopping())
	default: // of the actor system
		return false
	}
	return true
}

// turn does what core orders until it waits. Without lanes it returns after one batch, so that the
// mailbox is served between two. The intake is closed here, not by a message: those come after what
// is in the mailbox, and no batch may begin once Stop was called.
func (w *worker) turn(c actor.Context) {
	if w.sys.isStopping() {
		w.core.CloseIntake()
	}
	now, intake := w.sys.store.Now(), w.intake()
	for {
		next := w.core.Next(w.ctx, now, intake)
		w.show()
		switch next.Kind {
		case drive.StepWait:
			w.wait(c, next.Until)
			if intake == drive.Finish {
				c.Send(c.Self(), &step{w.id})
			}
			return
		case drive.StepRun:
			intake = w.run(c, next.Task.(*cursor.Task), now)
			now = w.sys.store.Now()
		case drive.StepAnswer:
			if !w.answered(now) {
				return
			}
		case drive.StepDrained:
			c.Stop(c.Self())
			return
		default:
			w.do(c, next)
			now = w.sys.store.Now()
		}
	}
}

// do carries out a step that neither runs a batch nor may end the turn.
func (w *worker) do(c actor.Context, next drive.Step) {
	switch next.Kind {
	case drive.StepReport:
		w.report(c, next.Update)
	case drive.StepAcquire:
		w.acquire()
	case drive.StepCommit:
		switch {
		case w.laned(): // once the mailbox was served: one commit takes all that is handled by then
			c.Send(c.Self(), &write{w.id})
		case !w.submit(c):
			w.commit()
		}
	case drive.StepFlush:
		w.flush()
	case drive.StepRing:
		drive.Ring(w.ctx, w.core, w.sys.store.Now())
		w.show()
		w.publish(0)
	case drive.StepForget:
		c.Send(w.sys.storeActor, &forget{worker: c.Self()})
	case drive.StepOperate:
		w.operate(c, next.Err)
	case drive.StepUnpause:
		w.unpause(next.Err)
	case drive.StepPull:
		w.publish(0)
		p := w.baton.Progress()
		c.Send(w.sys.storeActor, &pull{incarnation: w.id, worker: c.Self(), after: p.Read, region: p.Region})
	default: // the others end the turn
	}
}

// report sends an update to the supervisor, unless it does not need it. What was parked is
// published by the worker: a caller that sees the position after it finds that, too.
func (w *worker) report(c actor.Context, u *drive.Update) {
	switch u.Kind {
	case drive.UpdateHalved:
		w.sys.log.at(LogHalve, workerField(w.node), errorField(u.Failure.Err), zap.Int("limit", u.Limit))
		return
	case drive.UpdateStoreFailed:
		w.sys.fail(u.Err)
		return
	case drive.UpdateDecided:
		w.node.published.reportParked(u.Decision)
	default:
	}
	c.Send(w.sys.supervisor, &report{incarnation: w.id, update: u})
}

// acquire takes over the checkpoint.
func (w *worker) acquire() {
	if err := w.baton.Acquire(w.sys.acquisition()); err != nil {
		if w.sys.isStopping() { // which has cancelled it
			err = nil
		}
		w.core.Refused(err)
		return
	}
	w.node.published.acquired(w.baton.Progress())
	w.publish(0)
	w.core.Acquired(drive.EngineOf(w.baton.Runner), w.baton.Paused())
}

// begin lets core handle events, and spawns the lanes.
func (w *worker) begin(c actor.Context) {
	w.core.Begin()
	if n := w.node.baton.Worker.Lanes; n > 1 && w.lanes == nil {
		w.makeSlots(n)
		for i := range n {
			props := newProps(&w.sys.dispatcher, func() actor.Actor { return newLane(w, &(*w.slots)[i]) })
			w.lanes = append(w.lanes, c.Spawn(props))
		}
	}
}

// commit writes what is handled, and publishes the progress: after it, so that a caller that waits
// for an event finds it durable.
func (w *worker) commit() {
	n := w.core.Commit(w.ctx, w.sys.store.Now())
	w.show()
	w.publish(n)
}

// submit begins a commit that nothing waits for, if what is handled next does not depend on it. A
// batch is handled meanwhile where handlers take so long that this is worth a goroutine, which ends
// with the commit; else the store may do the writing on this one.
func (w *worker) submit(c actor.Context) bool {
	s := drive.Submit(w.core, w.took >= aheadFrom)
	if s == nil {
		return false
	}
	if w.sent == nil {
		w.sent = newUnderway(w, c)
	}
	if w.sent.begin(s); w.sent.beside {
		go s.Send(w.sent.tell)
	} else {
		s.Send(w.sent.tell)
	}
	return true
}

// answered is commit for what submit began, false where there is no answer yet: a message will come
// with it.
func (w *worker) answered(now time.Time) bool {
	if !w.sent.look() {
		return false
	}
	n := drive.Answered(w.ctx, w.core, now)
	w.show()
	switch sent := w.sent; {
	case !sent.written:
		w.publish(n)
	case sent.beside: // answer has published it; another batch may be at hand
		w.publish(0)
	default:
		w.node.published.reached(sent.upTo, sent.handled)
	}
	return true
}

// flush writes how far the worker has read, up to the head if nothing in between concerns it. It
// does so also after the contexts of the handlers were cancelled.
func (w *worker) flush() {
	ctx := context.WithoutCancel(w.ctx)
	upTo := store.Position(0)
	at := w.baton.Progress()
	if head := w.sys.store.Head(); head > at.Read && at.Queued == 0 {
		waiting, err := waiting(ctx, w.sys.store, *at.Region, at.Read, head)
		if err == nil && !waiting {
			upTo = head
		}
	}
	if err := w.core.Flush(ctx, w.sys.store.Now(), upTo); err != nil {
		w.sys.log.Debug("position not written", workerField(w.node), errorField(err))
	}
	w.publish(0)
}

// show publishes the state of core. Those that the supervisor publishes are left to it.
func (w *worker) show() {
	state, fails := w.core.State(), drive.Fails(w.core)
	if state == w.shown && !fails && !w.fails && state != Retrying && state != Outage && state != Full {
		return
	}
	if fails || w.fails {
		w.node.published.fails(drive.Failures(w.core, maxFailing))
	}
	w.shown, w.fails = state, fails
	switch shown := &w.node.published; state {
	case Running, Idle:
		shown.moved(state, w.baton.Progress().Position, fails)
	case Retrying:
		if waits := w.core.Waits(); len(waits) > 0 {
			shown.wait(Retrying, waits[0].Reason, waits[0].Attempt)
		}
	case Outage, Full:
		w.publish(0) // what was held or deferred, also where no commit of core has written that
		shown.wait(state, w.core.Trouble(), 0)
	case Paused:
		shown.set(Paused, newPausedError(w.baton.Paused()))
	case Throttled, Stopped:
		shown.set(state, nil)
	default: // the supervisor publishes the others
	}
}

// publish publishes the progress, and how many events were handled since the last call.
func (w *worker) publish(handled int) {
	p := w.baton.Progress()
	w.node.published.progress(p, handled)
	w.publishKey()
}

// publishKey publishes the key of the oldest pending event where only the user's function knows it.
func (w *worker) publishKey() {
	if w.node.baton.Worker.Key == nil {
		return
	}
	event, key := w.baton.OldestKey()
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
	root, self, id := c.ActorSystem().Root, c.Self(), w.id
	w.timer = time.AfterFunc(timerFor(w.sys.store, until), func() { root.Send(self, &wake{id}) })
}

// stop ends what belongs to the incarnation: goroutines that a handler has left must not run beside
// the next one.
func (w *worker) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel(nil)
	if w.sent != nil {
		w.sent.end.Wait() // the next incarnation acquires the checkpoint after it
	}
	w.node.published.fails(nil, 0)
}
