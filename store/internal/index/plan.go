package index

import (
	"cmp"
	"slices"
)

// A finder looks up the posting list of a term; nil when no event has it.
type finder interface {
	find(f field, text string) cursor
}

// plan returns a cursor over the events in [from, to) that match q; nil when a
// term that q requires does not occur.
func plan(q Query, lists finder, from, to uint32) cursor {
	var terms []cursor
	for _, t := range []struct {
		field field
		text  string
	}{{fieldNamespace, namespace(q.Entity)}, {fieldScope, q.Scope}, {fieldCategory, q.Category}} {
		if t.text == "" {
			continue
		}
		c := lists.find(t.field, t.text)
		if c == nil {
			return nil
		}
		terms = append(terms, c)
	}
	if len(q.Kinds) > 0 {
		c := anyOf(q.Kinds, lists, from)
		if c == nil {
			return nil
		}
		terms = append(terms, c)
	}
	switch len(terms) {
	case 0:
		return everything{}
	case 1:
		return terms[0]
	default:
		return newMeet(terms, to)
	}
}

// anyOf returns a cursor over the events at or after from of any of the kinds;
// nil when none of them occurs.
func anyOf(kinds []string, lists finder, from uint32) cursor {
	if len(kinds) > 1 {
		kinds = slices.Compact(slices.Sorted(slices.Values(kinds)))
	}
	var known []cursor
	for _, kind := range kinds {
		if c := lists.find(fieldKind, kind); c != nil {
			known = append(known, c)
		}
	}
	switch len(known) {
	case 0:
		return nil
	case 1:
		return known[0]
	default:
		return newUnion(known, from)
	}
}

// collect is Select over a planned query.
func collect(c cursor, from, to uint32, limit int, dst []uint32) (ords []uint32, next uint32) {
	if c == nil && from < to && limit > 0 {
		return dst, to
	}
	for ; from < to && limit > 0; limit-- {
		ord := c.seek(from)
		if ord >= to {
			return dst, to
		}
		dst = append(dst, ord)
		from = ord + 1
	}
	return dst, from
}

// tally is Count over a planned query.
func tally(c cursor, from, to uint32, limit int) int {
	if c == nil || from >= to || limit < 1 {
		return 0
	}
	return c.count(from, to, limit)
}

// meet is a cursor over the ordinals below end that all of its parts have.
type meet struct {
	parts []cursor // the shortest leads, the others answer whether they follow
	end   uint32   // without it, parts that never meet would be read to their end
}

func newMeet(parts []cursor, end uint32) *meet {
	slices.SortStableFunc(parts, func(a, b cursor) int { return cmp.Compare(a.size(), b.size()) })
	return &meet{parts, end}
}

func (m *meet) seek(ord uint32) uint32 {
	for ord < m.end {
		agreed := m.parts[0].seek(ord)
		if agreed >= m.end {
			break
		}
		ord = agreed
		for _, part := range m.parts[1:] {
			if ord = part.seek(ord); ord != agreed {
				break
			}
		}
		if ord == agreed {
			return ord
		}
	}
	return none
}

func (m *meet) size() int { return m.parts[0].size() }

func (m *meet) count(from, to uint32, limit int) int {
	n := 0
	for n < limit {
		ord := m.seek(from)
		if ord >= to {
			break
		}
		from = ord + 1
		n++
	}
	return n
}

// union is a cursor over the ordinals that any of its parts has: a binary heap
// of the parts by the ordinal each of them stands at.
type union struct {
	parts []standing
	total int
}

type standing struct {
	cursor
	ord uint32
}

// newUnion makes a union of parts without common ordinals, for ordinals at or
// after from.
func newUnion(parts []cursor, from uint32) *union {
	u := &union{parts: make([]standing, len(parts))}
	for i, part := range parts {
		u.parts[i] = standing{part, part.seek(from)}
		u.total += part.size()
	}
	// What is sorted is a heap.
	slices.SortFunc(u.parts, func(a, b standing) int { return cmp.Compare(a.ord, b.ord) })
	return u
}

func (u *union) seek(ord uint32) uint32 {
	for first := &u.parts[0]; first.ord < ord; u.sink() {
		first.ord = first.seek(ord)
	}
	return u.parts[0].ord
}

// sink restores the heap after its first part has moved on.
func (u *union) sink() {
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(u.parts); child++ {
			if u.parts[child].ord < u.parts[least].ord {
				least = child
			}
		}
		if least == i {
			return
		}
		u.parts[i], u.parts[least] = u.parts[least], u.parts[i]
		i = least
	}
}

func (u *union) size() int { return u.total }

// An event has one kind, so the parts have nothing in common and their counts
// add up.
func (u *union) count(from, to uint32, limit int) int {
	n := 0
	for _, part := range u.parts {
		n += part.count(from, to, limit-n)
	}
	return n
}
