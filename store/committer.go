package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// committer is a role, not a goroutine: a caller that finds it free takes it, commits everything
// that is queued, its own commit included, and hands the role to a waiting caller when more has
// queued meanwhile. No clock is involved: what queues while one group is being synced makes the
// next group.
//
// mu guards the queue and who has the role; it is never held during I/O. Everything that only the
// holder of the role touches lives in writer.
type committer struct {
	writer *writer

	mu      sync.Mutex
	queue   []*request
	leading bool
	closed  bool
	idle    *sync.Cond // signalled when the role becomes free
	timer   *time.Timer
	spare   []*request // the queue's other slice, owned by the holder of the role
}

func newCommitter(w *writer) *committer {
	c := &committer{writer: w}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// submit queues req and waits until it is done. An error means that there is no answer in req.
func (c *committer) submit(ctx context.Context, req *request) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.queue = append(c.queue, req)
	if !c.leading {
		c.leading = true
		c.mu.Unlock()
		c.lead(req)
		return nil
	}
	c.mu.Unlock()

	if err := c.wait(ctx, req); err != nil {
		return err
	}
	if !req.done { // woken to lead
		c.lead(req)
	}
	return nil
}

// wait returns when req is done or has to lead, or with an error when ctx ends before.
func (c *committer) wait(ctx context.Context, req *request) error {
	ended := ctx.Done()
	if ended == nil { // the usual case for background work, and a select costs more than the rest of this
		<-req.wake
		return nil
	}
	select {
	case <-req.wake:
	case <-ended:
		if err := c.abandon(ctx, req); err != nil {
			return err
		}
		<-req.wake // on its way
	}
	return nil
}

// abandon gives up waiting for req, unless it is done or was just chosen to lead: then it returns
// nil.
func (c *committer) abandon(ctx context.Context, req *request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if req.done || req.lead {
		return nil
	}
	req.abandoned = true
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
}

// lead commits groups until own is done, then passes the role on.
func (c *committer) lead(own *request) {
	for {
		group := c.take()
		c.writer.commit(group)
		if c.answer(group, own) {
			return
		}
	}
}

// take removes the next group from the queue. A commit whose judgement must read what the commits
// before it wrote (it has conditions, or a key that stands in the group already) starts a group of
// its own.
func (c *committer) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	var keys map[string]struct{}
	for n < len(c.queue) {
		req := c.queue[n]
		bytes += req.size
		if n > 0 && (len(req.conditions) > 0 || bytes > maxGroupBytes) {
			break
		}
		if req.key != "" {
			if _, twice := keys[req.key]; twice {
				break
			}
			if keys == nil {
				keys = make(map[string]struct{})
			}
			keys[req.key] = struct{}{}
		}
		n++
	}
	group := c.queue[:n:n]
	if n == len(c.queue) {
		c.queue, c.spare = c.spare[:0], c.queue
	} else {
		c.queue = append([]*request(nil), c.queue[n:]...)
	}
	return group
}

// answer wakes the owners of a finished group. When own is done it passes on the role, or frees it,
// and returns true.
func (c *committer) answer(group []*request, own *request) bool {
	c.mu.Lock()
	for _, req := range group {
		req.done = true
	}
	c.mu.Unlock()
	for i, req := range group {
		group[i] = nil
		if req != own {
			req.wake <- struct{}{}
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.leading = false
		c.armTimer()
		c.idle.Broadcast()
		return true
	}
	if !own.done {
		return false
	}
	for _, req := range c.queue {
		if !req.abandoned {
			req.lead = true
			req.wake <- struct{}{}
			return true
		}
	}
	return false // nobody waits for what is queued: go on
}

// armTimer starts the clock for bytes that nobody waits for: lazy commits, and SyncInterval.
func (c *committer) armTimer() {
	delay, needed := c.writer.syncDelay()
	if !needed || c.timer != nil || c.closed {
		return
	}
	c.timer = time.AfterFunc(delay, func() {
		c.mu.Lock()
		c.timer = nil
		c.mu.Unlock()
		req := newRequest() // an empty commit: it only syncs
		_ = c.submit(context.Background(), req)
	})
}

// close lets queued commits finish, refuses new ones, and keeps the role for ever.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.leading {
		c.idle.Wait()
	}
	c.leading = true
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
