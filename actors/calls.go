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
	mu      sync.Mutex
	waiting *list.List // of *control, oldest first; nil before the first one
	last    uint64     // number of the latest one that was added
	due     uint64     // those up to this number are carried out before the next batch
	pid     *actor.PID
	gen     uint64
	told    bool // the present actor is told of those that are not due
}

// serve records the actor that runs the worker from now on, and reports whether calls wait for it.
// It is told of those that are added later.
func (c *calls) serve(pid *actor.PID, gen uint64) (waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.gen = pid, gen
	c.due, c.told = c.last, false
	return c.first() != nil
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
	if c.waiting == nil {
		c.waiting = list.New()
	}
	c.last++
	m.number, m.place = c.last, c.waiting.PushBack(m)
	if c.told {
		return nil, 0
	}
	c.told = c.pid != nil
	return c.pid, c.gen
}

// heard says that the actor was told: what waits by now is carried out before the next batch,
// however long it takes until that can be done, and of what is added later it is told once more.
func (c *calls) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due, c.told = c.last, false
}

// remove forgets a call whose caller does not wait for it any more.
func (c *calls) remove(m *control) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.Remove(m.place) // which leaves alone what it does not have
}

// next takes the call that waits for the longest, nil if there is none, and says whether others are
// to be carried out before the next batch. Those that come meanwhile are not: a worker that is
// called without a pause would handle nothing.
func (c *calls) next() (m *control, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m = c.first(); m == nil || m.number > c.due {
		c.due, c.told = c.last, false
	}
	if m == nil {
		return nil, false
	}
	c.waiting.Remove(m.place)
	following := c.first()
	return m, following != nil && following.number <= c.due
}

// first returns the call that waits for the longest, nil if there is none. Called with mu held.
func (c *calls) first() *control {
	if c.waiting == nil || c.waiting.Len() == 0 {
		return nil
	}
	return c.waiting.Front().Value.(*control)
}
