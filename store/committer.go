package store

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

// committer is a role, not a goroutine: a caller that finds it free takes it, commits everything
// that is queued, its own commit included, and hands the role to a waiting caller when more has
// queued meanwhile.
//
//	lock; queue mine
//	if the role is taken { unlock; wait for an answer, or to be handed the role }
//	take the role; unlock
//	until mine is answered {
//		linger while more come                  // yield to the callers that were answered last
//		group = what is queued                  // all that came since the last sync began
//		admit, write, sync, publish the group   // no lock is held
//		wake the owners of the group
//	}
//	hand the role to the owner of the first that is queued, or free it
//
// The owner of a commit that came by Submit does not wait, and so cannot be handed the role. In its
// place there is a goroutine, which has the role until nothing is queued, and then ends.
//
// Why no goroutine of its own: a caller that is alone would pay for two switches between
// goroutines, to the committer and back, which is a good part of a commit that needs no sync. A
// store that is not used has no goroutine to stop, and a test of one in a synctest bubble none to
// wait for. The price is that one of the callers does the work of all in its group. It does no more
// than that: the role passes on as soon as its own commit is answered.
//
// Why no clock: a timer that collects commits for a while delays those that are alone, and cannot
// wait for as little as a sync takes. What queues while one group is being synced makes the next:
// the slower the disk, the larger the groups. But callers that commit in a loop would form two
// cohorts, one in the group and one in the queue, and each commit would wait for two syncs. So the
// holder of the role yields before it takes the queue, as long as that brings the callers back that
// were answered just now: see linger.
//
// Ownership: mu guards the queue, the group in flight as patience sees it, and which goroutine has
// the role, and is never held during I/O. What only the holder of the role touches lives in writer;
// group and crowd are its, too. It alone sets took, under mu.
type committer struct {
	writer *writer

	mu      sync.Mutex
	queue   requestQueue
	leading bool        // the role is taken
	closed  bool        // no request is accepted any more
	idle    *sync.Cond  // signalled when the role becomes free, for close
	timer   *time.Timer // armed while there are bytes to sync that no caller waits for
	taken   []*request  // the group in flight, for patience; nil while there is none

	patience patience // of those that wait

	group []*request // memory of the last group, so that committing allocates none

	crowd int           // requests of the last group and behind it: as many may be there again soon
	took  time.Duration // by the last group, 0 where it was alone

	tally   tally         // of the writer, as of the last group; guarded by mu
	refused uint64        // requests that were answered with an error; guarded by mu
	writes  liveHistogram // of the groups
	brief   uint          // groups that took too little to measure each
}

// lingerYields is how often in a row yielding may bring no caller.
const lingerYields = 3

func newCommitter(w *writer) *committer {
	c := &committer{writer: w}
	c.idle = sync.NewCond(&c.mu)
	c.patience = patience{committer: c, every: tick}
	return c
}

// enqueue queues req, and gives its owner the role where that is free. Of one that waits it returns
// whether it does so patiently. What queues are callers, so the bound is on callers; one of them is
// always let in.
func (c *committer) enqueue(req *request) (leads, patient bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, false, ErrClosed
	}
	if !req.flushes() && c.queue.full(req) {
		return false, false, fmt.Errorf("%w: %d commits of %d bytes are queued", ErrBusy, c.queue.length, c.queue.bytes)
	}
	c.queue.push(req)
	leads, c.leading = !c.leading, true
	if patient = !leads && req.answer == nil && c.took <= tick/2; patient {
		c.patience.expect(req)
	}
	return leads, patient, nil
}

// submit queues req and waits until it is done. An error means that there is no answer in req.
func (c *committer) submit(ctx context.Context, req *request) error {
	leads, patient, err := c.enqueue(req)
	if err != nil {
		return err
	}
	if !leads {
		if err := c.wait(ctx, req, patient); err != nil {
			return err
		}
		// Reading done without the lock is safe: it was set before the token was sent, or else the token
		// handed over the role, and then no other goroutine can answer req.
		if req.done {
			return nil
		}
	}
	c.lead(req)
	return nil
}

// lead commits groups until own is done, then passes the role on. Where own is nil it is a
// goroutine of the committer, which leads in the place of callers that do not wait, until nothing
// is queued.
func (c *committer) lead(own *request) {
	for {
		c.linger()
		group := c.take()
		if c.answer(group, own, c.commit(group)) {
			return
		}
	}
}

// leadForOthers is a goroutine.
func (c *committer) leadForOthers() {
	unlabel()
	c.lead(nil)
}

// unlabel begins a goroutine of the store. It has the labels of the one that started it, which may
// be a handler's: profiles would take it for one more of that.
func unlabel() { pprof.SetGoroutineLabels(context.Background()) }

// briefly is how many groups without a sync are measured as one: to look at the clock, and to
// count, would take a good part of one.
const briefly = 16

// commit returns how long it took, 0 where the group was alone and nothing depends on that.
func (c *committer) commit(group []*request) time.Duration {
	w, counts, alone := c.writer, uint64(1), c.crowd <= 1
	if w.store.options.Sync != SyncAlways || group[0].lazy {
		if c.brief++; c.brief%briefly != 0 {
			counts = 0
		}
		counts *= briefly
	}
	if alone && counts == 0 {
		w.commit(group)
		return 0
	}
	w.began = time.Now()
	w.commit(group)
	took := time.Since(w.began)
	w.began = time.Time{}
	if counts > 0 && w.poisoned() == nil {
		c.writes.add(took, counts)
	}
	if alone {
		return 0
	}
	return took
}

// linger yields to the callers that were answered last, until as many have queued as there were
// then, or none comes any more, or it has taken most of the time that their sync took. What is
// written does not depend on it, only in how many groups. One caller alone never lingers.
func (c *committer) linger() {
	if c.crowd <= 1 || c.took == 0 {
		return
	}
	began := time.Now()
	for queued, fruitless := 0, 0; fruitless < lingerYields; {
		runtime.Gosched()
		c.mu.Lock()
		now := c.queue.length
		c.mu.Unlock()
		if now >= c.crowd || time.Since(began) > c.took*3/4 {
			return
		}
		if fruitless++; now > queued {
			queued, fruitless = now, 0
		}
	}
}

// take removes the next group from the queue. A commit whose admission must read what the commits
// before it wrote (it has a key that stands in the group already) starts a group of its own, and
// one that ends a fence is a group.
func (c *committer) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	group, bytes := c.group[:0], 0
	var keys map[string]struct{}
	for req := c.queue.first; req != nil; req = c.queue.first {
		bytes += req.size
		if len(group) > 0 && (req.ends() || bytes > maxGroupBytes) {
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
		c.queue.remove(req)
		if group = append(group, req); req.ends() {
			break
		}
	}
	c.group, c.taken = group, group
	return group
}

// answer wakes the owners of a finished group, or calls them. When own is done it passes on the
// role, or frees it, and returns true.
func (c *committer) answer(group []*request, own *request, took time.Duration) bool {
	c.mu.Lock()
	c.crowd, c.took, c.taken = len(group)+c.queue.length, took, nil
	c.tally = c.writer.tally
	for _, req := range group {
		if req.done = true; req.err != nil {
			c.refused++
		}
	}
	c.mu.Unlock()
	for i, req := range group {
		group[i] = nil
		switch {
		case req == own:
		case req.answer != nil:
			c.tell(req)
		default:
			req.wake <- struct{}{}
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.queue.first
	if next == nil {
		c.leading = false
		c.armTimer()
		c.idle.Broadcast()
		return true
	}
	switch {
	case own == nil || !own.done:
		return false
	case next.answer != nil: // its owner is not there to lead
		go c.leadForOthers()
	default:
		next.lead = true
		next.wake <- struct{}{}
	}
	return true
}

// tell calls the owner of a request that is done, and hands its memory to the pool.
func (c *committer) tell(req *request) {
	answer, receipt, err := req.answer, req.receipt, req.err
	c.writer.store.requests.put(req)
	answer(receipt, err)
}

// armTimer starts the clock for bytes that no caller waits for: lazy commits, and SyncInterval. mu
// is held, so that no other goroutine can take the role while the writer is looked at. When the
// timer fires it submits an empty request like any caller, and so syncs in its turn.
func (c *committer) armTimer() {
	delay, needed := c.writer.syncDelay()
	if !needed || c.timer != nil || c.closed {
		return
	}
	c.timer = time.AfterFunc(delay, func() {
		c.mu.Lock()
		c.timer = nil
		c.mu.Unlock()
		req := newRequest() // empty: it only syncs
		_ = c.submit(context.Background(), req)
	})
}

// close lets queued commits finish, refuses new ones, and keeps the role, so that
// the writer belongs to the caller of close from then on.
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
	c.patience.end()
}
