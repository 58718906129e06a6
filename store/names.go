package store

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Field is what [Names] lists.
type Field uint8

// The fields whose names can be listed.
const (
	EntityNames   Field = iota // of one level: "order" for "order:42", and below "order:" "order:42"
	ScopeNames                 // but for the reserved one
	KindNames                  // whole
	CategoryNames              // of kinds
)

// Name is one that events have.
type Name struct {
	Text string
	// Events is how many there are: of an entity those of its namespace, too, as [Region] has them.
	Events int
}

// maxNamesSeen bounds the names that are looked at for one that is listed.
const maxNamesSeen = 10

// Names lists names of a field that begin with a prefix, in alphabetical order, and how many events
// have each, as of the head at the call. It is for people who type: completion, pickers. more says
// that there are others; which ones are listed then is not determined. Entities are listed a level
// at a time: the prefix says of which namespace, up to its last colon, and how the level begins. Of
// namespaces deeper than the index knows, which is seven levels, there are none. Errors: a limit
// below 1, ctx's, [ErrClosed], [CorruptError] for damage.
//
// Names are not written down anywhere but in events. Each event has one name, so in each segment
// the known names count as many events as there are, or one of the others is found by halving, and
// its event read. So the cost grows with the segments times the names, at less than a microsecond,
// and with the square of the names where a segment has new ones: some ten milliseconds for a
// hundred. No more than ten times limit are looked at, also where few of them begin with the
// prefix.
func Names(ctx context.Context, st *Store, f Field, prefix string, limit int) (names []Name, more bool, err error) {
	if limit < 1 {
		return nil, false, &InvalidError{Field: "limit", Rule: "must be at least 1", Value: limit}
	}
	if f > CategoryNames {
		return nil, false, &InvalidError{Field: "field", Rule: "must be one of names", Value: int(f)}
	}
	l := listing{store: st, field: f, prefix: prefix, limit: limit, counts: make(map[string]int)}
	if f == EntityNames {
		colon := strings.LastIndexByte(prefix, ':')
		l.namespace = prefix[:max(colon, 0)]
		if colon >= 0 && !(index.Query{Entity: l.namespace + ":x"}).Exact() {
			return nil, false, nil
		}
	}
	if err := l.run(ctx); err != nil {
		return nil, false, err
	}
	for name, n := range l.counts {
		if n > 0 && l.lists(name) {
			names = append(names, Name{name, n})
		}
	}
	slices.SortFunc(names, func(a, b Name) int { return cmp.Compare(a.Text, b.Text) })
	return names, l.more, nil
}

// listing is what Names works with.
type listing struct {
	store     *Store
	field     Field
	prefix    string
	namespace string // of entities; "" for the first level
	limit     int
	known     []string // names that were seen
	counts    map[string]int
	listed    int      // of the known, those that begin with the prefix
	nameless  []uint32 // events of the segment that have no name
	looked    int      // how many such there were in all
	more      bool
}

func (l *listing) run(ctx context.Context) error {
	s := l.store
	if err := s.readable(ctx); err != nil {
		return err
	}
	after, upTo := s.first()-1, s.Head()
	start := after
	for hidden := s.cancelled(); after < upTo; {
		if err := s.readable(ctx); err != nil {
			return err
		}
		part := hidden.visibleAfter(after, upTo)
		if after = part.From - 1; part.From > part.To {
			continue
		}
		g, idx, from, to, err := s.segmentRange(after, part.To)
		if err == nil {
			err = l.segment(g, idx, from, to)
		}
		if s.again(&err) || s.beginsLater(err, &after, &start) {
			continue
		}
		if err != nil {
			return s.readError(err)
		}
		after = g.first + Position(to) - 1
	}
	return nil
}

// segment finds the names that a part of a segment has and that are not known, as far as that is
// worth it, and counts the events of all that are known.
func (l *listing) segment(g *segment, idx index.Index, from, to uint32) error {
	l.nameless = l.nameless[:0]
	for !l.more {
		ord, found, err := l.unknown(idx, from, to)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		e, err := l.store.eventIn(g, idx, ord)
		if err != nil {
			return err
		}
		l.learn(&e, ord)
	}
	counts := make([]int, len(l.known))
	for i, name := range l.known {
		n, err := l.region(name).count(idx, from, to, math.MaxInt)
		if err != nil {
			return err
		}
		counts[i] = n
	}
	for i, name := range l.known { // only now, as the segment may have to be asked again
		l.counts[name] += counts[i]
	}
	return nil
}

// unknown finds the first event of a range that has none of the known names: up to it, and not
// before, there are more events than the known names have.
func (l *listing) unknown(idx index.Index, from, to uint32) (ord uint32, found bool, err error) {
	lacks := func(end uint32) bool {
		n, failed := idx.Count(index.Query{Entity: l.namespace}, from, end, math.MaxInt)
		for i := 0; i < len(l.known) && n > 0 && failed == nil; i++ {
			var have int
			have, failed = idx.Count(l.region(l.known[i]).query(), from, end, math.MaxInt)
			n -= have
		}
		for _, ord := range l.nameless {
			if ord < end {
				n--
			}
		}
		if failed != nil {
			err = failed
		}
		return failed != nil || n > 0
	}
	if !lacks(to) {
		return 0, false, err
	}
	n := sort.Search(int(to-from), func(i int) bool { return err != nil || lacks(from+uint32(i)+1) })
	return from + uint32(n), true, err
}

// learn takes in the name of an event that has none of those that are known. One that is in the
// namespace itself has none, and is remembered: so is one that the index takes for another.
func (l *listing) learn(e *Event, ord uint32) {
	name := l.nameOf(e)
	if name == "" || slices.Contains(l.known, name) {
		l.nameless = append(l.nameless, ord)
		l.looked++
	} else {
		if l.lists(name) {
			if l.listed == l.limit {
				l.more = true
				return
			}
			l.listed++
		}
		l.known = append(l.known, name)
	}
	l.more = l.more || len(l.known)+l.looked > maxNamesSeen*l.limit
}

// lists reports whether a name belongs to what is listed.
func (l *listing) lists(name string) bool {
	return strings.HasPrefix(name, l.prefix) && (l.field != ScopeNames || name != ReservedScope)
}

// nameOf returns the name that an event has in the field, "" where it has none below the namespace.
func (l *listing) nameOf(e *Event) string {
	switch l.field {
	case ScopeNames:
		return e.Coordinate.Scope
	case KindNames:
		return e.Kind
	case CategoryNames:
		return categoryOf(e.Kind)
	case EntityNames:
	}
	entity, start := e.Coordinate.Entity, 0
	if l.namespace != "" {
		if start = len(l.namespace) + 1; !strings.HasPrefix(entity, l.namespace+":") {
			return ""
		}
	}
	level, _, _ := strings.Cut(entity[start:], ":")
	return entity[:start+len(level)]
}

// region is that of the events that have a name.
func (l *listing) region(name string) Region {
	switch l.field {
	case ScopeNames:
		return Region{Scope: name}
	case KindNames:
		return Region{Kinds: []string{name}}
	case CategoryNames:
		return Region{Category: name}
	case EntityNames:
	}
	return Region{Entity: name}
}
