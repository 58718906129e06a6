package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
)

// targets is the search for what is to be erased. Of what is hidden or not visible yet the content
// is on disk, too.
type targets struct {
	store   *Store
	upTo    Position
	first   Position               // of those that were found
	sources map[uuid.UUID]int      // what was found, for the search of effects
	erased  map[Position]Recorded  // what is to be erased and is not yet: see later
	before  []Range                // what was erased before
	former  map[uuid.UUID]struct{} // by these erasures
	causes  map[uuid.UUID]Position // of what workers emitted, and the first such event: see drafts
	dropped int                    // what was asked for and retention has dropped
	left    []Recorded             // effects that are not to be
}

func (s *Store) newTargets() *targets {
	upTo := Position(s.assigned.Load())
	return &targets{
		store: s, upTo: upTo, first: upTo, sources: make(map[uuid.UUID]int),
		erased: make(map[Position]Recorded), former: make(map[uuid.UUID]struct{}), causes: make(map[uuid.UUID]Position),
	}
}

func (t *targets) find(ctx context.Context, e *Erasure) error {
	for _, id := range e.Events {
		event, err := t.store.Get(ctx, id)
		if isDropped(err) {
			t.dropped++
			continue
		}
		if err != nil {
			return err
		}
		t.add(&event)
	}
	if e.Entity != "" {
		if err := t.entity(ctx, e.Entity); err != nil {
			return err
		}
	}
	return t.effects(ctx, e.Effects)
}

// add takes in an event that was asked for.
func (t *targets) add(e *Event) {
	t.first, t.sources[e.ID] = min(t.first, e.Position), 0
	t.erase(e)
}

func (t *targets) erase(e *Event) {
	if first, known := t.causes[e.Cause]; e.emitted() && (!known || e.Position < first) {
		t.causes[e.Cause] = e.Position
	}
	if by, before := e.Erased(); before {
		t.before = append(t.before, Range{e.Position, e.Position})
		t.former[by.Erasure] = struct{}{}
	} else {
		t.erased[e.Position] = recorded(e)
	}
}

func recorded(e *Event) Recorded {
	return Recorded{ID: e.ID, Position: e.Position, Version: e.Version}
}

// entity finds the events of exactly this one.
func (t *targets) entity(ctx context.Context, entity string) error {
	s, before := t.store, len(t.sources)
	for scanned := s.first() - 1; scanned < t.upTo; {
		if err := s.readable(ctx); err != nil {
			return err
		}
		var err error
		scanned, err = t.entityIn(entity, scanned)
		if first := s.first(); isDropped(err) && scanned+1 < first { // gone in any case
			scanned = first - 1
			continue
		}
		if err != nil && !s.again(&err) {
			return err
		}
	}
	was, err := s.stateBefore(entity)
	if err != nil {
		return err
	}
	t.dropped += int(was.Version)
	if len(t.sources) == before && was.Version == 0 {
		return fmt.Errorf("entity %q: %w", entity, ErrNotFound)
	}
	return nil
}

// entityIn looks at some events of one segment after a position, and returns how far. A segment
// whose index does not have exactly this entity is passed over.
func (t *targets) entityIn(entity string, scanned Position) (Position, error) {
	g, idx, from, to, err := t.store.segmentRange(scanned, t.upTo)
	if err != nil {
		return scanned, err
	}
	_, has, err := idx.LastOf(entity)
	if err != nil {
		return scanned, err
	}
	if !has {
		return g.first + Position(to) - 1, nil
	}
	ords, next, err := idx.Select(index.Query{Entity: entity}, from, to, readPageEvents, nil)
	if err != nil {
		return scanned, err
	}
	for _, ord := range ords {
		e, err := t.store.eventIn(g, idx, ord)
		if err != nil {
			return scanned, err
		}
		if e.Coordinate.Entity == entity { // else of its namespace
			t.add(&e)
		}
	}
	return g.first + Position(next) - 1, nil
}

// effects finds what followed from the events that were found, also where it cannot be seen. What
// the reserved scope has that points at one of them is about it.
func (t *targets) effects(ctx context.Context, erased bool) error {
	if len(t.sources) == 0 {
		return nil
	}
	w := sweep{
		store: t.store, by: index.Cause, sources: maps.Clone(t.sources), ids: slices.Collect(maps.Keys(t.sources)),
		scanned: t.first, start: t.first, upTo: t.upTo, all: true,
	}
	w.yield = func(e Event, _ error) bool {
		_, asked := t.sources[e.ID]
		_, about := t.sources[e.Cause]
		_, before := e.Erased()
		switch {
		case asked:
		case erased || about && e.Coordinate.Scope == ReservedScope:
			t.erase(&e)
		case !before:
			t.left = append(t.left, recorded(&e))
		}
		return true
	}
	return w.follow(ctx)
}

// later finds what the reserved scope has by now about the events that were to be erased, in place
// of these, which are erased.
func (t *targets) later(ctx context.Context) error {
	about := maps.Clone(t.sources)
	for p, r := range t.erased {
		about[r.ID] = 0
		t.before = append(t.before, Range{p, p})
	}
	clear(t.erased)
	from := t.upTo
	t.upTo = Position(t.store.assigned.Load())
	w := sweep{
		store: t.store, by: index.Cause, sources: maps.Clone(about), ids: slices.Collect(maps.Keys(about)),
		scanned: from, start: from, upTo: t.upTo, all: true,
	}
	w.yield = func(e Event, _ error) bool {
		_, is := about[e.Cause]
		if _, before := e.Erased(); is && !before && e.Coordinate.Scope == ReservedScope {
			t.erase(&e)
		}
		return true
	}
	return w.follow(ctx)
}

// drafts returns the positions of the causes of what workers emitted: side values that are named
// after these had it, where it was scheduled before it was written. A cause that the log does not
// have is of another one, or was dropped. It returns those that it has not returned before.
func (t *targets) drafts() (at ranges, err error) {
	var all []Range
	for id, before := range t.causes {
		cause, err := t.store.findBefore(before, id)
		if errors.Is(err, ErrNotFound) || isDropped(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Range{cause.Position, cause.Position})
	}
	clear(t.causes)
	return ranges(nil).with(all...), nil
}

// events returns what is to be erased, ascending, and the positions of all of it, with what was
// erased before: of that, too, side values may know.
func (t *targets) events() (events []Recorded, at ranges) {
	all := t.before
	for _, p := range slices.Sorted(maps.Keys(t.erased)) {
		events, all = append(events, t.erased[p]), append(all, Range{p, p})
	}
	return events, ranges(nil).with(all...)
}

// reserve returns a ReservedError where one of some events is staged in a fence that is open.
func (o *openFences) reserve(events ranges) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.list {
		for _, in := range f.ranges {
			if staged := events.clip(in.From, in.To); len(staged) > 0 {
				return &ReservedError{Position: staged[0].From, Reason: f.reason}
			}
		}
	}
	return nil
}
