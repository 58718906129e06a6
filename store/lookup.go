package store

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// Get returns the event with an id: [ErrNotFound] when there is none that is visible, which is
// [ErrDropped], too, where it may have been dropped. Ids grow with
// positions, so it is a binary search over positions that reads some 20 events in a log of a
// million. An event that is committed while Get runs may be found or not.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (Event, error) {
	if err := s.readable(ctx); err != nil {
		return Event{}, err
	}
	p, err := s.search(func(e *Event) bool { return bytes.Compare(e.ID[:], id[:]) >= 0 })
	if err != nil {
		return Event{}, err
	}
	if p <= s.Head() { // of now: what the search found no event for may have one since
		e, err := s.eventAt(p)
		if err != nil || e.ID == id && !s.cancelled().has(p) {
			return e, s.readError(err)
		}
	}
	return Event{}, s.noEvent(id)
}

// mayBeDropped reports whether an id which the log does not have was minted before the last event
// that was dropped: it may have been that of one of them.
func (s *Store) mayBeDropped(id uuid.UUID) bool {
	_, last := s.lastDropped()
	return bytes.Compare(id[:], last[:]) <= 0
}

// noEvent is the error of a search for an id.
func (s *Store) noEvent(id uuid.UUID) error {
	if s.mayBeDropped(id) {
		return fmt.Errorf("event %s: %w: %w", id, ErrNotFound, s.droppedError(0))
	}
	return fmt.Errorf("event %s: %w", id, ErrNotFound)
}

// GetAt returns the event at a position: [ErrNotFound] for 0, for what lies after the head, and for
// what a cancelled fence hides; [ErrLost] for what was lost to damage; [ErrDropped] for what
// retention has dropped.
func (s *Store) GetAt(ctx context.Context, p Position) (Event, error) {
	if err := s.readable(ctx); err != nil {
		return Event{}, err
	}
	head := s.Head()
	if s.losses().has(p) {
		return Event{}, fmt.Errorf("position %d: %w", p, ErrLost)
	}
	if p == 0 || p > head || s.cancelled().has(p) {
		return Event{}, fmt.Errorf("position %d: %w", p, ErrNotFound)
	}
	e, err := s.eventAt(p)
	return e, s.readError(err)
}

// Count returns the number of events of r after after and up to upTo (0 or beyond the head: the
// head), at most limit, where it stops counting. It queries the index alone: a region that is not
// [Region.Indexed] may be overestimated by events that only reading would exclude.
func (s *Store) Count(ctx context.Context, r Region, after, upTo Position, limit int) (int, error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	if err := s.readable(ctx); err != nil {
		return 0, err
	}
	head := s.Head()
	if upTo == 0 || upTo > head {
		upTo = head
	}
	n, hidden, on, whole := 0, s.cancelled(), (*leap)(nil), after == 0
	for after < upTo && n < limit {
		if after = on.from(s, after, upTo); after == upTo {
			break
		}
		part := hidden.visibleAfter(after, upTo)
		if after = part.From - 1; part.From > part.To {
			continue
		}
		g, idx, from, to, err := s.segmentRange(after, part.To)
		found := 0
		if err == nil {
			found, err = r.count(idx, from, to, limit-n)
		}
		if s.again(&err) {
			continue
		}
		if first := s.first(); whole && isDropped(err) && after+1 < first && first <= upTo+1 {
			n, after = 0, first-1
			continue
		}
		if err != nil {
			return n, s.readError(err)
		}
		n += found
		after = g.first + Position(to) - 1
		if on == nil {
			on = over(r.Entity)
		}
	}
	return n, nil
}

// eventAt reads the event at a position that was assigned, visible or hidden. The caller has loaded
// the head before, or what was assigned, and the segments are loaded here, so they hold the
// position.
func (s *Store) eventAt(p Position) (e Event, err error) {
	for {
		g, idx, ord, _, err := s.segmentRange(p-1, p)
		if err == nil {
			e, err = s.eventIn(g, idx, ord)
		}
		if !s.again(&err) {
			return e, err
		}
	}
}

// eventIn reads the event with an ordinal of a segment. That the record carries the position that
// the index led to is checked, so a wrong index is never a wrong answer.
func (s *Store) eventIn(g *segment, idx index.Index, ord uint32) (Event, error) {
	at, err := idx.Offset(ord)
	if err != nil {
		return Event{}, err
	}
	pending := s.erasing.pending() // before the file is read: once they have ended, it is replaced
	offset := int64(at)
	rec, err := g.record(offset)
	if err != nil {
		return Event{}, err
	}
	d := s.decoders.get()
	defer s.decoders.put(d)
	if len(pending) > 0 && wal.IsEvent(rec) {
		if _, ok := wal.Measure(rec); ok {
			rec = pending.show(rec)
		}
	}
	e, ok := d.decode(rec)
	if !ok || e.Position != g.first+Position(ord) {
		return Event{}, g.corrupt(offset, "not the event that the index names")
	}
	return e, nil
}

// search returns the first position up to the head whose event satisfies pred, which must be false
// up to some event and true from there on; one past the head when it is true for none.
//
// Positions have no holes, as what is hidden can be read, so they can be halved without looking at
// an index. After an event that cannot be read the rest of the search answers without reading, and
// the error is the result: a guess about what lies behind damage would be a wrong answer.
func (s *Store) search(pred func(*Event) bool) (Position, error) {
	for {
		first, head := s.first(), s.Head()
		var failed error
		n := sort.Search(int(head+1-first), func(i int) bool {
			if failed != nil {
				return true
			}
			e, err := s.eventAt(first + Position(i))
			failed = err
			return err == nil && pred(&e)
		})
		if !isDropped(failed) || s.first() == first { // else it begins later by now
			return first + Position(n), s.readError(failed)
		}
	}
}
