package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/cursor/drive"
)

// report passes on what the worker reports, and logs or shows what the supervisor need not know.
func (w *worker) report(c actor.Context, u *drive.Update) {
	switch u.Kind {
	case drive.UpdateHalved:
		w.sys.log.Warn("batch failed, worker halves it",
			workerField(w.node), errorField(u.Failure.Err), zap.Int("limit", u.Limit))
	case drive.UpdateDecided:
		w.node.published.reportParked(u.Decision)
	case drive.UpdateStoreFailed:
		w.sys.fail(u.Err)
	default:
		c.Send(w.parent, &report{leaf: w.child, gen: w.gen, update: u})
	}
}
