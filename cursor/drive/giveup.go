package drive

import (
	"github.com/penstock-io/penstock/supervision"
)

// giveUp has a worker that can do so settle the outcome of an event, in place of what was decided
// about it, and reports whether it does. Where it has tried, the event is parked. The event fails
// until its outcome is committed; after a panic another incarnation does that.
func giveUp(w *Worker, d *Decision) bool {
	if !w.gives {
		return false
	}
	if !w.engine.GiveUp(d.First, *d) {
		d.Action = supervision.ActionPark
		return false
	}
	w.failing[d.First].step, w.fill = troubleTried, fillStale
	w.updates.add(Update{Kind: UpdateGivesUp, Event: d.First, Decision: *d})
	if d.Restart {
		w.updates.add(Update{Kind: UpdateRestart, Decision: Decision{Reason: d.Reason}})
	}
	return true
}
