package actors

import (
	"container/list"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// calls are the controls that wait for a worker, whichever incarnation of it carries them out, and
// the actor that runs it now. The actor takes one at a time, between two batches; what it has not
// taken when it ends is there for the next one, before that handles anything. Any goroutine adds
// and removes, each at the same cost, however many wait.
type calls struct {
	mu    sync.Mutex
	queue *callQueue // nil before the first one, which most workers never see
	pid   *actor.PID
	gen   uint64
}

// callQueue are those that were added.
type callQueue struct {
	waiting list.List // of *control, oldest first
	last    uint64    // number of the latest one that was added
	due     uint64    // those up to this number are carried out before the next batch
	told    bool      // the present actor is told of those that are not due
}

// heard has what waits carried out before the next batch.
func (q *callQueue) heard() { q.due, q.told = q.last, false }

// first returns the call that waits for the longest, nil if there is none.
func (q *callQueue) first() *control {
	if q == nil || q.waiting.Len() == 0 {
		return nil
	}
	return q.waiting.Front().Value.(*control)
}

// serve records the actor that runs the worker from now on, and reports whether calls wait for it.
// It is told of those that are added later.
func (c *calls) serve(pid *actor.PID, gen uint64) (waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.gen = pid, gen
	if c.queue == nil {
		return false
	}
	c.queue.heard()
	return c.queue.first() != nil
}

// present returns the actor that runs the worker, or ran it last: nil before the first one.
func (c *calls) present() (pid *actor.PID, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid, c.gen
}

// add returns the actor to notify: nil before the first one, and while it need not be told once
// more. It may have ended: then the next one serves after m was added, and finds it.
func (c *calls) add(m *control) (pid *actor.PID, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue == nil {
		c.queue = new(callQueue)
	}
	q := c.queue
	q.last++
	m.number, m.place = q.last, q.waiting.PushBack(m)
	if q.told {
		return nil, 0
	}
	q.told = c.pid != nil
	return c.pid, c.gen
}

// heard says that the actor was told: what waits by now is carried out before the next batch,
// however long it takes until that can be done, and of what is added later it is told once more.
func (c *calls) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue != nil {
		c.queue.heard()
	}
}

// remove forgets a call whose caller does not wait for it any more.
func (c *calls) remove(m *control) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.waiting.Remove(m.place) // which leaves alone what it does not have
}

// next takes the call that waits for the longest, nil if there is none, and says whether others are
// to be carried out before the next batch. Those that come meanwhile are not: a worker that is
// called without a pause would handle nothing.
func (c *calls) next() (m *control, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queue
	if q == nil {
		return nil, false
	}
	if m = q.first(); m == nil || m.number > q.due {
		q.heard()
	}
	if m == nil {
		return nil, false
	}
	q.waiting.Remove(m.place)
	following := q.first()
	return m, following != nil && following.number <= q.due
}
