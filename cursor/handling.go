package cursor

import (
	"sync/atomic"

	"github.com/penstock-io/penstock/store"
)

// Handling is what the handler of a task works on.
type Handling struct {
	First, Last store.Position // of its batch
	Events      int
	// Event is the one that it works on: where there are several, as it has said by [Batch.Begin], as
	// reactors and projectors do, and 0 where it has not. Key and Attempt are that event's, or else
	// those of the first; Key is "" where only a function of the program knows it.
	Event   store.Position
	Key     string
	Attempt int
	Parked  bool // it was parked, and is handled again
	GivesUp bool // Worker.GiveUp has it, not Handle
}

// HandlingOf describes what a task has in flight. Any goroutine may call it between the start of
// [Task.Run] and the return of the task to its runner: the caller ensures that.
//
// It is machinery for packages that run workers, and promises no compatibility; see [Runner].
func HandlingOf(t *Task) Handling {
	b, at := &t.batch, int(atomic.LoadInt32(&t.batch.begun))
	h := Handling{First: t.at(0), Last: t.at(t.Size() - 1), Events: t.Size(), Parked: b.Parked(), GivesUp: t.givesUp() != nil}
	if t.Size() == 1 {
		at = 0
	}
	if at >= 0 {
		h.Event = t.at(at)
	}
	at = max(0, at)
	switch h.Attempt = b.Attempt(at); {
	case t.queue.parked || t.own.laned():
		h.Key = t.queue.key
	case t.own.worker.Key == nil && t.own.worker.Resolve == nil:
		h.Key = b.events[at].Coordinate.Entity
	}
	return h
}
