package cursor

import (
	"context"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// suspension is of which dependencies no event is handled, but for probes: of none in nearly all
// workers, and of none where it is nil.
type suspension struct {
	own    *owner
	names  map[string]struct{}
	failed func(store.Position) (dependency string, is bool) // set with the first of names
}

func (s *suspension) empty() bool { return s == nil || len(s.names) == 0 }

// holds reports whether an event waits.
func (s *suspension) holds(e *store.Event) bool {
	if s.empty() || s.own.emission.given[e.Position] != nil { // which needs none
		return false
	}
	name, failed := s.failed(e.Position)
	if !failed {
		name = s.own.dependency(e)
	}
	_, waits := s.names[name]
	return waits
}

// fresh reports whether an event has not failed and is of a dependency.
func (s *suspension) fresh(e *store.Event, dependency string) bool {
	_, failed := s.failed(e.Position)
	return !failed && s.own.emission.given[e.Position] == nil && s.own.dependency(e) == dependency
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
		return d.subjects(q, q.events[:1])[0]
	}
	return Subject{Event: first}
}

// Handled returns the subjects of the events that the handler of a finished task was done with:
// what was given up says nothing.
func (d Dependencies) Handled(t *Task) []Subject {
	if t.givesUp() != nil {
		return nil
	}
	return d.subjects(t.queue, t.batch.events[:t.good])
}

// subjects of some events of a queue. Where a key cannot be known that is met when the event is
// handled, and the entity stands for it here.
func (d Dependencies) subjects(q *queue, events []store.Event) []Subject {
	var keys []string
	one := q.parked || d.r.own.laned()
	if !one {
		keys, _ = d.r.own.keys(events)
	}
	list := make([]Subject, len(events))
	for i := range events {
		e := &events[i]
		list[i] = Subject{Event: e.Position, Key: e.Coordinate.Entity, Dependency: d.r.own.dependency(e)}
		switch {
		case one:
			list[i].Key = q.key
		case i < len(keys):
			list[i].Key = keys[i]
		}
	}
	return list
}

// Suspend keeps the events of a dependency from being handled, and what comes after them in their
// queue: that of their key with lanes, else all. [Runner.Next] leaves them out. What an event that
// failed depends on is what failed says: the worker's function may say something else each time,
// and then nothing would ever try it again.
func (d Dependencies) Suspend(dependency string, failed func(store.Position) (dependency string, is bool)) {
	s := &d.r.waits
	if s.names == nil {
		s.names = make(map[string]struct{})
	}
	s.names[dependency], s.failed = struct{}{}, failed
	for event := range d.r.own.emission.given { // which is tried again instead
		if name, is := failed(event); is && name == dependency {
			delete(d.r.own.emission.given, event)
		}
	}
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

// Probe takes one event of a suspended dependency that has not failed yet: the first one that was
// read and is the first of its queue, else the oldest of those that are to be handled again. It
// returns nil where there is none. Errors are those of [Runner.Next].
func (d Dependencies) Probe(ctx context.Context, dependency string) (*Task, error) {
	if ready, err := readyToTake(ctx, d.r); !ready {
		return nil, err
	}
	q := d.unread(dependency)
	var err error
	if q == nil {
		q, err = d.unreplayed(ctx, dependency)
	}
	if err != nil {
		return nil, err
	}
	return taken(ctx, d.r, q, 1)
}

// unread returns the queue of the window for Probe, nil for none.
func (d Dependencies) unread(dependency string) (best *queue) {
	for q := range d.r.win.queues() {
		switch {
		case !q.waits(), len(q.events) == 0, best != nil && best.events[0].Position < q.events[0].Position:
		case d.r.waits.fresh(&q.events[0], dependency):
			best = q
		}
	}
	return best
}

// unreplayed returns the queue of parked events for Probe, nil for none.
func (d Dependencies) unreplayed(ctx context.Context, dependency string) (*queue, error) {
	keys := slices.SortedFunc(maps.Values(d.r.list.replays), func(a, b *parkedKey) int {
		return byPosition(*a.entries[0], *b.entries[0])
	})
	for _, k := range keys {
		if _, failed := d.r.waits.failed(k.entries[0].Position); failed {
			continue
		}
		q, err := d.first(ctx, k)
		if err != nil || q != nil && d.r.waits.fresh(&q.events[0], dependency) {
			return q, err
		}
	}
	return nil, nil
}

// first returns the queue of a key with its first parked event, nil where that cannot be handled
// now.
func (d Dependencies) first(ctx context.Context, k *parkedKey) (*queue, error) {
	floor := d.r.win.floor()
	if !k.queue.waits() || d.r.replay.early(k.entries[0], floor) {
		return nil, nil
	}
	k.queue.unload()
	return &k.queue, d.r.replay.load(ctx, k, floor, 1)
}

// ProbeAt takes an event that failed, whatever is suspended: one that comes first in its queue, or
// the first parked one of its key where it is. If a parked one fails again nothing changes, and if
// it is handled so is what is held for it. It returns nil where the event cannot be handled now.
// Errors are those of [Runner.Next].
func (d Dependencies) ProbeAt(ctx context.Context, event store.Position) (*Task, error) {
	r := d.r
	if ready, err := readyToTake(ctx, r); !ready {
		return nil, err
	}
	if entry := r.list.at[event]; entry != nil {
		k := r.list.keys[entry.Key]
		if k.entries[0] != entry {
			return nil, nil
		}
		q, err := d.first(ctx, k)
		if err != nil {
			return nil, err
		}
		return taken(ctx, r, q, 1)
	}
	return taken(ctx, r, d.beginning(event), 1)
}

// beginning returns the queue of the window that begins with an event and can be handled, nil for
// none.
func (d Dependencies) beginning(event store.Position) *queue {
	for q := range d.r.win.queues() {
		if q.waits() && len(q.events) > 0 && q.events[0].Position == event {
			return q
		}
	}
	return nil
}

// Waits reports whether an event was read, or is to be handled again, and is not done.
func (d Dependencies) Waits(event store.Position) bool {
	if entry := d.r.list.at[event]; entry != nil {
		return entry.Replaying
	}
	return d.r.win.done.has(event)
}

// HoldsUp reports whether others wait for an event that failed: of its key, or all that is not read
// yet, or has no key yet.
func (d Dependencies) HoldsUp(event store.Position) bool {
	if entry := d.r.list.at[event]; entry != nil {
		return len(d.r.list.keys[entry.Key].entries) > 1
	}
	q := d.r.next.failed(event)
	return q != nil && (len(q.events) > 1 || d.r.feed.barred() || d.r.feed.room(0) <= 0 && d.r.win.at.scanned < d.r.own.st.Head())
}

// Parked reports whether an event is parked, and not about to be handled again.
func (d Dependencies) Parked(event store.Position) bool {
	entry := d.r.list.at[event]
	return entry != nil && !entry.Replaying
}

// Defer lets what follows an event that failed be handled before it, but for what is of its key:
// that is held for it. They are on the list of what is parked, to be handled again, so that no
// crash loses them; none of them counts as failed. It is durable with the next [Runner.Commit]. It
// reports false, and changes nothing, where the worker has no checkpoint, where the event was
// parked before, where there is no room to park, or where nothing would be gained: with lanes while
// there is room to read on, or where all that was read is of its key. The latter is no reason where
// more is wanted: what is not read yet may be of others.
func (d Dependencies) Defer(first store.Position, more bool) bool {
	r := d.r
	q := r.next.failed(first)
	if q == nil || q.parked || r.own.lease == nil || r.own.laned() && r.feed.room(0) > 0 || !r.park.deferred(q, more) {
		return false
	}
	r.guard.forget(first)
	r.next.release(q)
	r.win.turn = true // it has had its turn
	return true
}

// deferred moves the first event of a queue to the list of what is to be handled again.
func (p *parking) deferred(q *queue, more bool) bool {
	e := q.events[0]
	key, after, err := p.sameKey(q)
	alone := !more && !p.own.laned() && len(after) > 0 && 1+len(after) == len(q.events)
	if err != nil || alone || p.checkRoom(key, 1+len(after), e.Position) != nil {
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
