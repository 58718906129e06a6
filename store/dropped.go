package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// The log begins with segments of which retention has dropped the events, if there are any. Such a
// segment knows what still counts of them: the states of their entities, the receipts of commits
// with an idempotency key, and side values. Positions in it have no event.
//
//	1.seg last 40   | 41.seg last 52  | 53.seg  54.seg  55.seg
//	dropped           dropped         | events, from First on

// DroppedError says that something lies, or may lie, before the first event that the log still has:
// see [Retain].
type DroppedError struct {
	Position Position // that was asked for, 0 where it is not known
	First    Position // of the events that the log has; the one after the head where it has none
}

func (e *DroppedError) Error() string {
	if e.Position == 0 {
		return fmt.Sprintf("store: dropped: the log begins at event %d", e.First)
	}
	return fmt.Sprintf("store: event %d was dropped: the log begins at event %d", e.Position, e.First)
}

// Unwrap returns [ErrDropped].
func (e *DroppedError) Unwrap() error { return ErrDropped }

func isDropped(err error) bool { return err != nil && errors.Is(err, ErrDropped) }

// First returns the position of the first event that the log has: 1 unless [Retain] has dropped
// some, and the one after the head where it has none. It never falls. A store that follows a writer
// learns of it when it reads.
func First(st *Store) Position {
	st.catchUp()
	return max(st.first(), Position(st.holding.unseen.Load()))
}

// first returns the position of the first event that was not dropped: the one after the last where
// all were. It never falls. The segments may be those of a moment ago, so a reader that begins
// there may still be told that it was dropped.
func (s *Store) first() Position { return firstOf(*s.segments.Load()) }

func firstOf(segments []*segment) Position {
	n := droppedOf(segments)
	switch {
	case n < len(segments):
		return segments[n].first
	case n > 0:
		return segments[n-1].after()
	}
	return 1
}

// droppedOf returns how many segments there are that have no events any more.
func droppedOf(segments []*segment) (n int) {
	for n < len(segments) && segments[n].dropped {
		n++
	}
	return n
}

// after is the position after the last one that a sealed segment stands for.
func (g *segment) after() Position { return Position(g.trailer.Load().NextPosition) }

// fileBytes is what the file of a segment has: of one that is written, what is used of it.
func (g *segment) fileBytes() int64 {
	t := g.trailer.Load()
	if t == nil {
		return g.end.Load()
	}
	return int64(t.DataEnd) + int64(t.IndexLen) + int64(t.SidesLen) + wal.TrailerSize
}

// droppedError is the error of a reader that asks for a position before the first one.
func (s *Store) droppedError(p Position) error { return &DroppedError{Position: p, First: s.first()} }

// beginsLater reports whether a reader of the log from its beginning on, which was at start and has
// seen nothing yet, begins at a later event by now. err is what it has met.
func (s *Store) beginsLater(err error, scanned, start *Position) bool {
	if *scanned != *start || !isDropped(err) {
		return false
	}
	before := s.first() - 1
	if before <= *start { // it was no reader from the beginning on
		return false
	}
	*scanned, *start = before, before
	return true
}

// lastDropped returns the last event that was dropped; zero where none was, or it is not known.
func (s *Store) lastDropped() (Position, uuid.UUID) {
	segments := *s.segments.Load()
	for _, g := range slices.Backward(segments[:droppedOf(segments)]) {
		if g.lastEvent != uuid.Nil {
			return g.after() - 1, g.lastEvent
		}
	}
	return 0, uuid.Nil
}

// idAt returns the id of the event at a position that was assigned: of those that were dropped, of
// the last one.
func (s *Store) idAt(p Position) (uuid.UUID, error) {
	e, err := s.eventAt(p)
	if isDropped(err) {
		if last, id := s.lastDropped(); last == p && p > 0 {
			return id, nil
		}
	}
	return e.ID, err
}

// stateIn returns what a segment without events knows of an entity.
func (g *segment) stateIn(s *Store, entity string) (last lastEvent, err error) {
	idx, err := s.indexOf(g)
	if err != nil {
		return last, err
	}
	offset, found, err := idx.FindState(entity)
	if !found || err != nil {
		return last, err
	}
	rec, err := g.record(int64(offset))
	if err != nil {
		return last, err
	}
	state, err := wal.ParseState(rec)
	if err != nil {
		return last, g.corrupt(int64(offset), "not the state of an entity")
	}
	if string(state.Entity) != entity { // another one with the same hash
		return last, nil
	}
	return lastEvent{Position(state.Position), state.Version, state.Hash}, nil
}

// stateBefore returns the state that an entity had where the log begins, zero where it had none, or
// that was discarded.
func (s *Store) stateBefore(entity string) (last lastEvent, err error) {
	stays := index.AskState(entity)
	for {
		segments := *s.segments.Load()
		last, err = lastEvent{}, nil
		for g := range newestWith(segments[:droppedOf(segments)], nil, &stays) {
			if last, err = g.stateIn(s, entity); err != nil || last.Version > 0 {
				break
			}
		}
		if !s.again(&err) {
			return last, err
		}
	}
}
