package store

import (
	"iter"
	"strings"
)

// Term is one property that events can be looked up by: an entity or a namespace above it, a scope,
// a kind, a category, or being an event at all. Terms are comparable, so that they may be the keys
// of a map: from the terms of regions to those that wait for their events.
//
// Whatever event a region matches, at least one of the event's terms is among those of the region.
// The reverse does not hold: sharing a term does not make an event match, so [Region.Matches]
// decides.
type Term struct {
	field termField
	text  string
}

type termField uint8

const (
	termAny termField = iota
	termEntity
	termScope
	termKind
	termCategory
)

// Terms iterates over all terms that the event has, each once: as many as its entity has levels,
// and four more.
func (e Event) Terms() iter.Seq[Term] {
	entity, scope, kind := e.Coordinate.Entity, e.Coordinate.Scope, e.Kind
	return func(yield func(Term) bool) {
		if !yield(Term{}) || !yield(Term{termScope, scope}) || !yield(Term{termKind, kind}) ||
			!yield(Term{termCategory, categoryOf(kind)}) {
			return
		}
		for i := 0; i < len(entity); i++ {
			if entity[i] == ':' && !yield(Term{termEntity, entity[:i]}) {
				return
			}
		}
		yield(Term{termEntity, entity})
	}
}

// Terms returns terms such that every event of the region has one of them: those of the field that
// is likely to be rarest among the events, so that few others have them too. That is a guess, as no
// event is counted: an entity with a colon is mostly one thing, kinds are chosen by their reader, a
// namespace and a category have many events, and a scope may have all.
func (r Region) Terms() []Term {
	switch {
	case r.Scope == ReservedScope:
		return []Term{{termScope, r.Scope}}
	case strings.Contains(r.Entity, ":"):
		return []Term{{termEntity, r.Entity}}
	case len(r.Kinds) > 0:
		terms := make([]Term, len(r.Kinds))
		for i, kind := range r.Kinds {
			terms[i] = Term{termKind, kind}
		}
		return terms
	case r.Entity != "":
		return []Term{{termEntity, r.Entity}}
	case r.Category != "":
		return []Term{{termCategory, r.Category}}
	case r.Scope != "":
		return []Term{{termScope, r.Scope}}
	}
	return []Term{{}}
}
