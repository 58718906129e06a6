package actors

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/store"
)

// wakeScan is how many new events the store actor reads to find the workers that they concern. For
// more it wakes all workers: a needless wake-up costs a poll.
const wakeScan = 4096

// wakePages bounds the work in bytes: large events fill a page of the store before wakeScan is
// reached.
const wakePages = 4

// storeActor answers pulls with bounds and parks those that find nothing. It reads events only to
// find the parked pulls that they match; workers read their pages themselves. All fields belong to
// its goroutine.
type storeActor struct {
	sys      *System
	scanned  store.Position         // no parked pull matches an event up to here
	segments int                    // of the store, when parked workers last wrote their position
	parked   map[string]*parkedPull // by id of the worker's actor, at most one each
	// byTerm has each parked pull under every term of its region: an event of the region has one of
	// them.
	byTerm map[store.Term]pulls
}

type parkedPull struct {
	*pull
	terms []store.Term
}

func newStoreActor(sys *System) *storeActor {
	return &storeActor{
		sys:      sys,
		segments: sys.store.Stats().Segments,
		parked:   make(map[string]*parkedPull),
		byTerm:   make(map[store.Term]pulls),
	}
}

// Receive implements actor.Actor.
func (a *storeActor) Receive(c actor.Context) {
	defer a.sys.recoverPanic(c)
	switch m := c.Message().(type) {
	case *pull:
		a.pull(c, m)
	case *forget:
		a.unpark(m.worker.Id)
	case *headMoved:
		a.sys.waking.Store(false) // before the scan: a later move sends again
		a.scanNew(c)
	}
}

// pull answers with the head, if that is past what the worker has read; a poll of its region costs
// the worker next to nothing. Otherwise it parks the pull, and only then scans what is new: a scan
// before would pass events that were appended since the worker read, and the worker would not be
// woken for them.
func (a *storeActor) pull(c actor.Context, m *pull) {
	head := a.sys.store.Head()
	if head > m.after {
		c.Send(m.worker, &bounds{incarnation: m.incarnation, upTo: head})
		return
	}
	if len(a.parked) == 0 {
		a.scanned = head // not m.after: one worker that starts past the head would keep all others asleep until it is reached
	}
	a.park(m)
	if a.sys.store.Head() > a.scanned {
		a.scanNew(c)
	}
}

func (a *storeActor) park(m *pull) {
	a.unpark(m.worker.Id)
	p := &parkedPull{pull: m, terms: m.region.Terms()}
	a.parked[m.worker.Id] = p
	for _, t := range p.terms {
		a.byTerm[t] = a.byTerm[t].with(p)
	}
}

func (a *storeActor) unpark(id string) {
	p := a.parked[id]
	if p == nil {
		return
	}
	delete(a.parked, id)
	for _, t := range p.terms {
		if a.byTerm[t] = a.byTerm[t].without(p); a.byTerm[t].empty() {
			delete(a.byTerm, t)
		}
	}
}

// scanNew wakes the workers that the events after scanned concern.
func (a *storeActor) scanNew(c actor.Context) {
	head := a.sys.store.Head()
	if len(a.parked) > 0 && head > a.scanned {
		a.wakeReserved(c, head)
		a.wakeMatching(c, head)
	}
	a.scanned = max(a.scanned, head)
	a.persistParked(c)
}

// wakeMatching reads what is new and wakes the workers that it concerns; all of them when there is
// too much of it, or when it cannot be read: then the workers meet the damage too, and report its
// position.
func (a *storeActor) wakeMatching(c actor.Context, head store.Position) {
	pages := 0
	for at := a.scanned; at < head && len(a.parked) > 0; pages++ {
		if head-at > wakeScan || pages == wakePages {
			a.wakeAll(c, head)
			return
		}
		page, err := a.sys.store.ReadPage(context.Background(), store.Region{}, at, head, wakeScan)
		if err != nil {
			a.wakeAll(c, head)
			return
		}
		for i := range page.Events {
			a.wakeFor(c, &page.Events[i], head)
		}
		at = page.Scanned
	}
}

// wakeReserved wakes workers that read Penstock's own events, which reading everything leaves out.
func (a *storeActor) wakeReserved(c actor.Context, head store.Position) {
	reserved := store.Region{Scope: store.ReservedScope}
	t := reserved.Terms()[0]
	if a.byTerm[t].empty() {
		return
	}
	n, err := a.sys.store.Count(context.Background(), reserved, a.scanned, head, 1)
	if n > 0 || err != nil {
		for p := range a.byTerm[t].all() {
			a.wake(c, p, head)
		}
	}
}

// wakeFor wakes the parked pulls with a region that contains e.
func (a *storeActor) wakeFor(c actor.Context, e *store.Event, head store.Position) {
	for t := range e.Terms() {
		for p := range a.byTerm[t].all() {
			if e.Position > p.after && p.region.Matches(*e) {
				a.wake(c, p, head)
			}
		}
	}
}

func (a *storeActor) wakeAll(c actor.Context, head store.Position) {
	for _, p := range a.parked {
		a.wake(c, p, head)
	}
}

func (a *storeActor) wake(c actor.Context, p *parkedPull, head store.Position) {
	a.unpark(p.worker.Id)
	c.Send(p.worker, &bounds{incarnation: p.incarnation, upTo: head})
}

// persistParked has parked workers write how far they have read, once per segment: otherwise the
// checkpoint of a worker with a rare region would never move, and a restart would scan all segments
// since.
func (a *storeActor) persistParked(c actor.Context) {
	segments := a.sys.store.Stats().Segments
	if segments == a.segments {
		return
	}
	a.segments = segments
	for _, p := range a.parked {
		c.Send(p.worker, &persist{p.incarnation})
	}
}
