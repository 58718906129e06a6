package index

import (
	"slices"
	"strings"
)

// maxLevels bounds the namespace levels of an entity that get a posting list,
// and so the cost of adding an event. The first levels are the ones that count.
const maxLevels = 8

// Terms are what an event can be found by.
type Terms struct {
	Entity string // "order:42:item": every level at a colon is a namespace
	Scope  string
	Kind   string // "order.placed": the part before the first dot is its category
}

// Query selects events whose terms fulfil every field that is set. The zero
// Query matches every event.
type Query struct {
	Entity   string   // this entity and the namespace below it, up to a colon; "" is any
	Scope    string   // exactly this scope; "" is any
	Kinds    []string // any of these kinds; empty is any
	Category string   // kinds of this category, a kind without a dot being its own; "" is any
}

// Matches reports whether an event with terms t belongs to q.
func (q Query) Matches(t Terms) bool {
	return (q.Entity == "" || within(t.Entity, q.Entity)) &&
		(q.Scope == "" || t.Scope == q.Scope) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, t.Kind)) &&
		(q.Category == "" || category(t.Kind) == q.Category)
}

// Exact reports whether an index selects no event that does not match, but for a confusion of
// hashes.
func (q Query) Exact() bool { return namespace(q.Entity) == q.Entity }

// Index is what Active and Sealed have in common. All methods may be called from
// any number of goroutines.
//
// An error says that the index cannot be read, or is damaged: a [CorruptError], or that of the
// file. What is returned beside it means nothing. An Active never fails.
type Index interface {
	// Len returns the number of events.
	Len() uint32

	// Offset returns the offset of event ord's record in the segment. It panics
	// when ord is not below Len, as a slice does.
	Offset(ord uint32) (uint32, error)

	// Extents appends to dst, for each of the ascending ordinals, the offset of the event's
	// record and the offset of the record of the event after it, which is at or beyond
	// the end of the former; 0 when there is none. It panics like Offset.
	Extents(ords []uint32, dst []Extent) ([]Extent, error)

	// Select appends to dst, ascending, the ordinals in [from, to) of events that
	// match q, at most limit of them, and returns the place to go on from: to when
	// there are no more, else the place after the last one appended. An event
	// may be returned that does not match in the cases the package names.
	//
	// The end of the range is never beyond Len: a greater to is taken as Len, so
	// that going on from next cannot skip an event added meanwhile. With limit < 1 or an
	// empty range nothing is appended and next is from.
	Select(q Query, from, to uint32, limit int, dst []uint32) (ords []uint32, next uint32, err error)

	// Count returns how many events in [from, to) Select would find, but at most
	// limit, where it stops counting.
	Count(q Query, from, to uint32, limit int) (int, error)

	// Linked appends to dst, ascending, the ordinals in [from, to) of events that point at an id in
	// this way, all of them. It goes by a hash: the caller compares the id in the record. A blob
	// that knows no links returns ErrNoLinks.
	Linked(by Link, id [16]byte, from, to uint32, dst []uint32) ([]uint32, error)

	// LastOf returns the last event whose entity is exactly this one. A Sealed
	// answers by hash: the caller compares the entity in the record.
	LastOf(entity string) (ord uint32, ok bool, err error)

	// LastPublished is LastOf among the events that were visible when PublishUpTo was last
	// called: none before the first call, and all of them in a Sealed.
	LastPublished(entity string) (ord uint32, ok bool, err error)

	// Published returns how many events that are, of all entities.
	Published() uint32

	// FindKey returns the offset of the record of an idempotency key. A Sealed
	// answers by hash: the caller compares the key in the record.
	FindKey(key string) (offset uint32, ok bool, err error)

	// FindState returns the offset of the record of the state of an entity whose events were dropped.
	// A Sealed answers by hash: the caller compares the entity in the record.
	FindState(entity string) (offset uint32, ok bool, err error)
}

// An Extent bounds the record of an event in its segment: it starts at Start and ends
// at or before Next, which is 0 when no event follows.
type Extent struct{ Start, Next uint32 }

// extents implements Extents on the offsets.
func extents(offsets *run, ords []uint32, dst []Extent) []Extent {
	last := offsets.len() - 1
	for _, ord := range ords {
		x := Extent{Start: offsets.u32(int(ord))}
		if int(ord) < last {
			x.Next = offsets.u32(int(ord) + 1)
		}
		dst = append(dst, x)
	}
	return dst
}

// A field names one kind of text. Its values are hashed into the footer and
// never change.
type field byte

const (
	fieldNamespace field = 0 // an entity, or a namespace above it
	fieldScope     field = 1
	fieldKind      field = 2
	fieldCategory  field = 3
	listFields           = 4 // the fields above have posting lists

	fieldEntity field = 4 // an exact entity, for its last event, or its state
	fieldKey    field = 5 // an idempotency key
)

// wider returns the term that every event under this one also carries.
func (f field) wider(text string) (field, string, bool) {
	switch f {
	case fieldNamespace:
		colon := strings.LastIndexByte(text, ':')
		return fieldNamespace, text[:max(colon, 0)], colon >= 0
	case fieldKind:
		return fieldCategory, category(text), true
	default:
		return 0, "", false
	}
}

// namespace returns entity cut after its first maxLevels levels: its deepest
// level with a posting list.
func namespace(entity string) string {
	end := 0
	for range maxLevels {
		colon := strings.IndexByte(entity[end:], ':')
		if colon < 0 {
			return entity
		}
		end += colon + 1
	}
	return entity[:end-1]
}

func within(entity, namespace string) bool {
	rest, ok := strings.CutPrefix(entity, namespace)
	return ok && (rest == "" || rest[0] == ':')
}

func category(kind string) string {
	before, _, _ := strings.Cut(kind, ".")
	return before
}
