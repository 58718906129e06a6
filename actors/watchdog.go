package actors

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-io/penstock/store"
)

// watchdog looks at all workers of a system from time to time. The timer is set again when a look
// is over, and not after the end.
type watchdog struct {
	sys *System

	mu    sync.Mutex
	timer *time.Timer // nil before the first look, and where it is off
	over  bool

	clock clockWatch // of the goroutine that looks
}

func (d *watchdog) start() {
	every := d.sys.options.WatchdogInterval
	d.mu.Lock()
	defer d.mu.Unlock()
	if every < 0 || d.over {
		return
	}
	d.timer = time.AfterFunc(every, func() {
		d.look()
		d.start()
	})
}

// stop does not wait for a look that is under way.
func (d *watchdog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (d *watchdog) look() {
	s := d.sys
	d.clock.look(s)
	head := s.store.Head()
	for _, p := range s.workers.all() {
		still, stands := p.published.stands(s.options.StallAfter)
		if !stands {
			continue
		}
		w := statusOf(s.store, p, head)
		if err := stallOf(&w, still, s.options.StallAfter); err != nil && p.published.stall(w.Position, err) {
			s.log.at(LogStall, workerField(p), errorField(err))
		}
	}
}

// stallOf returns the reason for which a worker that has not moved for a time counts as stalled,
// nil where it had nothing to do. Where nothing tells whether it had, it does.
func stallOf(w *WorkerStatus, still, limit time.Duration) error {
	e := &EventError{Err: ErrStalled, Worker: w.Name, Event: w.OldestPending}
	switch still = min(still, w.LagTime); {
	case errors.Is(w.LagErr, store.ErrClosed):
		return nil
	case w.LagErr != nil:
		e.Reason = fmt.Sprintf("what waits after position %d cannot be told: %v", w.Position, w.LagErr)
	case w.OldestPending == 0 || still < limit:
		return nil
	default:
		e.Reason = fmt.Sprintf("key %q, for %v", w.OldestPendingKey, still.Round(time.Millisecond))
	}
	return e
}

// stands reports how long a worker that could work has not moved, and whether that is too long and
// was not reported yet.
func (c *published) stands(limit time.Duration) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	still := time.Since(c.movedAt)
	return still, working(c.state) && !c.stalled && still >= limit
}

// working reports whether a worker in that state has no reason to stand still but that it has
// nothing to do.
func working(s State) bool { return s == Idle || s == Running || s == Starting }

// stall notes that it stands at a position, unless it moved meanwhile.
func (c *published) stall(position store.Position, reason error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.position != position {
		return false
	}
	c.stalled = true
	c.tell(c.reason, nil)
	c.watch.report(Transition{
		Time: c.now(), Worker: c.of.Worker.Name, Path: c.of.Path, From: c.state, To: c.state, Reason: reason, Position: c.position,
	})
	return true
}
