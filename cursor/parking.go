package cursor

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// parking decides which events are parked, and writes what changes in the list to the outbox.
type parking struct {
	*shared
	out *outbox

	erasures uint64 // that the list knows of
}

// resume takes the position from a worker that keeps it itself. A rewind or widening of the
// checkpoint means nothing to it, and is refused rather than forgotten.
func (p *parking) resume(ctx context.Context) error {
	own := &p.own
	if !own.external() {
		return nil
	}
	if !own.lease.Pass().Empty() {
		return fmt.Errorf("the checkpoint was rewound or widened (checkpoint.Reset takes that back): %w", ErrExternalPosition)
	}
	start, err := startAt(ctx, own.st, own.worker.Start)
	if err != nil {
		return err
	}
	if err := p.load(); err != nil {
		return err
	}
	at, err := own.externalPosition(ctx, ResumeState{
		Ownership: own.batches.ownership, Store: own.st, Scanned: own.record().Floor(), Start: start.scanned,
		Parked: slices.Clone(p.list.positions()), Formerly: own.record().Formerly,
	})
	if err != nil {
		return own.failed(ErrNoPosition, err)
	}
	if head := own.st.Head(); at > head {
		return &checkpoint.PositionError{Err: checkpoint.ErrAhead, ID: own.lease.ID(), Position: at, Bound: head}
	}
	if record := own.lease.Record(); record.Delivered <= at && at < record.Scanned && len(record.Pending) == 0 {
		return nil // no event that matches lies between: the last one that was read is Delivered
	}
	own.lease.SetPosition(at)
	return nil
}

// load reads the list from the side values. What the owner before parked in doubt, and did not come
// to a conclusion about, is handled again, and so is what was too new for an owner before and is
// not for this one; and what is held for nothing, since a rewind took off the list what had failed.
func (p *parking) load() (err error) {
	if p.list, err = readParked(p.own.st, p.own.lease.ID()); err != nil {
		return err
	}
	var again []store.Position
	for _, e := range p.list.at {
		if e.Doubt || p.own.readable(e.Newer) {
			again = append(again, e.Position)
		}
	}
	for _, k := range p.list.keys {
		if k.orphaned() {
			again = append(again, k.entries[0].Position)
		}
	}
	p.takeBack(again)
	return nil
}

// takeBack lets parked events be handled again, with what is held for them alone.
func (p *parking) takeBack(events []store.Position) {
	for _, event := range events {
		entry := p.list.at[event]
		if entry == nil || entry.Replaying {
			continue
		}
		entry.Replaying = true
		p.list.free(entry.Key)
		p.out.side(entry.Write(p.own.lease.ID()))
		for _, one := range p.list.keys[entry.Key].freed() {
			p.out.side(one.Write(p.own.lease.ID()))
		}
	}
}

// doubt notes whether something else than a parked event may be to blame for its failure.
func (p *parking) doubt(event store.Position, is bool) {
	if entry := p.list.at[event]; entry != nil && entry.Doubt != is {
		entry.Doubt = is
		p.out.side(entry.Write(p.own.lease.ID()))
	}
}

// holds reports whether an event has to wait for others of its key. For a worker that keeps its
// position itself, those before the parked one need not: it passes them again where its own
// position is an older one.
func (p *parking) holds(key string, event store.Position) bool {
	k := p.list.keys[key]
	return k != nil && (!p.own.external() || event > k.entries[0].Position)
}

// checkRoom reports whether n events of a key can be parked, one of which is named. It is asked
// before anything changes, so that parking is all or nothing.
func (p *parking) checkRoom(key string, n int, event store.Position) error {
	keys, w := len(p.list.keys), p.own.worker
	if p.list.keys[key] == nil {
		keys++
	}
	err := checkRange("parked keys", keys, cmp.Or(w.MaxParkedKeys, defaultMaxParkedKeys))
	if err == nil {
		err = checkRange("parked events", len(p.list.at)+n, cmp.Or(w.MaxParked, defaultMaxParked))
	}
	if err != nil {
		return p.own.failedAt(event, ErrParkLimit, err)
	}
	return nil
}

// hold parks an event that did not fail, after those of its key: there is room. If the one before
// it is being handled again, so is this one.
func (p *parking) hold(key string, e *store.Event) {
	before := p.list.keys[key].entries
	if p.own.external() {
		n, _ := slices.BinarySearchFunc(before, e.Position, func(entry *checkpoint.Parked, at store.Position) int {
			return cmp.Compare(entry.Position, at)
		})
		before = before[:n]
	}
	p.add(e, &checkpoint.Parked{Key: key, Held: true, Replaying: before[len(before)-1].Replaying})
	if p.own.external() {
		p.list.sort(key)
	}
}

// add parks an event: it counts as done once that is committed. Whether its reactions were written
// in an earlier pass is kept with it, since the pass may be over when it is replayed.
func (p *parking) add(e *store.Event, entry *checkpoint.Parked) {
	entry.Position, entry.Since = e.Position, p.own.st.Now()
	entry.Replay, entry.EmitAgain = p.own.replayed(e)
	p.list.add(entry)
	p.out.side(entry.Write(p.own.lease.ID()))
	p.out.finish(e.Position)
}

// park parks the first event of a queue, which failed, and holds what follows of its key in the
// queue. After an error nothing is changed.
func (p *parking) park(q *queue, reason error, attempts int) error {
	e := q.events[0]
	key, after, err := p.sameKey(q)
	if err != nil {
		return err
	}
	if err := p.checkRoom(key, 1+len(after), e.Position); err != nil {
		return err
	}
	said := p.own.said(&e, reason)
	p.add(&e, &checkpoint.Parked{Key: key, Newer: p.own.newer(&e), Error: checkpoint.Clip(said), Attempts: attempts})
	if p.own.external() {
		p.list.sort(key)
	}
	p.auditParked(&e, key, said, attempts)
	p.win.pop(q, 1)
	p.holdAfter(q, key, after)
	return nil
}

// parkAgain parks the first event of a queue of parked events once more: it failed for good when it
// was handled again.
func (p *parking) parkAgain(q *queue, reason error, attempts int) {
	said := p.own.said(&q.events[0], reason)
	entries := p.list.fail(q.key, said, attempts, p.own.st.Now())
	entries[0].Newer = p.own.newer(&q.events[0])
	for _, entry := range entries {
		p.out.side(entry.Write(p.own.lease.ID()))
	}
	p.auditParked(&q.events[0], q.key, said, attempts)
	q.events, q.limit = nil, 0
}

// parkLost parks an event once more that cannot be handled again, since retention has dropped it.
func (p *parking) parkLost(entry *checkpoint.Parked, reason error) {
	for _, one := range p.list.fail(entry.Key, reason.Error(), entry.Attempts, p.own.st.Now()) {
		p.out.side(one.Write(p.own.lease.ID()))
	}
	p.out.audit(nil, checkpoint.AuditParked, checkpoint.Audit{
		Position: entry.Position, Key: entry.Key, Error: reason.Error(), Attempts: entry.Attempts,
	})
}

func (p *parking) auditParked(e *store.Event, key, said string, attempts int) {
	p.audit(e, checkpoint.AuditParked, checkpoint.Audit{
		Position: e.Position, Key: key, Error: said, Attempts: attempts,
	})
}

func (p *parking) audit(e *store.Event, kind string, a checkpoint.Audit) {
	if isAudited(e) {
		p.out.audit(e, kind, a)
	}
}

// skip discards the first event of a queue: it counts as done.
func (p *parking) skip(q *queue, reason error, attempts int) {
	e := q.events[0]
	p.audit(&e, checkpoint.AuditSkipped, checkpoint.Audit{Position: e.Position, Error: p.own.said(&e, reason), Attempts: attempts})
	if q.parked {
		id := p.own.lease.ID()
		p.out.side(checkpoint.Unpark(id, e.Position))
		for _, side := range p.list.resumed(id, p.list.at[e.Position]) {
			p.out.side(side)
		}
		p.list.handled(q, 1)
		p.list.resume(q.key)
		return
	}
	p.out.finish(e.Position)
	p.win.pop(q, 1)
}

// sameKey returns the key of the first event of a queue, and which of the others have it too,
// ascending. With lanes that is all of them; without, the queue is everything that was read.
func (p *parking) sameKey(q *queue) (key string, after []store.Position, err error) {
	if p.own.laned() {
		for i := range q.events[1:] {
			after = append(after, q.events[1+i].Position)
		}
		return q.key, after, nil
	}
	keys, err := p.own.keys(q.events)
	if err != nil {
		return "", nil, err
	}
	for i := range keys {
		if i > 0 && keys[i] == keys[0] {
			after = append(after, q.events[i].Position)
		}
	}
	return keys[0], after, nil
}

// holdAfter takes the given events out of a queue and holds them after those of their key. There is
// room: the caller has checked it for all of them.
func (p *parking) holdAfter(q *queue, key string, after []store.Position) {
	if len(after) == 0 {
		return
	}
	var rest []store.Event
	bytes := 0
	for i := range q.events {
		e := &q.events[i]
		if len(after) == 0 || after[0] != e.Position {
			rest = append(rest, *e)
			continue
		}
		after = after[1:]
		bytes += len(e.Payload)
		p.hold(key, e)
	}
	p.win.keep(q, rest, bytes)
}

// batch makes a batch of the first events of a queue.
func (p *parking) batch(q *queue, events []store.Event) Batch {
	n := len(events)
	b := Batch{events: events, own: p.own.batches, begun: -1}
	lend(&b)
	switch pass := p.own.pass(); {
	case q.parked:
		b.again = p.emittedOf(events)
	case !pass.Empty():
		b.again = &again{replayed: pass.Replayed, mutes: pass.Mutes}
	}
	if p.own.external() && !q.parked {
		if aside := p.list.before(events[n-1].Position); len(aside) > 0 {
			b.again = &again{aside: aside}
		}
	}
	return b
}

// emittedOf says which of some parked events have had their reactions written, and which of these
// do not emit again. The functions do not read the list: the handler may run beside changes of it.
func (p *parking) emittedOf(events []store.Event) *again {
	var emitted, silent []store.Position
	for i := range events {
		if entry := p.list.at[events[i].Position]; entry != nil && entry.Replay {
			emitted = append(emitted, entry.Position)
			if !entry.EmitAgain {
				silent = append(silent, entry.Position)
			}
		}
	}
	return &again{parked: true, replayed: among(emitted), mutes: among(silent)}
}

// among reports whether an event is in a list.
func among(list []store.Position) func(store.Event) bool {
	slices.Sort(list)
	return func(e store.Event) bool {
		_, found := slices.BinarySearch(list, e.Position)
		return found
	}
}

// retried returns the emitters of reactions to those of the first n events of a queue at which the
// handler ran before; nil where it did not, as in normal running. Of a former process counts what
// it left durably: attempts at parked events, and ends of the process. A handler reads the map on
// its goroutine, so it is not changed any more.
func (p *parking) retried(q *queue, n, crashes int) (by map[store.Position]*store.Emitter) {
	if !q.parked && crashes == 0 && len(p.own.emission.runs) == 0 {
		return nil
	}
	for i := range q.events[:n] {
		event := q.events[i].Position
		if entry := p.list.at[event]; q.parked && entry != nil && uint32(entry.Attempts) > p.own.emission.runs[event] {
			p.own.emission.count(event, uint32(entry.Attempts))
		}
		before := p.own.emission.runs[event] + uint32(crashes)
		if before == 0 {
			continue
		}
		if by == nil {
			by = make(map[store.Position]*store.Emitter)
		}
		again := *p.own.batches.emitter
		again.Attempt += before
		by[event] = &again
	}
	return by
}
