package cursor

import (
	"context"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// suspension is of which dependencies no event is handled, but for probes: of none in nearly all
// workers, and of none where it is nil.
type suspension struct {
	own   *owner
	names map[string]struct{}
}

func (s *suspension) empty() bool { return s == nil || len(s.names) == 0 }

// holds reports whether an event waits.
func (s *suspension) holds(e *store.Event) bool {
	if s.empty() {
		return false
	}
	_, waits := s.names[s.own.dependency(e)]
	return waits
}

// before returns how many of the first n events of a queue come before one that waits, but for the
// first, which may be a probe.
func (s *suspension) before(q *queue, n int) int {
	if s.empty() {
		return n
	}
	for i := 1; i < n; i++ {
		if s.holds(&q.events[i]) {
			return i
		}
	}
	return n
}

// dependency of an event. A function that panics is no reason to stop the worker: order does not
// depend on it.
func (o *owner) dependency(e *store.Event) string {
	name := e.Kind
	if o.worker.Dependency == nil {
		return name
	}
	err := isolate(context.Background(), nil, func() error {
		name = o.worker.Dependency(*e)
		return nil
	})
	if err != nil {
		return e.Kind
	}
	return name
}

// Subject is what the outcome of an event says something about.
type Subject struct {
	Event           store.Position
	Key, Dependency string
}

// Dependencies is the part of a [Runner] that knows what its events depend on, and keeps them from
// being handled in an outage. It decides nothing: package drive does.
type Dependencies struct{ r *Runner }

// DependenciesOf returns that part of a runner.
func DependenciesOf(r *Runner) Dependencies { return Dependencies{r} }

// Failed returns the subject of an event that failed and waits for a decision.
func (d Dependencies) Failed(first store.Position) Subject {
	if q := d.r.next.failed(first); q != nil {
		return d.subjects(q.events[:1])[0]
	}
	return Subject{Event: first}
}

// Handled returns the subjects of the events that the handler of a finished task was done with.
func (d Dependencies) Handled(t *Task) []Subject { return d.subjects(t.batch.events[:t.good]) }

// subjects of some events. Where a key cannot be known that is met when the event is handled, and
// the entity stands for it here.
func (d Dependencies) subjects(events []store.Event) []Subject {
	keys, _ := d.r.own.keys(events)
	list := make([]Subject, len(events))
	for i := range events {
		e := &events[i]
		list[i] = Subject{Event: e.Position, Key: e.Coordinate.Entity, Dependency: d.r.own.dependency(e)}
		if i < len(keys) {
			list[i].Key = keys[i]
		}
	}
	return list
}

// Suspend keeps the events of a dependency from being handled, and what comes after them in their
// queue: that of their key with lanes, else all. [Runner.Next] leaves them out.
func (d Dependencies) Suspend(dependency string) {
	s := &d.r.waits
	if s.names == nil {
		s.names = make(map[string]struct{})
	}
	s.names[dependency] = struct{}{}
}

// Release ends that.
func (d Dependencies) Release(dependency string) {
	r := d.r
	delete(r.waits.names, dependency)
	for q := range r.win.queues() {
		q.release()
		r.win.list(q)
	}
	for _, k := range r.list.keys {
		k.queue.release()
	}
}

// Probe takes one event of a suspended dependency, also one that failed: among those that come
// first in their queue the first after a position, or the first of all. It returns nil where none
// can be handled now. Errors are those of [Runner.Next].
func (d Dependencies) Probe(ctx context.Context, dependency string, after store.Position) (*Task, error) {
	if ready, err := readyToTake(ctx, d.r); !ready {
		return nil, err
	}
	var best *queue
	for q, err := range d.candidates(ctx, dependency) {
		if err != nil {
			return nil, err
		}
		if best == nil || sooner(q.events[0].Position, best.events[0].Position, after) {
			best = q
		}
	}
	return taken(ctx, d.r, best, 1)
}

// sooner reports whether it is the turn of a before that of b, once it was that of last.
func sooner(a, b, last store.Position) bool {
	if (a > last) != (b > last) {
		return a > last
	}
	return a < b
}

// candidates yields the queues that begin with an event of a dependency and have nothing in flight.
func (d Dependencies) candidates(ctx context.Context, dependency string) func(func(*queue, error) bool) {
	r := d.r
	fits := func(q *queue) bool {
		return !q.busy() && len(q.events) > 0 && r.own.dependency(&q.events[0]) == dependency
	}
	return func(yield func(*queue, error) bool) {
		for q := range r.win.queues() {
			if fits(q) && !yield(q, nil) {
				return
			}
		}
		for _, k := range r.list.replays {
			if k.queue.busy() || r.replay.early(k.entries[0], r.win.floor()) {
				continue
			}
			err := r.replay.load(ctx, k, r.win.floor(), 1)
			if (err != nil || fits(&k.queue)) && !yield(&k.queue, err) {
				return
			}
		}
	}
}

// Parked reports whether an event is parked, and not about to be handled again.
func (d Dependencies) Parked(event store.Position) bool {
	entry := d.r.list.at[event]
	return entry != nil && !entry.Replaying
}

// ProbeParked takes a parked event that failed, where it is: if it fails again nothing changes, and
// if it is handled so is what is held for it. It returns nil where the event is not parked any
// more, or is to be handled again anyway. Errors are those of [Runner.Next].
func (d Dependencies) ProbeParked(ctx context.Context, event store.Position) (*Task, error) {
	r := d.r
	if !d.Parked(event) {
		return nil, nil
	}
	entry := r.list.at[event]
	k := r.list.keys[entry.Key]
	if k.entries[0] != entry || k.queue.busy() || r.replay.early(k.entries[0], r.win.floor()) {
		return nil, nil
	}
	if ready, err := readyToTake(ctx, r); !ready {
		return nil, err
	}
	if err := r.replay.load(ctx, k, r.win.floor(), 1); err != nil {
		return nil, err
	}
	return taken(ctx, r, &k.queue, 1)
}

// Defer lets what follows an event that failed be handled before it, but for what is of its key:
// that is held for it. They are on the list of what is parked, to be handled again, so that no
// crash loses them; none of them counts as failed. It is durable with the next [Runner.Commit]. It
// reports false, and changes nothing, where the worker has lanes or no checkpoint, where the event
// was parked before, where there is no room to park, or where that much is to be handled again
// already.
func (d Dependencies) Defer(first store.Position, most int) bool {
	r := d.r
	q := r.next.failed(first)
	if q == nil || q.parked || r.own.laned() || r.own.lease == nil || len(r.list.replays) >= most || !r.park.deferred(q) {
		return false
	}
	r.guard.forget(first)
	r.next.release(q)
	return true
}

// deferred moves the first event of a queue to the list of what is to be handled again.
func (p *parking) deferred(q *queue) bool {
	e := q.events[0]
	key, after, err := p.sameKey(q)
	if err != nil || p.checkRoom(key, 1+len(after), e.Position) != nil {
		return false
	}
	p.add(&e, &checkpoint.Parked{Key: key, Held: true, Replaying: true})
	if p.own.external() {
		p.list.sort(key)
	}
	p.win.pop(q, 1)
	p.holdAfter(q, key, after)
	return true
}

// TakeBack lets parked events be handled again, with what is held for them. It is durable with the
// next [Runner.Commit].
func (d Dependencies) TakeBack(events []store.Position) { d.r.park.takeBack(events) }

// Doubt notes whether something else than a parked event may be to blame for its failure: then the
// next runner handles it again. It is durable with the next [Runner.Commit].
func (d Dependencies) Doubt(event store.Position, is bool) { d.r.park.doubt(event, is) }
