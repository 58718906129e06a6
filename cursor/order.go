package cursor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// parkedOrder is what an operator has decided about parked events, worked out on a list. Neither
// the list nor the log is changed by it: one commit writes what it says, and what runs beside then
// does the same to its list.
//
// It has one commit, however much it is: what a worker parks is less than a commit takes, by its
// number. Where it is too much by its bytes, the store refuses it, and a Max is the way.
type parkedOrder struct {
	list   *parkedList
	which  ParkedFilter
	chosen []*checkpoint.Parked // the entries that are selected, by position
	drop   bool                 // they are dropped, and not handled again
}

// replayOrder has selected events handled again: a key is taken whole, as each of its events waits
// for those before it.
func replayOrder(ctx context.Context, st *store.Store, list *parkedList, which ParkedFilter) (parkedOrder, error) {
	of := (*parkedKey).replayable
	if which.Max > 0 {
		of = (*parkedKey).waiting
	}
	chosen, err := which.selected(ctx, st, list, of)
	return parkedOrder{list: list, which: which, chosen: chosen}, err
}

// discardOrder drops selected events.
func discardOrder(ctx context.Context, st *store.Store, list *parkedList, which ParkedFilter) (parkedOrder, error) {
	chosen, err := which.selected(ctx, st, list, (*parkedKey).failed)
	return parkedOrder{list: list, which: which, chosen: chosen, drop: true}, err
}

// byKey returns the entries that are selected of each key.
func (o parkedOrder) byKey() map[string][]*checkpoint.Parked {
	keys := make(map[string][]*checkpoint.Parked)
	for _, e := range o.chosen {
		keys[e.Key] = append(keys[e.Key], e)
	}
	return keys
}

// keys that the order is about, sorted.
func (o parkedOrder) keys() []string { return slices.Sorted(maps.Keys(o.byKey())) }

// marked returns the entries that the order has handled again, by position.
func (o parkedOrder) marked() (marked []*checkpoint.Parked) {
	for key, chosen := range o.byKey() {
		k := o.list.keys[key]
		if !o.drop {
			marked = append(marked, k.entries...)
			continue
		}
		freed := k.freed(chosen...)
		marked = append(marked, slices.DeleteFunc(freed, func(e *checkpoint.Parked) bool { return e.Replaying })...)
	}
	slices.SortFunc(marked, func(a, b *checkpoint.Parked) int { return byPosition(*a, *b) })
	return marked
}

// touched returns copies of the entries that the order is about, as they are before it, by
// position.
func (o parkedOrder) touched() (all []checkpoint.Parked) {
	for _, e := range o.marked() {
		all = append(all, *e)
	}
	if o.drop {
		for _, e := range o.chosen {
			all = append(all, *e)
		}
	}
	slices.SortFunc(all, byPosition)
	return all
}

// sides are what the order writes to the list of a worker.
func (o parkedOrder) sides(id checkpoint.ID) (sides []store.SideWrite) {
	for _, e := range o.marked() {
		again := *e
		again.Replaying = true
		sides = append(sides, again.Write(id))
	}
	if o.drop {
		for _, e := range o.chosen {
			sides = append(sides, checkpoint.Unpark(id, e.Position))
		}
	}
	return sides
}

// batch is what the order writes for a worker: to its list, and its audit events. One of a replay,
// as each event that is handled again has one of its own then; and one of each that is dropped,
// since nothing else tells of it any more.
func (o parkedOrder) batch(id checkpoint.ID, q checkpoint.Request) store.Batch {
	b := store.Batch{Sides: o.sides(id)}
	if !o.drop {
		b.Events = append(b.Events, ordering(id, checkpoint.AuditReplay, q, checkpoint.Audit{
			Position: o.which.Position, Key: o.which.Key, Events: len(b.Sides), Selection: o.which.String(),
		}))
		return b
	}
	for _, e := range o.chosen {
		b.Events = append(b.Events, ordering(id, checkpoint.AuditDiscarded, q, checkpoint.Audit{
			Position: e.Position, Key: e.Key, Events: len(o.chosen), Selection: o.which.String(),
		}))
	}
	return b
}

// answers are what Worker.Discarded has written in place of what is dropped.
func (o parkedOrder) answers(ctx context.Context, of *owner) (answers []store.Proposal, err error) {
	if !o.drop || of.worker.Discarded == nil {
		return nil, nil
	}
	for _, entry := range o.chosen {
		e, err := of.st.GetAt(ctx, entry.Position)
		if errors.Is(err, store.ErrDropped) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list, err := discarded(ctx, of, e)
		if err != nil {
			return nil, err
		}
		b := &Batch{events: []store.Event{e}, own: of.batches, begun: -1}
		for _, p := range list {
			if p, err = b.encode(0, p); err != nil {
				return nil, err
			}
			answers = append(answers, p)
		}
	}
	return answers, nil
}

// carryOut does to the list what was written.
func (o parkedOrder) carryOut() {
	if !o.drop {
		o.list.replay(o.keys())
		return
	}
	for _, e := range o.chosen {
		o.list.discard(e)
	}
}

// ordering is the audit event of something that an operator has done to a worker.
func ordering(id checkpoint.ID, kind string, q checkpoint.Request, a checkpoint.Audit) store.Proposal {
	a.Worker, a.Reason, a.By = id, q.Reason, q.By
	return a.Proposal(kind)
}

// pausing is what a pause of a worker writes.
func pausing(st *store.Store, id checkpoint.ID, until time.Time, q checkpoint.Request) (store.Batch, error) {
	p := checkpoint.Pause{Since: st.Now(), Until: until, Reason: q.Reason, By: q.By}
	if err := p.Validate(); err != nil {
		return store.Batch{}, err
	}
	var a checkpoint.Audit
	if !until.IsZero() {
		a.Until = &until
	}
	return store.Batch{
		Events: []store.Proposal{ordering(id, checkpoint.AuditPaused, q, a)},
		Sides:  []store.SideWrite{p.Write(id)},
	}, nil
}

// resuming is what the end of a pause writes, and whether there is one: one that cannot be read
// ends, too.
func resuming(st *store.Store, id checkpoint.ID, q checkpoint.Request) (b store.Batch, paused bool) {
	info, err := checkpoint.Inspect(st, id)
	return store.Batch{
		Events: []store.Proposal{ordering(id, checkpoint.AuditResumed, q, checkpoint.Audit{})},
		Sides:  []store.SideWrite{checkpoint.Resume(id)},
	}, info.Pause != nil || err != nil
}
