package store

import (
	"cmp"
	"fmt"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// admit decides whether req may be committed on top of everything before it, the open batch
// included. If not, or if it was committed before, it fills in the answer and returns true. It
// changes nothing that a refusal would leave behind.
//
// The idempotency key comes first: a retry must get its receipt although the entity has new events
// since. Reading the log for an answer happens on the committer's time, and so delays all commits;
// it is needed only for a key or an entity that is not known, and for conditions on what was
// written before the open batch.
func (w *writer) admit(req *request) (answered bool) {
	if req.fence != nil && admitFence(req) {
		return true
	}
	if req.key != "" {
		found, err := w.admitKey(req)
		if found || err != nil {
			req.err = err
			return true
		}
	}
	if req.err = req.denied; req.err != nil {
		return true
	}
	if req.err = w.admitState(req); req.err != nil {
		w.entities.forgetNew(req.events)
		return true
	}
	return false
}

// admitState compares what req requires with the state of the log.
func (w *writer) admitState(req *request) error {
	if w.fenced != nil {
		if err := w.fenced.reservesEntity(req); err != nil {
			return err
		}
	}
	if err := w.loadEntities(req); err != nil {
		return err
	}
	if err := admitVersions(req.events); err != nil {
		return err
	}
	if err := admitConditions(w, req); err != nil {
		return err
	}
	return w.admitSides(req)
}

// admitSides compares with the open batch first: what it writes is not in the table of the store
// yet. Revision 0 is that of a value which does not exist.
func (w *writer) admitSides(req *request) error {
	for i := range req.sides {
		key, expect := req.sides[i].place.Key(), req.sides[i].expect
		now, pending := w.pendingSides[key]
		if !pending {
			now, _ = w.store.sides.get(key)
		}
		if now.Deleted {
			now.Revision = 0
		}
		if !expect.accepts(now.Revision) {
			return &ConflictError{SideKey: key, Expected: expect, Actual: now.Revision}
		}
	}
	return nil
}

// admitKey looks for the commit that used the key first, and compares by the rule of its time. The
// open batch has no such commit: a key that stands in a group already begins the next one, see
// committer.take.
func (w *writer) admitKey(req *request) (found bool, err error) {
	if w.fenced != nil {
		if err := w.fenced.reservesKey(req); err != nil {
			return false, err
		}
	}
	k, ok, err := w.store.findKey(req.key)
	if err != nil || !ok {
		return false, err
	}
	if int(k.Rule) >= len(req.content) {
		return true, fmt.Errorf("idempotency key %q: %w", req.key, ErrNewerFormat)
	}
	if !k.Matches(req.content[k.Rule]) && !k.Matches(req.content[wal.RuleRetry]) { // that of either without a version
		return true, &IdempotencyKeyReusedError{Key: req.key, Sequence: k.Sequence, Position: Position(k.FirstPosition), Erased: k.Erased}
	}
	req.receipt, err = w.store.storedReceipt(req.key, k)
	return true, err
}

// loadEntities finds the states of the entities of req, so that each is looked up once per commit.
// What it reads is all that was assigned before the open batch, but for what is hidden: an entity
// with an event in the batch is in memory already. One without any event gets an empty state, see
// forgetNew.
func (w *writer) loadEntities(req *request) error {
	for i := range req.events {
		name := req.events[i].terms.Entity
		state := w.entities.get(name)
		if state == nil {
			last, err := w.store.lastOfEntity(name, &w.store.assigned)
			if err != nil {
				return err
			}
			state = w.entities.add(name, last.Version, last.Hash)
		}
		req.events[i].state = state
	}
	return nil
}

// admitVersions checks all expectations before any event is applied, so that a refusal needs
// nothing undone.
func admitVersions(events []requestEvent) (err error) {
	checked := 0
	for i := range events {
		e := &events[i]
		if actual := e.state.version + e.state.ahead; !e.expect.accepts(actual) {
			err = &ConflictError{Entity: e.terms.Entity, Expected: e.expect, Actual: actual}
			break
		}
		e.state.ahead++
		checked++
	}
	for i := range events[:checked] {
		events[i].state.ahead = 0
	}
	return err
}

// usedKey is an idempotency key and, where its events were dropped, what their receipt said.
type usedKey struct {
	wal.Key
	recorded []wal.Recorded // nil where the log has the events
}

// findKey looks for an idempotency key in all segments, the newest first: what is tried again was
// tried a moment ago. A key that is new is looked for in all of them.
//
// The index knows keys by their hash, and the record decides: so two keys with one hash cost a read
// and never answer for each other.
func (s *Store) findKey(key string) (k usedKey, ok bool, err error) {
	pending := s.erasing.pending() // before a segment is looked at: those of which that may be of before
	for {
		k, ok, err = s.lookForKey(key)
		if !s.again(&err) {
			k.Key = *pending.known(&k.Key)
			return k, ok, err
		}
	}
}

func (s *Store) lookForKey(key string) (k usedKey, ok bool, err error) {
	asked := index.AskKey(key)
	for g := range newestWith(*s.segments.Load(), &asked, &asked) {
		idx, err := s.indexOf(g)
		if err != nil {
			return k, false, err
		}
		for i := range index.Parts(idx) {
			k, ok, err = findKeyIn(g, index.Newest(idx, i), key)
			if err != nil || ok && !s.withdrawn(Position(k.FirstPosition)) {
				return k, ok, err
			}
		}
	}
	return k, false, nil
}

func findKeyIn(g *segment, idx index.Index, key string) (k usedKey, ok bool, err error) {
	offset, found, err := idx.FindKey(key)
	if !found || err != nil {
		return k, false, err
	}
	rec, err := g.record(int64(offset))
	if err != nil {
		return k, false, err
	}
	if g.dropped {
		var r wal.Receipt
		r, err = wal.ParseReceipt(rec)
		k = usedKey{r.Key, r.Events}
	} else {
		k.Key, err = wal.ParseKey(rec)
	}
	if err != nil {
		return k, false, g.corrupt(int64(offset), "not an idempotency key")
	}
	return k, string(k.Key.Key) == key, nil // else another key with the same hash
}

// storedReceipt rebuilds the receipt of the commit that used a key, from the log: receipts are not
// kept, since few are asked for again. Its Sync is the mode of this opening, under which the answer
// is acknowledged: all that the receipt speaks of was written before it.
func (s *Store) storedReceipt(key string, k usedKey) (Receipt, error) {
	last := Position(k.FirstPosition) + Position(k.Events) - 1
	if lost := s.losses().clip(Position(k.FirstPosition), last); len(lost) > 0 {
		return Receipt{}, fmt.Errorf("stored receipt of key %q: event %d: %w", key, lost[0].From, ErrLost)
	}
	r := Receipt{Origin: s.origin, Sequence: k.Sequence, Sync: s.options.Sync, Duplicate: true}
	for i, e := range k.recorded {
		r.Events = append(r.Events, Recorded{ID: e.ID, Position: Position(k.FirstPosition) + Position(i), Version: e.Version})
	}
	if k.recorded != nil {
		return r, nil
	}
	for p := Position(k.FirstPosition); p <= last; p++ {
		e, err := s.eventAt(p)
		if isDropped(err) { // since the key was found: what stays of it has the receipt
			again, found, failed := s.findKey(key)
			if found && again.recorded != nil {
				return s.storedReceipt(key, again)
			}
			err = cmp.Or(failed, err)
		}
		if err != nil {
			return Receipt{}, fmt.Errorf("stored receipt of key %q: %w", key, err)
		}
		r.Events = append(r.Events, Recorded{ID: e.ID, Position: e.Position, Version: e.Version})
	}
	return r, nil
}
