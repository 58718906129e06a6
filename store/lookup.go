package store

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/google/uuid"
	"github.com/penstock-io/penstock/store/internal/index"
)

// Get finds an event by its id: [ErrNotFound] when there is none.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (Event, error) {
	if err := s.readable(ctx); err != nil {
		return Event{}, err
	}
	p, err := s.search(func(e *Event) bool { return bytes.Compare(e.ID[:], id[:]) >= 0 })
	if err != nil {
		return Event{}, err
	}
	if p <= s.Head() {
		e, err := s.eventAt(p)
		if err != nil || e.ID == id {
			return e, s.readError(err)
		}
	}
	return Event{}, fmt.Errorf("event %s: %w", id, ErrNotFound)
}

// GetAt gives the event at a position: [ErrNotFound] for 0 and for what lies behind the head.
func (s *Store) GetAt(ctx context.Context, p Position) (Event, error) {
	if err := s.readable(ctx); err != nil {
		return Event{}, err
	}
	if p == 0 || p > s.Head() {
		return Event{}, fmt.Errorf("position %d: %w", p, ErrNotFound)
	}
	e, err := s.eventAt(p)
	return e, s.readError(err)
}

// Count gives the number of events of r behind after and up to upTo (0: the head), at most limit.
// It asks the index alone: a region with a version range, and one without a scope, may be
// overestimated by events that only reading would exclude.
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
	n := 0
	for after < upTo && n < limit {
		g, idx, from, to, err := s.segmentRange(after, upTo)
		if err != nil {
			return n, s.readError(err)
		}
		n += idx.Count(r.query(), from, to, limit-n)
		after = g.first + Position(to) - 1
	}
	return n, nil
}

func (s *Store) eventAt(p Position) (Event, error) {
	g, idx, ord, _, err := s.segmentRange(p-1, p)
	if err != nil {
		return Event{}, err
	}
	return s.eventIn(g, idx, ord)
}

func (s *Store) eventIn(g *segment, idx index.Index, ord uint32) (Event, error) {
	offset := int64(idx.Offset(ord))
	rec, err := g.record(offset)
	if err != nil {
		return Event{}, err
	}
	d := s.decoders.get()
	defer s.decoders.put(d)
	var e Event
	if !d.decode(rec, &e) || e.Position != g.first+Position(ord) {
		return Event{}, g.corrupt(offset, "not the event that the index names")
	}
	return e, nil
}

// search gives the first visible position whose event satisfies pred, which must be false up to
// some event and true from there on; one behind the head when it is true for none.
func (s *Store) search(pred func(*Event) bool) (Position, error) {
	first, head := (*s.segments.Load())[0].first, s.Head()
	var failed error
	n := sort.Search(int(head+1-first), func(i int) bool {
		if failed != nil {
			return true
		}
		e, err := s.eventAt(first + Position(i))
		failed = err
		return err == nil && pred(&e)
	})
	return first + Position(n), s.readError(failed)
}
