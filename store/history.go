package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// BrokenChainError says where the history of an entity is not the one that was written: an event is
// missing, or one says something else than it did. It wraps [ErrCorrupt].
type BrokenChainError struct {
	Entity   string
	Position Position // of the event that does not continue the one before it
	Version  uint64   // of that event
	Previous uint64   // version of the event before it, 0 where it is the first
}

func (e *BrokenChainError) Error() string {
	return fmt.Sprintf("store: event %d, version %d of entity %q, does not continue version %d",
		e.Position, e.Version, e.Entity, e.Previous)
}

// Unwrap returns [ErrCorrupt].
func (e *BrokenChainError) Unwrap() error { return ErrCorrupt }

// History iterates over the events of exactly this entity, whatever their scope, up to the head as
// it was when the iteration began, and checks that each continues the one before it: by its
// version, and by the hash of its content, see [Event.Hash]. An error is the last thing it yields:
// a [BrokenChainError], [CorruptError] for damage that a checksum tells, [ErrClosed], ctx's, and
// that of an entity that breaks the rules, and a [DroppedError] with the position of the last event
// where all of them were dropped, see [Retain]. Without one the history is whole from its first
// event on. The version of that is 1, unless those before it were dropped: then it continues the
// last of them. What was dropped shows only as long as what is known of it was not discarded. There
// is no gap in the versions, but where [LostRanges] has events that may have been of the entity.
//
// Checking takes about a microsecond for each event beside reading it.
func History(ctx context.Context, st *Store, entity string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := st.history(ctx, entity, yield); err != nil {
			yield(Event{}, err)
		}
	}
}

func (s *Store) history(ctx context.Context, entity string, yield func(Event, error) bool) error {
	if err := checkTerm("entity", entity, MaxEntityBytes); err != nil {
		return err
	}
	if err := s.readable(ctx); err != nil {
		return err
	}
	upTo := s.Head()
	var was lastEvent
	begun := false
	for e, err := range s.selected(ctx, index.Query{Entity: entity}, s.first()-1, upTo) {
		if err != nil {
			return err
		}
		if e.Coordinate.Entity != entity { // of its namespace
			continue
		}
		first := s.first()
		if !begun {
			if was, err = s.stateBefore(entity); err != nil {
				return s.readError(err)
			}
			if begun = true; was.Position >= e.Position { // it was dropped since
				was = lastEvent{}
			}
		}
		discarded := e.Version > was.Version+1 &&
			(was.Version == 0 && first > 1 || s.losses().isLostBetween(was.Position, e.Position))
		if !discarded && (e.Version != was.Version+1 || !wal.Continues(was.Hash, e.record)) {
			return &BrokenChainError{Entity: entity, Position: e.Position, Version: e.Version, Previous: was.Version}
		}
		if !yield(e, nil) {
			return nil
		}
		was = lastEventOf(e)
	}
	if begun {
		return nil
	}
	switch was, err := s.stateBefore(entity); {
	case err != nil:
		return s.readError(err)
	case was.Version > 0:
		return s.droppedError(was.Position)
	}
	return nil
}

// selected iterates over the events in (after, upTo] that the index selects, of all scopes. What
// the index goes by hash for is for the caller to check.
func (s *Store) selected(ctx context.Context, q index.Query, after, upTo Position) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		x := selection{store: s, query: q, start: after, scanned: after, upTo: upTo, leap: over(q.Entity), yield: yield}
		for more := true; more && x.scanned < upTo; {
			err := s.readable(ctx)
			if err == nil {
				more, err = x.step()
			}
			if err != nil && !s.again(&err) && !s.beginsLater(err, &x.scanned, &x.start) {
				yield(Event{}, s.readError(err))
				return
			}
		}
	}
}

// selection is what selected works with. It belongs to its reader.
type selection struct {
	store         *Store
	query         index.Query
	start         Position
	scanned, upTo Position
	leap          *leap
	ords          []uint32
	yield         func(Event, error) bool
}

// step yields some events of one segment, and returns whether the reader wants more.
func (x *selection) step() (more bool, err error) {
	begins := x.scanned == x.start
	x.scanned = x.leap.from(x.store, x.scanned, x.upTo)
	if begins {
		x.start = x.scanned
	}
	if x.scanned == x.upTo {
		return true, nil
	}
	g, idx, from, to, err := x.store.segmentRange(x.scanned, x.upTo)
	if err != nil {
		return true, err
	}
	hidden := x.store.cancelled()
	ords, next, err := idx.Select(x.query, from, to, readPageEvents, x.ords[:0])
	if err != nil {
		return true, err
	}
	x.ords = ords
	for _, ord := range x.ords {
		e, err := x.store.eventIn(g, idx, ord)
		if err != nil {
			return true, err
		}
		x.scanned = e.Position
		if !hidden.has(e.Position) && !x.yield(e, nil) {
			return false, nil
		}
	}
	x.scanned = g.first + Position(next) - 1
	return true, nil
}
