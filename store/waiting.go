package store

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// wait returns when req is done or has to lead, or with an error when ctx ends before. A request
// that is waited for is called exactly once: to lead, and then its owner answers it without another
// token, or as the answer. The channel has room for it, so no sender waits for an owner that has
// left.
//
// To wait for two channels costs twice as much as to wait for one, and contexts that many callers
// share are a lock that all of them take. Nearly every commit is called before any context ends. So
// a patient owner looks at ctx only when it is told that it takes long. Where groups take long
// anyhow, that would be one more turn for each, and owners look at both from the beginning.
//
// A token carries no value: it would be written to the stack of a goroutine that has not run for a
// while, and is in no cache. Which one was received is plain by req.patient: that was set to false
// before the token that says so was sent, and is not touched once the other one was.
func (c *committer) wait(ctx context.Context, req *request, patient bool) error {
	if patient {
		if <-req.wake; req.patient {
			return nil
		}
	}
	select {
	case <-req.wake:
	case <-ctx.Done():
		if err := c.abandon(ctx, req); err != nil {
			return err
		}
		<-req.wake // it is on its way, and must not be left for the next use of req
	}
	return nil
}

// abandon ends the waiting for req, unless it is done or was just chosen to lead: then it returns
// nil. A request that is still queued leaves the queue, and nothing of it is written. One that a
// group has taken is committed, or fails, with the group; its memory is not used again.
func (c *committer) abandon(ctx context.Context, req *request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case req.done || req.lead:
		return nil
	case req.queued:
		c.queue.remove(req)
		return fmt.Errorf("store: commit: %w", ctx.Err())
	default:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	}
}

// tick is how often patience looks.
const tick = 4 * time.Millisecond

// patience tells the patient owners, those who have waited for a tick or two, to look at their
// contexts. Its timer runs only while there are some that wait and were not told: a store in which
// nothing waits has no timer, and on a slow disk each request is told once.
//
// committer.mu guards all of it.
type patience struct {
	committer *committer
	every     time.Duration // tick, and less in tests
	ticks     uint
	timer     *time.Timer
	armed     bool
}

// expect notes that the owner of req begins to wait.
func (p *patience) expect(req *request) {
	req.patient, req.since = true, p.ticks
	if !p.armed {
		p.arm()
	}
}

func (p *patience) arm() {
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(p.every, p.look)
	} else {
		p.timer.Reset(p.every)
	}
}

// look is called by the timer. A tick may have begun just after a request, so it lets one pass.
func (p *patience) look() {
	c := p.committer
	c.mu.Lock()
	defer c.mu.Unlock()
	p.armed = false
	p.ticks++
	early := false
	for req := range c.waiting() {
		switch {
		case !req.patient || req.lead: // it looks already, or does not wait
		case p.ticks-req.since < 2:
			early = true
		default:
			req.patient = false
			req.wake <- struct{}{}
		}
	}
	if early {
		p.arm()
	}
}

// waiting iterates over the requests in the group in flight and in the queue. mu is held.
func (c *committer) waiting() iter.Seq[*request] {
	return func(yield func(*request) bool) {
		for _, req := range c.taken {
			if !yield(req) {
				return
			}
		}
		for req := c.queue.first; req != nil; req = req.next {
			if !yield(req) {
				return
			}
		}
	}
}

// end stops the timer; requests are not accepted any more.
func (p *patience) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
