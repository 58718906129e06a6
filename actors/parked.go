package actors

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store"
)

// What a commit does itself for the workers that wait: for more it leaves them to the store actor.
// A look for an event takes less than a microsecond, and so does a wake-up. Many workers may wait
// for the kind of an event and want none of another tenant: a look at one of them takes some tens
// of nanoseconds.
const (
	maxOutlines = 64
	maxWakes    = 64
	maxLooks    = 16 * maxWakes
)

// effort is what the matching of events may still do. The zero value is no more.
type effort struct{ looks, wakes int }

// unboundedEffort is that of the store actor, which holds nothing up.
func unboundedEffort() *effort { return &effort{math.MaxInt, math.MaxInt} }

// parkedPulls are the pulls that found nothing. Only the store actor parks one. It is woken by the
// goroutine that commits what it waits for: that has the terms of its events in memory, so that
// between a commit and the worker nothing is read, and no other goroutine runs.
//
//	commit --Published--> parkedPulls --bounds--> worker
//	                          |
//	                          +--headMoved--> store actor --bounds--> worker
//	                     where a commit has too many events, wakes too many workers, or would wait
//
// No wake-up is lost. A commit moves the head before it looks at the pulls; the store actor parks a
// pull before it looks at the head: so one of them sees the other. A commit that leaves its events
// to the store actor does not advance scanned, and one that finds others left does as they did.
type parkedPulls struct {
	sys *System
	n   atomic.Int32 // pulls that are parked: a commit beside none looks no further
	// waking is set where headMoved is sent, and cleared by the store actor before it scans: at most
	// one such message waits, and no move of the head is missed.
	waking atomic.Bool

	mu      sync.Mutex       // held to look at the pulls, never while the log is read; a commit never waits for it
	scanned store.Position   // no parked pull matches an event up to here
	segment uint32           // that was written when parked workers last wrote their position
	pulls   map[string]*pull // by its worker's actor, which has one at most
	erased  uint64           // the store's number of erasures that all parked pulls were woken for
	// byTerm has each parked pull under every term of its region: an event of the region has one of
	// them.
	byTerm map[store.Term]pulls
}

func newParkedPulls(sys *System) *parkedPulls {
	return &parkedPulls{
		sys:     sys,
		segment: store.LastSegment(sys.store),
		erased:  store.Erasures(sys.store),
		pulls:   make(map[string]*pull),
		byTerm:  make(map[store.Term]pulls),
	}
}

// add parks a pull that found nothing up to the head.
func (t *parkedPulls) add(m *pull, head store.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unpark(m.worker.Id)
	if len(t.pulls) == 0 {
		t.scanned = head // not m.after: one worker that starts past the head would keep all others asleep until it is reached
	}
	t.pulls[m.worker.Id] = m
	for _, term := range m.region.Terms() {
		t.byTerm[term] = t.byTerm[term].with(m)
	}
	t.n.Store(int32(len(t.pulls)))
}

// remove takes a pull back, and reports whether it was parked.
func (t *parkedPulls) remove(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unpark(id)
}

// unpark is called with mu held, as all that follows up to wake.
func (t *parkedPulls) unpark(id string) bool {
	p := t.pulls[id]
	if p == nil {
		return false
	}
	delete(t.pulls, id)
	for _, term := range p.region.Terms() {
		if t.byTerm[term] = t.byTerm[term].without(p); t.byTerm[term].empty() {
			delete(t.byTerm, term)
		}
	}
	t.n.Store(int32(len(t.pulls)))
	return true
}

// match wakes the pulls with a region that contains e. It reports false where that would have been
// more than it may do, and some of them still wait.
func (t *parkedPulls) match(e *store.Event, head store.Position, may *effort) (all bool) {
	for term := range e.Terms() {
		for p := range t.byTerm[term].all() {
			if may.looks--; may.looks < 0 {
				return false
			}
			if e.Position <= p.after || !p.region.Matches(*e) {
				continue
			}
			if may.wakes--; may.wakes < 0 {
				return false
			}
			t.wake(p, head)
		}
	}
	return true
}

func (t *parkedPulls) wake(p *pull, head store.Position) {
	t.unpark(p.worker.Id)
	t.sys.actors.Root.Send(p.worker, &bounds{incarnation: p.incarnation, upTo: head})
}

// Published implements [store.Watcher].
func (t *parkedPulls) Published(p *store.Publication) {
	if t.n.Load() > 0 && !t.wakeDirectly(p) {
		t.scan()
	}
}

// scan has the store actor wake workers for what is new.
func (t *parkedPulls) scan() {
	if t.waking.CompareAndSwap(false, true) {
		t.sys.actors.Root.Send(t.sys.storeActor, &headMoved{})
	}
}

// Ended implements [store.Watcher].
func (t *parkedPulls) Ended(err error) { t.sys.actors.Root.Send(t.sys.root, &storeFailed{err: err}) }

// wakeDirectly reports whether all workers are woken that a commit concerns, and none has to write
// its position: else that is for the store actor.
func (t *parkedPulls) wakeDirectly(p *store.Publication) bool {
	if p.Late || p.Head-p.After > maxOutlines || !t.mu.TryLock() {
		return false
	}
	defer t.mu.Unlock()
	if t.scanned < p.After || t.segment != p.Segment || t.erased != store.Erasures(t.sys.store) {
		return false
	}
	may := effort{looks: maxLooks, wakes: maxWakes}
	for e := range p.Outlines() {
		if !t.match(&e, p.Head, &may) {
			return false
		}
	}
	t.scanned = max(t.scanned, p.Head)
	return true
}

// behind returns the position up to which nothing is to be woken, and whether there may be a pull
// to be woken for what follows up to the head.
func (t *parkedPulls) behind(head store.Position) (from store.Position, parked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scanned, len(t.pulls) > 0 && head > t.scanned
}

// advance notes that the workers are woken that what lies up to the head concerns.
func (t *parkedPulls) advance(head store.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scanned = max(t.scanned, head)
}

// wakeFor wakes the workers that an event concerns. It keeps nothing of the event.
func (t *parkedPulls) wakeFor(e *store.Event, head store.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.match(e, head, unboundedEffort())
}

func (t *parkedPulls) wakeAll(head store.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.pulls {
		t.wake(p, head)
	}
}

// wakeErased wakes all where something was erased: it may have left any of them something to do,
// see cursor.Remind.
func (t *parkedPulls) wakeErased(head store.Position) {
	now := store.Erasures(t.sys.store)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.erased == now {
		return
	}
	t.erased = now
	for _, p := range t.pulls {
		t.wake(p, head)
	}
}

func (t *parkedPulls) waits(term store.Term) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.byTerm[term].empty()
}

func (t *parkedPulls) wakeTerm(term store.Term, head store.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.byTerm[term].all() {
		t.wake(p, head)
	}
}

// persist has parked workers write how far they have read, once per segment: otherwise the
// checkpoint of a worker with a rare region would never move, and a restart would scan all segments
// since.
func (t *parkedPulls) persist(segment uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if segment == t.segment {
		return
	}
	t.segment = segment
	for _, p := range t.pulls {
		t.sys.actors.Root.Send(p.worker, &persist{p.incarnation})
	}
}
