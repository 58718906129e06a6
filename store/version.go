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
// It costs a look-up in the index of each segment, from the newest back to the last that knows the
// entity (all of them for one that has no event, which may load indexes from disk), and the read of
// one event. Errors: [InvalidError] for what cannot be an entity, [CorruptError]
// for damage to what it reads, ctx's error, [ErrClosed].
func (s *Store) Version(ctx context.Context, entity string) (uint64, error) {
	if err := checkTerm("entity", entity, MaxEntityBytes); err != nil {
		return 0, err
	}
	if err := s.readable(ctx); err != nil {
		return 0, err
	}
	s.catchUp()
	state, _, err := s.lastOfEntity(entity)
	return state.version, s.readError(err)
}

// lastOfEntity finds the state of an entity in the log, as of the head at one moment of the call.
//
// The index of the active segment may know more than is visible: the events of the group that is
// being written. Then the last one before that group counts. It was the last visible one when that
// group began: after the head was looked at here, or before it and the head had not moved since.
func (s *Store) lastOfEntity(name string) (state entityState, found bool, err error) {
	head := Position(s.head.Load())
	for _, g := range slices.Backward(*s.segments.Load()) {
		idx, err := s.indexOf(g)
		if err != nil {
			return state, false, err
		}
		ord, ok, err := idx.LastOf(name)
		if ok && g.first+Position(ord) > head {
			ord, ok, err = idx.LastPublished(name)
		}
		if err != nil {
			return state, false, err
		}
		if !ok {
			continue
		}
		e, err := s.eventIn(g, idx, ord)
		if err != nil {
			return state, false, err
		}
		if e.Coordinate.Entity != name { // another entity with the same hash: look at them all
			return s.scanForEntity(name, head)
		}
		return entityState{version: e.Version, hash: e.Hash()}, true, nil
	}
	return state, false, nil
}

// scanForEntity is lastOfEntity for names whose hash collides: it reads all events of the entity up
// to head. Hashes have 64 bits, so this hardly ever runs: it is plain rather than fast.
func (s *Store) scanForEntity(name string, head Position) (state entityState, found bool, err error) {
	query := index.Query{Entity: name}
	for _, g := range *s.segments.Load() {
		if g.first > head {
			break
		}
		idx, err := s.indexOf(g)
		if err != nil {
			return state, false, err
		}
		visible := min(idx.Len(), uint32(head+1-g.first))
		ords, _, err := idx.Select(query, 0, visible, int(visible), nil)
		if err != nil {
			return state, false, err
		}
		for _, ord := range ords {
			e, err := s.eventIn(g, idx, ord)
			if err != nil {
				return state, false, err
			}
			if e.Coordinate.Entity == name {
				state, found = entityState{version: e.Version, hash: e.Hash()}, true
			}
		}
	}
	return state, found, nil
}
