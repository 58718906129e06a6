package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/cursor/drive"
)

// report passes on what the worker reports.
func (w *worker) report(c actor.Context, u *drive.Update) {
	switch u.Kind {
	case drive.UpdateAcquired:
		c.Send(w.parent, &ready{child: w.child, gen: w.gen, err: u.Err})
	case drive.UpdateFailed, drive.UpdateHalve:
		c.Send(w.parent, &failed{
			child: w.child, gen: w.gen, first: u.First, deaths: u.Deaths, failure: u.Failure, limit: u.Limit,
			halve: u.Kind == drive.UpdateHalve,
		})
	case drive.UpdateHalved:
		w.sys.log.Warn("batch failed, worker halves it",
			workerField(w.plan), errorField(u.Failure.Err), zap.Int("limit", u.Limit))
	case drive.UpdateRecovered:
		c.Send(w.parent, &recovered{child: w.child, gen: w.gen})
	case drive.UpdatePassed:
		c.Send(w.parent, &passed{child: w.child, gen: w.gen, event: u.Event})
	case drive.UpdateMoved:
		c.Send(w.parent, &anew{child: w.child, gen: w.gen})
	case drive.UpdateDecided:
		w.plan.cell.setAside(u.Decision)
	case drive.UpdateRestart:
		c.Send(w.parent, &again{child: w.child, gen: w.gen})
	case drive.UpdateEnded:
		c.Send(w.parent, &ended{child: w.child, gen: w.gen})
	case drive.UpdateStoreFailed:
		w.sys.fail(u.Err)
	}
}
