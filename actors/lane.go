package actors

import (
	"context"
	"runtime/pprof"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
)

// lane is the actor that runs handlers for a worker with lanes, one batch at a time. It ends with
// its worker, when its handler has returned: so no handler runs beside the next incarnation.
type lane struct {
	w    *worker
	slot *slot
	ctx  context.Context //nolint:containedctx // of its handler, made of the worker's: see renew
}

func newLane(w *worker, s *slot) *lane {
	l := &lane{w: w, slot: s}
	l.renew()
	return l
}

// renew makes the context of its handler: for the first one, and where that was interrupted.
func (l *lane) renew() {
	ctx, interrupt := context.WithCancelCause(l.w.ctx)
	l.ctx = ctx
	l.slot.arm(interrupt)
}

// Receive implements actor.Actor.
func (l *lane) Receive(c actor.Context) {
	defer l.w.sys.recoverPanic(c)
	if m, ok := c.Message().(*handle); ok {
		l.run(c, m)
	}
}

// run returns the task also when the handler ends the goroutine; the dispatcher then starts another
// for the lane.
func (l *lane) run(c actor.Context, m *handle) {
	defer func() {
		if l.slot.drop() {
			l.renew()
		}
		c.Send(c.Parent(), &handled{lane: c.Self(), task: m.task})
	}()
	l.w.handle(l.ctx, l.slot, m.task, m.now)
}

// run starts the handler of a batch, and returns what can be done with the next one.
func (w *worker) run(c actor.Context, t *cursor.Task, now time.Time) drive.Intake {
	w.label()
	w.publishKey()
	if w.laned() {
		last := len(w.lanes) - 1
		c.Send(w.lanes[last], &handle{task: t, now: now})
		w.lanes = w.lanes[:last]
		return w.intake()
	}
	w.runHere(c, t, now)
	return drive.Finish
}

// runHere is the frame by which Stop recognises that it is called from inside a handler. A handler
// that ends its goroutine ends this call: the dispatcher starts another for the actor, which finds
// the task finished.
func (w *worker) runHere(c actor.Context, t *cursor.Task, now time.Time) {
	if w.slots == nil {
		w.makeSlots(1)
		(*w.slots)[0].arm(w.cancel)
	}
	own := &(*w.slots)[0]
	returned, began := false, time.Now()
	defer func() {
		w.took = time.Since(began)
		if own.drop() {
			w.renew()
			own.arm(w.cancel)
		}
		w.core.Finished(t)
		if w.left = !returned; w.left {
			c.Send(c.Self(), &step{w.id})
		}
	}()
	w.handle(w.ctx, own, t, now)
	returned = true
}

// handle calls the handler, on the goroutine of the actor or of a lane, which serves others after
// it. It touches nothing of the worker that changes.
func (w *worker) handle(ctx context.Context, s *slot, t *cursor.Task, now time.Time) {
	s.take(t, now)
	pprof.SetGoroutineLabels(w.labels)
	t.Lane = s.lane
	t.Run(ctx)
	pprof.SetGoroutineLabels(context.Background())
}

// label makes the labels of the handlers. A worker that never handles anything needs none.
func (w *worker) label() {
	if w.labels == nil {
		w.labels = pprof.WithLabels(context.Background(), pprof.Labels(profileLabel, w.node.name()))
	}
}

func (w *worker) laned() bool { return w.node.baton.Worker.Lanes > 1 }

// intake returns what can be done with a batch now.
func (w *worker) intake() drive.Intake {
	if w.laned() && len(w.lanes) == 0 {
		return drive.ReadAhead
	}
	return drive.Take
}
