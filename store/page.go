package store

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// Page is a part of the log as a region sees it.
type Page struct {
	// Events that match, in order of position.
	Events []Event
	// Scanned is the position up to which everything was looked at: a reader continues after it.
	Scanned Position
}

// ReadPage returns the events of r after after and up to upTo (0 or beyond the head: up to the
// head), at most limit of them. It does a bounded amount of work: a page may hold fewer events, or
// none, with Scanned below upTo; a reader continues from there. A limit below 1 is refused with an
// [InvalidError], a bad region with its error; damage that it meets is a [CorruptError].
func (s *Store) ReadPage(ctx context.Context, r Region, after, upTo Position, limit int) (Page, error) {
	if err := r.Validate(); err != nil {
		return Page{}, err
	}
	if limit < 1 {
		return Page{}, &InvalidError{Field: "limit", Rule: "must be at least 1", Value: limit}
	}
	if err := s.readable(ctx); err != nil {
		return Page{}, err
	}
	head := s.Head()
	if upTo == 0 || upTo > head {
		upTo = head
	}
	if after >= upTo {
		return Page{Scanned: after}, nil
	}
	return s.readPage(r, after, upTo, limit)
}

// readPage is ReadPage with checked arguments. It makes room for what the page may hold, but for no
// more than a page of Read: limit may be huge.
func (s *Store) readPage(r Region, after, upTo Position, limit int) (Page, error) {
	d := s.decoders.get()
	defer s.decoders.put(d)
	room := min(uint64(limit), uint64(upTo-after), readPageEvents)
	events, scanned, err := s.fill(d, make([]Event, 0, room), r, after, upTo, limit)
	if err != nil {
		return Page{}, s.readError(err)
	}
	return Page{Events: events, Scanned: scanned}, nil
}

// fill appends to dst the next events of r in (after, upTo]. Four bounds end it: the events that
// are asked for, the bytes read, the segments looked at, and upTo; so a region that matches next to
// nothing does not keep its reader away from ctx. It fails only if the very next event cannot be
// read: what is good before a bad one is returned first, and the error by the next call. The head
// is fixed by upTo and the segments are loaded after it, so that what is appended meanwhile changes
// nothing.
func (s *Store) fill(
	d *decoder, dst []Event, r Region, after, upTo Position, limit int,
) (events []Event, scanned Position, err error) {
	f, bytesLeft, scanned := newFilter(r), int64(maxPageBytes), after
	for hops := 0; scanned < upTo && len(dst) < limit && bytesLeft > 0 && hops < maxPageHops; hops++ {
		g, idx, from, to, err := s.segmentRange(scanned, upTo)
		if err != nil {
			return dst, scanned, deferIfProgress(err, after, scanned)
		}
		next, err := d.find(idx, f.query, from, to, limit-len(dst))
		if err != nil {
			return dst, scanned, deferIfProgress(err, after, scanned)
		}
		for ords, extents := d.ords, d.extent; len(ords) > 0 && bytesLeft > 0; {
			span := planSpan(g, ords, extents)
			var looked int
			dst, looked, err = span.read(d, dst, f)
			if err != nil {
				scanned = max(scanned, g.first+Position(ords[looked])-1)
				return dst, scanned, deferIfProgress(err, after, scanned)
			}
			scanned = g.first + Position(ords[looked-1])
			bytesLeft -= span.end - span.start
			ords, extents = ords[looked:], extents[looked:]
		}
		if bytesLeft > 0 {
			scanned = g.first + Position(next) - 1
		}
	}
	return dst, scanned, nil
}

// find leaves in d the ordinals and extents of the next events that match, and returns the place to
// continue from.
func (d *decoder) find(idx index.Index, q index.Query, from, to uint32, limit int) (next uint32, err error) {
	if d.ords, next, err = idx.Select(q, from, to, limit, d.ords[:0]); err != nil {
		return from, err
	}
	d.extent, err = idx.Extents(d.ords, d.extent[:0])
	return next, err
}

// deferIfProgress leaves an error to the next call when this one got anywhere: that call begins
// where this one ended, meets the same damage, and has nothing good before it.
func deferIfProgress(err error, after, scanned Position) error {
	if scanned > after {
		return nil
	}
	return err
}

// segmentRange finds the segment that holds the position after after, and the ordinals [from, to)
// of (after, upTo] in it. Where a segment ends follows from where the next one begins: the last one
// may be growing, and of it only what lies up to upTo, which is visible, is asked for.
func (s *Store) segmentRange(after, upTo Position) (g *segment, idx index.Index, from, to uint32, err error) {
	segments := *s.segments.Load()
	i := sort.Search(len(segments), func(i int) bool { return segments[i].first > after+1 }) - 1
	if i < 0 {
		return nil, nil, 0, 0, fmt.Errorf("position %d: %w", after+1, ErrNotFound)
	}
	g = segments[i]
	if idx, err = s.indexOf(g); err != nil {
		return nil, nil, 0, 0, err
	}
	last := upTo
	if i+1 < len(segments) {
		last = min(last, segments[i+1].first-1)
	}
	return g, idx, uint32(after + 1 - g.first), uint32(last + 1 - g.first), nil
}

// readSpan is a range of a segment that is read at once: the events with the given ordinals and
// what lies between.
type readSpan struct {
	segment    *segment
	ords       []uint32
	extents    []index.Extent
	start, end int64
}

// planSpan takes as many of the ordinals as lie close together. Reading over a small gap is cheaper
// than another call to the system; a gap that is larger ends the span, and a span is not much
// longer than spanBytes.
func planSpan(g *segment, ords []uint32, extents []index.Extent) readSpan {
	readable := g.end.Load()
	endOf := func(x index.Extent) int64 {
		end := min(readable, int64(x.Start)+spanBytes) // side values may follow, more than are worth reading
		if x.Next != 0 {
			end = min(end, int64(x.Next))
		}
		return end
	}
	r := readSpan{segment: g, start: int64(extents[0].Start), end: endOf(extents[0])}
	n := 1
	for ; n < len(ords); n++ {
		offset := int64(extents[n].Start)
		if offset-r.end > spanGap || offset-r.start > spanBytes {
			break
		}
		r.end = endOf(extents[n])
	}
	r.ords, r.extents = ords[:n], extents[:n]
	return r
}

// read appends the events of the span that f admits, up to the first that cannot be read, and
// returns how many of the span it looked at. The slices of the events point into one buffer, which
// lives as long as any of them.
//
// Each record is checked by its own checksum, and its position against the one that the index led
// to: neither damage nor an index that is wrong yields an event that is not there. A record that
// reaches beyond the span, a large payload, is read again whole and ends it.
func (r *readSpan) read(d *decoder, dst []Event, f *filter) (events []Event, looked int, err error) {
	before, size := len(dst), int(r.end-r.start)
	buf := slices.Grow(d.span[:0], size)[:size]
	d.span = nil // the events own it
	if err := r.segment.read(buf, r.start); err != nil {
		return dst, 0, err
	}
	for i, ord := range r.ords {
		offset := int64(r.extents[i].Start)
		rec, n, err := wal.ParseRecord(buf[offset-r.start:])
		if err != nil && n > int(r.end-offset) { // longer than what was read, so the last of the span
			if rec, err = r.segment.record(offset); err != nil {
				return dst, i, err
			}
			r.end = offset + int64(n)
		}
		if err != nil {
			return dst, i, r.segment.corrupt(offset, "record does not match its checksum")
		}
		dst = slices.Grow(dst, 1)[:len(dst)+1] // decode sets every field
		e := &dst[len(dst)-1]
		if !d.decode(rec, e) || e.Position != r.segment.first+Position(ord) {
			return dst[:len(dst)-1], i, r.segment.corrupt(offset, "not the event that the index names")
		}
		if !f.admits(e) {
			dst = dst[:len(dst)-1]
		}
	}
	if d.condense(dst[before:], size) {
		d.span = buf
	}
	return dst, len(r.ords), nil
}

// condense copies events out of a buffer of which they are the lesser part, and returns whether it
// did: then the buffer is free. So what scattered events keep alive is at most twice what they
// have, and not all that was read to get at them.
func (d *decoder) condense(events []Event, size int) bool {
	total := 0
	for i := range events {
		total += len(events[i].record)
	}
	if total > size/2 {
		return false
	}
	own := make([]byte, 0, total)
	for i := range events {
		e, start := &events[i], len(own)
		own = append(own, e.record...)
		d.decode(own[start:len(own):len(own)], e) // as it was decoded before
	}
	return true
}

// filter is a region ready for use. The index is queried with its terms; what the index cannot
// know, or knows by hash only, is checked on the event. A nil filter admits every event, those of
// the reserved scope too.
type filter struct {
	region Region
	query  index.Query
	any    bool // the query has no term
}

// newFilter copies nothing: the region's kinds must not change while the filter is used, which is
// no longer than the call that was given the region.
func newFilter(r Region) *filter {
	q := r.query()
	return &filter{region: r, query: q, any: q.Entity == "" && q.Scope == "" && q.Category == "" && len(q.Kinds) == 0}
}

func (f *filter) admits(e *Event) bool {
	return f == nil || f.region.admits(e) && (f.any ||
		f.query.Matches(index.Terms{Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Kind: e.Kind}))
}
