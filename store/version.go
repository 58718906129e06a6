package store

import (
	"context"
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Version returns the number of events that an entity has in all scopes, as of the head: the
// version of its last one, 0 when it has none. It may be used as [Exactly] of a commit, which is
// refused if the entity has another event by then.
//
// It costs a question to the filter of each segment, from the newest back to the last that has an
// event of the entity (all of them for one that has none), and the read of one event. Errors:
// [InvalidError] for what cannot be an entity, [CorruptError] for damage to what it reads, ctx's
// error, [ErrClosed].
func (s *Store) Version(ctx context.Context, entity string) (uint64, error) {
	if err := checkTerm("entity", entity, MaxEntityBytes); err != nil {
		return 0, err
	}
	if err := s.readable(ctx); err != nil {
		return 0, err
	}
	s.catchUp()
	last, err := s.lastOfEntity(entity)
	return last.Version, s.readError(err)
}

// lastOfEntity returns the last event of an entity, as of the head at one moment of the call; the
// zero Event where it has none.
//
// The index of the active segment may know more than is visible: the events of the group that is
// being written. Then the last one before that group counts. It was the last visible one when that
// group began: after the head was looked at here, or before it and the head had not moved since.
//
// A sealed index knows entities by their hash, and the record decides. Entities of one index have
// different hashes: so where another one has that of this one, the index has no event of this one.
func (s *Store) lastOfEntity(name string) (last Event, err error) {
	for {
		last, err = s.findLast(name)
		if !s.again(&err) {
			return last, err
		}
	}
}

func (s *Store) findLast(name string) (last Event, err error) {
	head := Position(s.head.Load())
	for _, g := range slices.Backward(*s.segments.Load()) {
		idx, err := s.indexOf(g)
		if err != nil {
			return last, err
		}
		for i := range index.Parts(idx) {
			ord, ok, err := lastIn(index.Newest(idx, i), name, uint32(max(head+1, g.first)-g.first))
			if err != nil {
				return last, err
			}
			if !ok {
				continue
			}
			e, err := s.eventIn(g, idx, ord)
			if err != nil || e.Coordinate.Entity == name {
				return e, err
			}
		}
	}
	return last, nil
}

// lastIn returns the last event of an entity that a part of a segment's index knows, of which the
// events before visible were visible.
func lastIn(part index.Part, name string, visible uint32) (ord uint32, ok bool, err error) {
	ord, ok, err = part.LastOf(name)
	if ok && part.First+ord >= visible {
		ord, ok, err = part.LastPublished(name)
	}
	return part.First + ord, ok, err
}
