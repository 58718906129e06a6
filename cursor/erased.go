package cursor

import (
	"context"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// passesOver reports whether the worker passes over an event as its content was erased: it counts
// as handled then, and the handler does not see it.
func (o *owner) passesOver(e *store.Event) bool {
	if o.worker.Erased {
		return false
	}
	_, erased := e.Erased()
	return erased
}

// shown returns the events that are not passed over.
func (o *owner) shown(events []store.Event) []store.Event {
	for i := range events {
		if o.passesOver(&events[i]) {
			return slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool { return o.passesOver(&e) })
		}
	}
	return events
}

// passedOver reports whether all events of a batch are passed over: what was parked, and is handled
// again, was not sorted out when it was read. Such batches are of one sort, see replays.load.
func (t *Task) passedOver() bool { return t.own.passesOver(&t.batch.events[0]) }

// takeIn takes in what was erased since it was called last. What was read before may be out of date
// by now, and the texts of errors of parked events go: the next change of an entry would write them
// again. What cannot be read keeps its own.
func (p *parking) takeIn(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // it is not looked at again
	now := store.Erasures(p.own.st)
	if now == p.erasures {
		return
	}
	p.erasures, p.win.outdated = now, p.win.at.scanned
	for _, at := range p.list.positions() {
		if entry := p.list.at[at]; entry.Error != "" && p.own.erased(ctx, at) {
			*entry, _ = entry.Erased()
			p.out.erase(at, entry)
		}
	}
	for _, a := range p.out.audits {
		if a.what.Error != "" && p.own.erased(ctx, a.what.Position) {
			p.out.erase(a.what.Position, nil)
		}
	}
}

// erased reports whether an event is known to be erased.
func (o *owner) erased(ctx context.Context, at store.Position) bool {
	e, err := o.st.GetAt(ctx, at)
	if err != nil {
		return false
	}
	_, erased := e.Erased()
	return erased
}

// withhold has nothing written of an event that was erased while its handler was at it, nor of what
// follows it in its task: they are taken again, and it is passed over, or handled as an erased one.
// A worker that keeps its position itself has saved what it made of it.
func (p *parking) withhold(ctx context.Context, t *Task) {
	now := uint32(p.erasures)
	if t.erasures == now || p.own.external() {
		return
	}
	t.erasures = now
	if t.passedOver() {
		return
	}
	for i := t.committed; i < t.good; i++ {
		if _, known := t.batch.events[i].Erased(); !known && p.own.erased(ctx, t.at(i)) {
			t.good = i
			if t.queue.phase == queueFailing { // what failed is met again
				t.queue.phase = queueBusy
			}
			return
		}
	}
}

// said is the text of an error that is written with an event, which may quote it.
func (o *owner) said(e *store.Event, reason error) string {
	if store.Erasures(o.st) > 0 && o.erased(context.Background(), e.Position) {
		return checkpoint.ErasedText
	}
	return reason.Error()
}

// renewed returns the first of some events as they are now. They are all passed over, or none of
// them is: see Task.passedOver. An event that cannot be read is as it was.
func (p *parking) renewed(ctx context.Context, events []store.Event) []store.Event {
	if events[0].Position > p.win.outdated {
		return events
	}
	ctx, events = context.WithoutCancel(ctx), slices.Clone(events)
	for i := range events {
		if e, err := p.own.st.GetAt(ctx, events[i].Position); err == nil {
			events[i] = e
		}
		if i > 0 && p.own.passesOver(&events[i]) != p.own.passesOver(&events[0]) {
			return events[:i]
		}
	}
	return events
}
