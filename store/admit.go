package store

import (
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// admit decides whether req may be committed on top of everything before it. If not, or if it was
// committed before, it fills in the answer and returns true. The idempotency key comes first: a
// retry must get its receipt although the entity has moved on since.
func (w *writer) admit(req *request) (answered bool) {
	if req.key != "" {
		found, err := w.admitKey(req)
		if found || err != nil {
			req.err = err
			return true
		}
	}
	if err := w.loadEntities(req); err != nil {
		req.err = err
		return true
	}
	if req.err = w.admitVersions(req); req.err != nil {
		return true
	}
	if req.err = w.admitConditions(req); req.err != nil {
		return true
	}
	for i := range req.sides {
		write := &req.sides[i].write
		if actual := w.sideRevision(write.Key); !write.Expect.accepts(actual) {
			req.err = &SideConflictError{Key: write.Key, Expected: write.Expect, Actual: actual}
			return true
		}
	}
	return false
}

func (w *writer) sideRevision(key string) uint64 {
	if v, pending := w.pendingSides[key]; pending {
		return v.Revision
	}
	v, _ := w.store.sides.get(key)
	return v.Revision
}

// admitKey looks for the commit that used the key first.
func (w *writer) admitKey(req *request) (found bool, err error) {
	k, ok, err := w.store.findKey(req.key)
	if err != nil || !ok {
		return false, err
	}
	if k.Digest != req.content {
		return true, &IdempotencyKeyReusedError{Key: req.key, Sequence: k.Sequence, Position: Position(k.FirstPosition)}
	}
	req.receipt, err = w.store.storedReceipt(k)
	return true, err
}

// loadEntities makes sure that the versions of the entities of req are in memory.
func (w *writer) loadEntities(req *request) error {
	for i := range req.events {
		name := req.events[i].terms.Entity
		if _, known := w.entities[name]; known {
			continue
		}
		state, found, err := w.store.lastOfEntity(name)
		if err != nil {
			return err
		}
		if found {
			w.entities[name] = state
		}
	}
	return nil
}

func (w *writer) admitVersions(req *request) error {
	var ahead map[string]uint64 // events of an entity that precede in the batch
	for i := range req.events {
		e := &req.events[i]
		actual := w.entities[e.terms.Entity].version + ahead[e.terms.Entity]
		if !e.expect.accepts(actual) {
			return &ConflictError{Entity: e.terms.Entity, Expected: e.expect, Actual: actual}
		}
		if len(req.events) > 1 {
			if ahead == nil {
				ahead = make(map[string]uint64)
			}
			ahead[e.terms.Entity]++
		}
	}
	return nil
}

// admitConditions reads the log: a request with conditions is the first of its group, so that
// everything before it is written.
func (w *writer) admitConditions(req *request) error {
	head := Position(w.next.Position - 1)
	for _, c := range req.conditions {
		for after := c.After; after < head; {
			page, err := w.store.readPage(c.Region, after, head, 1)
			if err != nil {
				return err
			}
			if len(page.Events) > 0 {
				return &ConditionError{Condition: c, Position: page.Events[0].Position}
			}
			after = page.Scanned
		}
	}
	return nil
}

// findKey looks for an idempotency key in all segments, the newest first.
func (s *Store) findKey(key string) (k wal.Key, ok bool, err error) {
	for _, g := range slices.Backward(*s.segments.Load()) {
		idx, err := s.indexOf(g)
		if err != nil {
			return k, false, err
		}
		offset, found := idx.FindKey(key)
		if !found {
			continue
		}
		rec, err := g.record(int64(offset))
		if err != nil {
			return k, false, err
		}
		if k, err = wal.ParseKey(rec); err != nil {
			return k, false, g.corrupt(int64(offset), "not an idempotency key")
		}
		if string(k.Key) == key { // else another key with the same hash
			return k, true, nil
		}
	}
	return k, false, nil
}

// storedReceipt rebuilds the receipt of the commit that used a key, from the log.
func (s *Store) storedReceipt(k wal.Key) (Receipt, error) {
	r := Receipt{Origin: s.origin, Sequence: k.Sequence, Sync: s.options.Sync, Duplicate: true}
	last := Position(k.FirstPosition) + Position(k.Events) - 1
	for p := Position(k.FirstPosition); p <= last; p++ {
		e, err := s.eventAt(p)
		if err != nil {
			return Receipt{}, fmt.Errorf("stored receipt of key %q: %w", k.Key, err)
		}
		r.Events = append(r.Events, Recorded{ID: e.ID, Position: e.Position, Version: e.Version})
	}
	return r, nil
}
