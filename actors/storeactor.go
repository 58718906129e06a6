package actors

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/store"
)

// wakeScan is how many new events the store actor reads to find the workers that they concern. For
// more it wakes all workers: a needless wake-up costs a poll.
const wakeScan = 4096

// wakeBytes bounds the same work for large events, by their payloads.
const wakeBytes = 16 << 20

// storeActor answers pulls with bounds and parks those that find nothing. Most are woken by the
// commit itself, see [parkedPulls]; it reads events to find the pulls that they match where that
// would have held up a commit, and where the store is written by another process. Workers read
// their pages themselves. All fields belong to its goroutine.
type storeActor struct {
	sys *System
}

// Receive implements actor.Actor.
func (a *storeActor) Receive(c actor.Context) {
	defer a.sys.recoverPanic(c)
	switch m := c.Message().(type) {
	case *pull:
		a.pull(m)
	case *forget:
		a.sys.parked.remove(m.worker.Id)
	case *headMoved:
		a.sys.parked.waking.Store(false) // before the scan: a later move sends again
		a.scanNew()
	}
}

// pull answers with the head, if that is past what the worker has read; a poll of its region costs
// the worker next to nothing. Otherwise it parks the pull, and only then looks at the head again: a
// commit that did not find the pull has moved it before.
func (a *storeActor) pull(m *pull) {
	head := a.sys.store.Head()
	if head <= m.after {
		a.sys.parked.add(m, head)
		head = a.sys.store.Head()
		if head <= m.after || !a.sys.parked.remove(m.worker.Id) { // it was woken meanwhile
			return
		}
	}
	a.sys.actors.Root.Send(m.worker, &bounds{incarnation: m.incarnation, upTo: head})
}

// scanNew wakes the workers that concern what is new and no commit has woken.
func (a *storeActor) scanNew() {
	head := a.sys.store.Head()
	from, parked := a.sys.parked.behind(head)
	if parked {
		a.sys.parked.wakeErased(head)
		a.wakeReserved(from, head)
		a.wakeMatching(from, head)
	}
	a.sys.parked.advance(head)
	a.sys.parked.persist(store.LastSegment(a.sys.store))
}

// wakeMatching reads what is new and wakes the workers that it concerns; all of them when there is
// too much of it, or when it cannot be read: then the workers meet the damage too, and report its
// position.
func (a *storeActor) wakeMatching(from, head store.Position) {
	if head-from > wakeScan {
		a.sys.parked.wakeAll(head)
		return
	}
	left := wakeBytes
	for e, err := range a.sys.store.Scan(context.Background(), store.Region{}, store.After(from)) {
		switch {
		case err != nil || left < 0:
			a.sys.parked.wakeAll(head)
			return
		case e.Position > head || a.sys.parked.n.Load() == 0: // what is newer has a scan of its own
			return
		}
		a.sys.parked.wakeFor(e, head)
		left -= len(e.Payload)
	}
}

// wakeReserved wakes workers that read Penstock's own events, which reading everything leaves out.
func (a *storeActor) wakeReserved(from, head store.Position) {
	if !a.sys.parked.waits(reservedTerm) {
		return
	}
	n, err := a.sys.store.Count(context.Background(), store.Region{Scope: store.ReservedScope}, from, head, 1)
	if n > 0 || err != nil {
		a.sys.parked.wakeTerm(reservedTerm, head)
	}
}

//nolint:gochecknoglobals // nothing changes it
var reservedTerm = store.Region{Scope: store.ReservedScope}.Terms()[0]

// watchHead has commits wake the workers from now on. A store that is opened read-only has none:
// for it there is the waker, the one goroutine of a system, which waits for the head and ends with
// the system, or when the store does.
func watchHead(s *System) {
	stop, err := store.Watch(s.store, s.parked)
	if err == nil {
		context.AfterFunc(s.life, stop)
		s.parked.scan() // for what was committed before
		return
	}
	head := s.store.Head()
	s.waker.Go(func() {
		for {
			next, err := s.store.Wait(s.life, head)
			if s.life.Err() != nil {
				return
			}
			if err != nil {
				s.parked.Ended(err)
				return
			}
			head = next
			s.parked.scan()
		}
	})
}
