package cursor

import (
	"context"
	"slices"

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

// eraseErrors removes the texts of errors of parked events that were erased since it was called
// last: the next change of an entry would write them again. What cannot be read keeps its own.
func (p *parking) eraseErrors(ctx context.Context) {
	now := store.Erasures(p.own.st)
	if now == p.erasures {
		return
	}
	p.erasures = now
	for _, at := range p.list.positions() {
		entry := p.list.at[at]
		if entry.Error == "" {
			continue
		}
		if e, err := p.own.st.GetAt(ctx, at); err == nil {
			if _, erased := e.Erased(); erased {
				*entry, _ = entry.Erased()
			}
		}
	}
}
