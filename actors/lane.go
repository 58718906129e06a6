package actors

import (
	"runtime/pprof"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor"
)

// lane is the actor that runs handlers for a worker with lanes, one batch at a time. It ends with its worker, when its
// handler has returned: so no handler runs beside the next incarnation.
type lane struct{ w *worker }

// Receive implements actor.Actor.
func (l *lane) Receive(c actor.Context) {
	defer l.w.sys.recoverPanic(c)
	if m, ok := c.Message().(*handle); ok {
		l.runStep(c, m.task)
	}
}

// runStep gives the task back also when the handler ends the goroutine; the dispatcher then gives the lane a new one.
func (l *lane) runStep(c actor.Context, t *cursor.Task) {
	defer c.Send(c.Parent(), &handled{lane: c.Self(), task: t})
	l.w.handle(t)
}

// handle calls the handler. It touches nothing of the worker that changes.
func (w *worker) handle(t *cursor.Task) {
	pprof.SetGoroutineLabels(w.labels)
	t.Run(w.ctx)
}

func (w *worker) laned() bool { return w.plan.worker.Lanes > 1 }

// free reports whether a batch can be handled now.
func (w *worker) free() bool {
	return !w.laned() && w.runner.Progress().InFlight == 0 || len(w.lanes) > 0
}

// lane takes a lane that has nothing to do.
func (w *worker) lane() *actor.PID {
	last := len(w.lanes) - 1
	pid := w.lanes[last]
	w.lanes = w.lanes[:last]
	return pid
}
