package storetest

import (
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// retain drops the first events, and at times discards what stays of them. A reader beside the
// writer may have files open that are gone, so only a writer that is read itself drops any.
func (h *history) retain() (about string, err error) {
	if h.Retain == nil || h.Reader != Reader(h.Writer) {
		return h.read()
	}
	before := h.position()
	o := store.RetainOptions{Before: before}
	if h.oneIn(3) {
		o.KeyRetention = 1
	}
	if h.oneIn(3) {
		o.EntityRetention = 1
	}
	report, err := h.Retain(h.ctx, o)
	about = fmt.Sprintf("drop what lies before event %d, of keys %d, of entities %d -> begins with event %d",
		before, o.KeyRetention, o.EntityRetention, report.First)
	if err != nil {
		return about, err
	}
	upTo := max(h.log.first(), before)
	for _, e := range h.log.events {
		if h.log.isOpen(e.fence) {
			upTo = max(h.log.first(), min(upTo, e.Position))
		}
	}
	if report.First < h.log.first() || report.First > upTo {
		return about, fmt.Errorf("it should begin with an event from %d to %d", h.log.first(), upTo)
	}
	for i, l := range h.past { // no crash takes it back
		next := *l
		next.gone = report.First - 1
		h.past[i] = &next
	}
	h.log = h.past[len(h.past)-1]
	return about, h.discarded(&o)
}

// discarded takes in what is not known any more. That may be what was dropped, and is old enough:
// of entities the answer is asked for, of keys it cannot be, without using them.
func (h *history) discarded(o *store.RetainOptions) error {
	unknown := clone(h.log.unknown)
	for _, entity := range entityNames() {
		version, err := h.Writer.Version(h.ctx, entity)
		if err != nil {
			return err
		}
		if _, at := h.log.shown(entity); o.EntityRetention > 0 && version == 0 && at <= h.log.gone {
			unknown[entity] = max(unknown[entity], at)
		}
	}
	for i, l := range h.past {
		next := *l
		next.unknown, next.keys = unknown, clone(l.keys)
		for name, use := range next.keys {
			use.may = use.may || o.KeyRetention > 0 && use.receipt.Position() <= l.gone
			next.keys[name] = use
		}
		h.past[i] = &next
	}
	h.log = h.past[len(h.past)-1]
	return nil
}

// first is the position of the first event that was not dropped.
func (l *plainLog) first() store.Position { return l.gone + 1 }

// dropped returns the error of a caller that asks for an event, nil where it was not dropped.
func (l *plainLog) dropped(p store.Position) error {
	if p > l.gone {
		return nil
	}
	return &store.DroppedError{Position: p, First: l.first()}
}

// beginsLater reports whether reading after a position, up to another one, meets what was dropped:
// reading from the beginning begins later, if there is anything.
func (l *plainLog) beginsLater(after, upTo store.Position) bool {
	return after < min(l.gone, upTo) && (after > 0 || upTo < l.gone)
}
