package cursor

import (
	"context"

	"github.com/penstock-io/penstock/store"
)

// schedule decides which queue is handled next.
type schedule struct {
	*shared
	replays *replays
	guard   *crashGuard
}

// next takes turns between what is parked and has to be handled again, and what is new. The event
// at which the process ended comes first: were others tried before it, the ends of processes at it
// could not be counted. It returns nil when nothing can be handled now, and leaves the turn as it
// is: how often a worker asks meanwhile is chance.
func (s *schedule) next(ctx context.Context) (*queue, error) {
	if q, err := s.marked(ctx); q != nil || err != nil {
		return q, err
	}
	if s.win.turn {
		if q := s.take(); q != nil {
			s.win.turn = false
			return q, nil
		}
	}
	if q, err := s.replays.next(ctx, s.win.floor()); q != nil || err != nil {
		s.win.turn = true
		return q, err
	}
	return s.take(), nil
}

// take returns the next queue of new events that can be handled, nil if there is none.
func (s *schedule) take() *queue {
	for {
		q := s.win.take()
		if q == nil || !s.replays.waits.holds(&q.events[0]) {
			return q
		}
		q.await()
	}
}

// marked returns the queue of the event at which a process ended, if that can be handled now.
func (s *schedule) marked(ctx context.Context) (q *queue, err error) {
	event := s.guard.marked()
	switch {
	case event == 0:
		return nil, nil
	case s.list.at[event] != nil:
		q, err = s.replays.at(ctx, event, s.win.floor())
	default:
		q = s.win.readyAt(event)
	}
	if q != nil && s.replays.waits.holds(&q.events[0]) {
		return nil, err
	}
	return q, err
}

// back puts a queue back that was returned by next and is not handled.
func (s *schedule) back(q *queue) { s.win.list(q) }

// release lets a queue be handled again, after the verdict on its first event.
func (s *schedule) release(q *queue) {
	q.decide()
	s.win.list(q)
}

// done takes back the queue of a task that is committed, as far as it can be. What of the task is
// not committed stays at the head of the queue: it is the event that failed, with all that follows
// it.
func (s *schedule) done(t *Task) {
	q := t.queue
	if q.limit > 0 && t.committed == t.Size() { // what failed is passed
		q.grow()
	}
	q.end()
	if q.parked {
		s.unlist(t)
		s.list.resume(q.key)
		return
	}
	s.guard.committed(t.committed)
	s.win.pop(q, t.committed)
	s.win.list(q)
}

// unlist takes what is committed of a task of parked events off their list: a commit that rests on
// that would park it again.
func (s *schedule) unlist(t *Task) {
	if t.queue.parked {
		s.list.handled(t.queue, t.committed-t.unlisted)
		t.unlisted = t.committed
	}
}

// undecided returns the queues that wait for a verdict.
func (s *schedule) undecided() (waiting []*queue) {
	for q := range s.win.queues() {
		if q.undecided() {
			waiting = append(waiting, q)
		}
	}
	for _, k := range s.list.keys {
		if k.queue.undecided() {
			waiting = append(waiting, &k.queue)
		}
	}
	return waiting
}

// failed finds the queue that waits for a verdict on an event, nil if there is none.
func (s *schedule) failed(first store.Position) *queue {
	is := func(q *queue) bool { return q.undecided() && q.events[0].Position == first }
	for q := range s.win.queues() {
		if is(q) {
			return q
		}
	}
	for _, k := range s.list.keys {
		if is(&k.queue) {
			return &k.queue
		}
	}
	return nil
}

// limitTo bounds the next batch of each queue, those of parked events included: an event that is
// replayed may be the one at which a batch failed as a whole.
func (s *schedule) limitTo(n int) {
	s.win.limitTo(n)
	for _, k := range s.list.keys {
		k.queue.limit = s.win.limit
	}
}

// caughtUp reports whether everything up to a position is done.
func (s *schedule) caughtUp(upTo store.Position) bool {
	return s.win.at.scanned >= upTo && len(s.win.done.undone) == 0 && !s.list.draining()
}

// idle reports whether nothing can be taken.
func (s *schedule) idle() bool { return s.win.ready.empty() && !s.list.draining() }
