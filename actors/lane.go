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
type lane struct{ w *worker }

// Receive implements actor.Actor.
func (l *lane) Receive(c actor.Context) {
	defer l.w.sys.recoverPanic(c)
	if m, ok := c.Message().(*handle); ok {
		l.run(c, m.task)
	}
}

// run returns the task also when the handler ends the goroutine; the dispatcher then starts another
// for the lane.
func (l *lane) run(c actor.Context, t *cursor.Task) {
	defer c.Send(c.Parent(), &handled{lane: c.Self(), task: t})
	l.w.handle(t)
}

// run starts the handler of a batch, and returns what can be done with the next one.
func (w *worker) run(c actor.Context, t *cursor.Task) drive.Intake {
	w.label()
	w.publishKey()
	if w.laned() {
		last := len(w.lanes) - 1
		c.Send(w.lanes[last], &handle{task: t})
		w.lanes = w.lanes[:last]
		return w.intake()
	}
	w.runHere(c, t)
	return drive.Finish
}

// runHere is the frame by which Stop recognises that it is called from inside a handler. A handler
// that ends its goroutine ends this call: the dispatcher starts another for the actor, which finds
// the task finished.
func (w *worker) runHere(c actor.Context, t *cursor.Task) {
	returned, began := false, time.Now()
	defer func() {
		w.took = time.Since(began)
		w.core.Finished(t)
		if w.left = !returned; w.left {
			c.Send(c.Self(), &step{w.id})
		}
	}()
	w.handle(t)
	returned = true
}

// handle calls the handler, on the goroutine of the actor or of a lane, which serves others after
// it. It touches nothing of the worker that changes.
func (w *worker) handle(t *cursor.Task) {
	pprof.SetGoroutineLabels(w.labels)
	t.Run(w.ctx)
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
