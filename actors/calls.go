package actors

import (
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// calls are the controls that wait for a worker, whichever incarnation of it carries them out, and
// the actor that runs it now. The actor takes them between two batches; what it has not taken when
// it ends is there for the next one, before that handles anything. Any goroutine adds and removes.
type calls struct {
	mu      sync.Mutex
	waiting []*control
	pid     *actor.PID
	gen     uint64
}

// serve records the actor that runs the worker from now on, and reports whether calls wait for it.
// It is told of those that are added later.
func (c *calls) serve(pid *actor.PID, gen uint64) (waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.gen = pid, gen
	return len(c.waiting) > 0
}

// add returns the actor to notify, nil before the first one. It may have ended: then the next one
// serves after m was added, and finds it.
func (c *calls) add(m *control) (pid *actor.PID, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, m)
	return c.pid, c.gen
}

// remove forgets a call whose caller does not wait for it any more.
func (c *calls) remove(m *control) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(other *control) bool { return other == m })
}

// take returns all calls, which no other actor gets then.
func (c *calls) take() []*control {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.waiting
	c.waiting = nil
	return all
}
