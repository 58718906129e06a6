package store

// admitConditions compares the conditions of a request with all that precedes it, in the log and in
// the open batch. So any number of commits with conditions share a group, and of two that race for
// the same thing the second one finds the first.
func admitConditions(w *writer, req *request) error {
	for i := range req.conditions {
		c := &req.conditions[i]
		p, err := firstAfter(w, c)
		if err != nil {
			return err
		}
		if p == 0 {
			continue
		}
		broken := *c // the request is used again
		if f := w.fenced.of(p); f != nil && f != req.fence {
			return &ReservedError{Condition: &broken, Position: p, Reason: f.reason}
		}
		return &ConflictError{Condition: &broken, Position: p}
	}
	return nil
}

// firstAfter returns the first event that breaks a condition, 0 for none. One that the caller could
// see needs no look at the log: it is only the open batch that can break it.
func firstAfter(w *writer, c *Condition) (Position, error) {
	written := Position(w.next.Position - 1)
	if c.After < w.store.first()-1 { // what was there cannot be known
		return 0, w.store.droppedError(c.After + 1)
	}
	if c.upTo > 0 {
		written = min(written, c.upTo)
	}
	for after := c.After; after < written; {
		page, err := w.store.readPage(c.Region, after, written, 1)
		if err != nil {
			return 0, err
		}
		if len(page.Events) > 0 {
			return page.Events[0].Position, nil
		}
		after = page.Scanned
	}
	if c.upTo > 0 {
		return 0, nil // it was there when it was bounded
	}
	return firstPending(w, c)
}

// pendingEvents are looked up in the index at a time.
const pendingEvents = 64

// firstPending is firstAfter in the open batch.
func firstPending(w *writer, c *Condition) (Position, error) {
	indexEvents(w)
	first, to := w.runs.first, w.active.Len()                    // of the index
	known := max(uint64(c.After), w.next.Position-1) - first + 1 // of its ordinals
	if known >= uint64(to) {
		return 0, nil
	}
	from, filter := uint32(known), newFilter(c.Region)
	var room [pendingEvents]uint32
	for from < to {
		ords, next, err := w.active.Select(filter.query, from, to, pendingEvents, room[:0])
		if err != nil {
			return 0, err
		}
		for _, ord := range ords {
			if p := Position(first + uint64(ord)); admitsPending(w, &filter, p) {
				return p, nil
			}
		}
		from = next
	}
	return 0, nil
}

// admitsPending asks the filter about an event of the open batch.
func admitsPending(w *writer, f *filter, p Position) bool {
	for _, req := range w.group {
		events := req.receipt.Events
		if len(events) == 0 || p < events[0].Position || p > events[len(events)-1].Position {
			continue
		}
		i := int(p - events[0].Position)
		t := &req.events[i].terms
		return f.admits(Coordinate{Entity: t.Entity, Scope: t.Scope}, t.Kind, events[i].Version)
	}
	return false
}
