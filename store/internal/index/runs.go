package index

import (
	"maps"
	"sort"
)

// Runs is the index of a segment in runs: indexes of its events, one after the other, of which only
// the last may grow. A Runs does not change; With makes another.
type Runs struct{ parts []Part }

// A Part is one of the indexes that make up that of a segment. It counts its events from 0: First
// is the ordinal in the segment that the first of them has.
type Part struct {
	Index
	First uint32
}

// NewRuns puts indexes in a row.
func NewRuns(indexes ...Index) *Runs {
	r := &Runs{}
	for _, x := range indexes {
		r = r.With(x)
	}
	return r
}

// With returns the runs and one more, which may grow. None of the others does from now on.
func (r *Runs) With(x Index) *Runs {
	parts := append(make([]Part, 0, len(r.parts)+1), r.parts...)
	return &Runs{append(parts, Part{x, r.Len()})}
}

// Parts returns the number of indexes that make up x: each answers for other events.
func Parts(x Index) int {
	if r, ok := x.(*Runs); ok {
		return len(r.parts)
	}
	return 1
}

// Newest returns one of the Parts of x, of which 0 has the last events.
func Newest(x Index, i int) Part {
	if r, ok := x.(*Runs); ok {
		return r.parts[len(r.parts)-1-i]
	}
	return Part{Index: x}
}

// at returns which part has an event.
func (r *Runs) at(ord uint32) int {
	return sort.Search(len(r.parts), func(i int) bool { return r.parts[i].First > ord }) - 1
}

// Len implements Index.
func (r *Runs) Len() uint32 {
	if len(r.parts) == 0 {
		return 0
	}
	last := r.parts[len(r.parts)-1]
	return last.First + last.Index.Len()
}

// Offset implements Index.
func (r *Runs) Offset(ord uint32) (uint32, error) {
	p := r.parts[r.at(ord)]
	return p.Index.Offset(ord - p.First)
}

// Extents implements Index.
func (r *Runs) Extents(ords []uint32, dst []Extent) (_ []Extent, err error) {
	for len(ords) > 0 {
		i := r.at(ords[0])
		p, n := r.parts[i], len(ords)
		if i+1 < len(r.parts) {
			n = sort.Search(len(ords), func(j int) bool { return ords[j] >= r.parts[i+1].First })
		}
		if dst, err = p.extents(ords[:n], dst); err != nil {
			return dst, err
		}
		if last := &dst[len(dst)-1]; last.Next == 0 && ords[n-1]+1 < r.Len() {
			if last.Next, err = r.Offset(ords[n-1] + 1); err != nil {
				return dst, err
			}
		}
		ords = ords[n:]
	}
	return dst, nil
}

func (p Part) extents(ords []uint32, dst []Extent) ([]Extent, error) {
	if p.First == 0 {
		return p.Index.Extents(ords, dst)
	}
	own := make([]uint32, len(ords))
	for i, ord := range ords {
		own[i] = ord - p.First
	}
	return p.Index.Extents(own, dst)
}

// Select implements Index.
func (r *Runs) Select(q Query, from, to uint32, limit int, dst []uint32) (_ []uint32, next uint32, err error) {
	to, next = min(to, r.Len()), from
	for next < to && limit > 0 {
		p, end := r.span(next, to)
		before := len(dst)
		dst, next, err = p.Index.Select(q, next-p.First, end-p.First, limit, dst)
		if err != nil {
			return dst, from, err
		}
		for i := before; i < len(dst); i++ {
			dst[i] += p.First
		}
		next += p.First
		limit -= len(dst) - before
	}
	return dst, next, nil
}

// span returns the part that has an event, and where in [from, to) its events end.
func (r *Runs) span(from, to uint32) (p Part, end uint32) {
	i := r.at(from)
	if i+1 < len(r.parts) {
		to = min(to, r.parts[i+1].First)
	}
	return r.parts[i], to
}

// Count implements Index.
func (r *Runs) Count(q Query, from, to uint32, limit int) (n int, err error) {
	for to = min(to, r.Len()); from < to && n < limit; {
		p, end := r.span(from, to)
		found, err := p.Index.Count(q, from-p.First, end-p.First, limit-n)
		if err != nil {
			return n, err
		}
		n, from = n+found, end
	}
	return n, nil
}

// Linked implements Index.
func (r *Runs) Linked(by Link, id [16]byte, from, to uint32, dst []uint32) (_ []uint32, err error) {
	for to = min(to, r.Len()); from < to; {
		p, end := r.span(from, to)
		before := len(dst)
		if dst, err = p.Index.Linked(by, id, from-p.First, end-p.First, dst); err != nil {
			return dst, err
		}
		for i := before; i < len(dst); i++ {
			dst[i] += p.First
		}
		from = end
	}
	return dst, nil
}

// LastOf implements Index.
func (r *Runs) LastOf(entity string) (ord uint32, ok bool, err error) {
	return r.last(func(x Index) (uint32, bool, error) { return x.LastOf(entity) })
}

// LastPublished implements Index.
func (r *Runs) LastPublished(entity string) (ord uint32, ok bool, err error) {
	return r.last(func(x Index) (uint32, bool, error) { return x.LastPublished(entity) })
}

// Published implements Index.
func (r *Runs) Published() uint32 {
	if len(r.parts) == 0 {
		return 0
	}
	last := r.parts[len(r.parts)-1]
	return last.First + last.Index.Published()
}

func (r *Runs) last(ask func(Index) (uint32, bool, error)) (ord uint32, ok bool, err error) {
	for i := range r.parts {
		p := Newest(r, i)
		if ord, ok, err = ask(p.Index); ok || err != nil {
			return ord + p.First, ok, err
		}
	}
	return 0, false, nil
}

// FindKey implements Index. Where a run is a Sealed it goes by the hash of key, and hides what an
// older run says. So do LastOf and LastPublished: a caller that must not miss anything asks each of
// the Parts.
func (r *Runs) FindKey(key string) (offset uint32, ok bool, err error) {
	for i := range r.parts {
		if offset, ok, err = Newest(r, i).FindKey(key); ok || err != nil {
			return offset, ok, err
		}
	}
	return 0, false, nil
}

// FindState implements Index: there is none, as runs are of a segment that is written.
func (r *Runs) FindState(string) (offset uint32, ok bool, err error) { return 0, false, nil }

// Join returns the index of the events of several, one after the other, none of which grows any
// more.
func Join(parts ...*Active) *Active {
	if len(parts) == 1 {
		return parts[0]
	}
	joined := NewActive()
	for _, p := range parts {
		joined.take(p)
	}
	return joined
}

// take adds the events of p after those that there are.
func (a *Active) take(p *Active) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	first := uint32(a.offsets.len())
	a.offsets = append(a.offsets, p.offsets...)
	for f, lists := range p.lists {
		for text, l := range lists {
			a.newList(field(f), text).take(l, first)
		}
	}
	for name, l := range p.deep {
		a.entity(name).take(l, first)
	}
	for by, rows := range p.links {
		for _, r := range rows {
			a.links[by] = append(a.links[by], row[uint32]{r.hash, first + r.value})
		}
	}
	maps.Copy(a.keys, p.keys)
	maps.Copy(a.sides, p.sides)
}

// take adds what another list has, of events that have ordinals from first on here.
func (l *list) take(of *list, first uint32) {
	for i := range of.ords.len() {
		l.ords = l.ords.append(first + of.ords.get(i))
	}
	if of.last > 0 {
		l.last = first + of.last
	}
}
