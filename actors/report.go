package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/cursor/drive"
)

// report sends an update to the supervisor, and logs or publishes those that it does not need.
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
