package store

import (
	"context"
	"slices"
	"sync/atomic"

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
	last, err := s.lastOfEntity(entity, &s.head)
	return last.Version, s.readError(err)
}

// lastEvent is what the next event of an entity continues; zero where it has none.
type lastEvent struct {
	Position Position
	Version  uint64
	Hash     [32]byte
}

func lastEventOf(e Event) lastEvent { return lastEvent{e.Position, e.Version, e.Hash()} }

// lastOfEntity returns the last event of an entity, up to the head at one moment of the call, or up
// to what was assigned. What is hidden does not count, and what was dropped does.
//
// The index of the active segment may know more than that: the events of the group that is being
// written. Then the last one before that group counts, if the bound does not lie within the group,
// and it is up to the bound. Else, where the bound has moved meanwhile, all is asked again as of
// now; and where it has not, or what was found is hidden, the events of the entity are looked at
// one by one, the last first: that is so only while a fence is open, or after one was cancelled.
//
// A sealed index knows entities by their hash, and the record decides. Entities of one index have
// different hashes: so where another one has that of this one, the index has no event of this one.
func (s *Store) lastOfEntity(name string, bound *atomic.Uint64) (last lastEvent, err error) {
	for {
		last, err = s.findLast(name, bound)
		if !s.again(&err) {
			return last, err
		}
	}
}

func (s *Store) findLast(name string, bound *atomic.Uint64) (last lastEvent, err error) {
	upTo := Position(bound.Load())
	asked, stays := index.AskEntity(name), index.AskState(name)
	for g := range newestWith(*s.segments.Load(), &asked, &stays) {
		if g.dropped {
			if last, err = g.stateIn(s, name); err != nil || last.Version > 0 {
				return last, err
			}
			continue
		}
		idx, err := s.indexOf(g)
		if err != nil {
			return last, err
		}
		for i := range index.Parts(idx) {
			ord, ok, err := lastIn(index.Newest(idx, i), name, ordinalAfter(g, upTo))
			if err != nil {
				return last, err
			}
			if !ok {
				continue
			}
			if p := g.first + Position(ord); p > upTo || s.cancelled().has(p) {
				if p > upTo && Position(bound.Load()) > upTo {
					return s.findLast(name, bound)
				}
				if last, err = s.lookBack(g, idx, name, ordinalAfter(g, upTo)); err != nil || last.Position > 0 {
					return last, err
				}
				break // all parts were looked at
			}
			e, err := s.eventIn(g, idx, ord)
			if err != nil {
				return last, err
			}
			if e.Coordinate.Entity == name {
				return lastEventOf(e), nil
			}
		}
	}
	return last, nil
}

// ordinalAfter is that of the event after a position, in a segment; 0 where the segment begins
// after it.
func ordinalAfter(g *segment, p Position) uint32 { return uint32(max(p+1, g.first) - g.first) }

// lastIn returns the last event of an entity that a part of a segment's index knows, of which the
// events before visible are visible. Where it cannot tell it returns one that is not.
func lastIn(part index.Part, name string, visible uint32) (ord uint32, ok bool, err error) {
	ord, ok, err = part.LastOf(name)
	if ok && part.First+ord >= visible && part.First+part.Published() >= visible { // else a fence divides the group
		ord, ok, err = part.LastPublished(name)
	}
	return part.First + ord, ok, err
}

// lookBack returns the last event of an entity among the first so many of a segment that is not
// hidden; zero where there is none.
func (s *Store) lookBack(g *segment, idx index.Index, name string, before uint32) (last lastEvent, err error) {
	ords, _, err := idx.Select(index.Query{Entity: name}, 0, before, int(before), nil)
	if err != nil {
		return last, err
	}
	hidden := s.cancelled()
	for _, ord := range slices.Backward(ords) {
		if hidden.has(g.first + Position(ord)) {
			continue
		}
		e, err := s.eventIn(g, idx, ord)
		if err != nil {
			return last, err
		}
		if e.Coordinate.Entity == name {
			return lastEventOf(e), nil
		}
	}
	return last, nil
}
