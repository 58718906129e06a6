package storetest

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// erase erases an entity, or finds that it cannot.
func (h *history) erase() (about string, err error) {
	if h.Erase == nil || h.log.mode != store.SyncAlways { // it is several commits, of which a crash may take some
		return h.read()
	}
	entity := h.pick(entityNames()...)
	report, err := h.Erase(h.ctx, erasing(entity))
	next, err := h.log.erase(entity, &report, err)
	if err == nil && next != h.log {
		h.became(next)
	}
	return fmt.Sprintf("erase %s -> %d events", entity, len(report.Events)), err
}

// erase returns the log after an erasure of an entity that was answered so: also what is hidden is
// erased, and nothing while a fence may still publish it.
func (l *plainLog) erase(entity string, r *store.ErasureReport, failed error) (*plainLog, error) {
	known, staged, dropped, want := false, false, false, []store.Recorded(nil)
	for i := range l.events {
		e := &l.events[i]
		if e.At.Entity != entity || e.Position <= l.gone {
			dropped = dropped || e.At.Entity == entity
			continue
		}
		known, staged = true, staged || l.isOpen(e.fence)
		if !e.erased {
			want = append(want, e.Recorded)
		}
	}
	switch {
	case !known && dropped && failed == nil && r.Dropped > 0 && len(r.Events) == 0: // else its state was discarded
		return l, nil
	case !known:
		return l, l.oneOf([]error{store.ErrNotFound}, failed)
	case staged:
		return l, l.oneOf([]error{store.ErrReserved}, failed)
	case failed != nil:
		return nil, failed
	case !slices.Equal(r.Events, want) || (len(want) == 0) != (r.ID == uuid.Nil):
		return nil, fmt.Errorf("erased are %+v, not %+v", r.Events, want)
	case len(want) == 0:
		return l, nil
	}
	return l.erased(entity, r), nil
}

// erased returns the log after an erasure, which is told by two audit events.
func (l *plainLog) erased(entity string, r *store.ErasureReport) *plainLog {
	next := *l
	next.sequence, next.durable = r.Sequence, true
	next.events = slices.Clone(l.events)
	for i := range next.events {
		e := &next.events[i]
		e.erased = e.erased || e.At.Entity == entity && e.Position > l.gone
	}
	next.keys = clone(l.keys)
	for key, use := range next.keys {
		use.erased = slices.ContainsFunc(use.receipt.Events, func(e store.Recorded) bool { return next.events[e.Position-1].erased })
		next.keys[key] = use
	}
	for i, kind := range []string{store.AuditErased, store.AuditUnlinked} {
		audit := plainEvent{Proposal: store.Proposal{
			At: store.At("erasure:"+r.ID.String(), store.ReservedScope), Payload: store.Raw{Type: kind},
		}}
		audit.Position, audit.Version = store.Position(len(next.events)+1), uint64(i+1)
		next.events = append(next.events, audit)
	}
	return &next
}
