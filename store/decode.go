package store

import (
	"slices"
	"sync"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// readSpan is a stretch of a segment that is read at once: the events with the given ordinals and what lies between.
type readSpan struct {
	segment    *segment
	ords       []uint32
	extents    []index.Extent
	start, end int64
}

// planSpan takes as many of the ordinals as lie close together.
func planSpan(g *segment, ords []uint32, extents []index.Extent) readSpan {
	readable := g.end.Load()
	endOf := func(x index.Extent) int64 {
		end := min(readable, int64(x.Start)+runBytes) // side values may follow, more than are worth reading
		if x.Next != 0 {
			end = min(end, int64(x.Next))
		}
		return end
	}
	r := readSpan{segment: g, start: int64(extents[0].Start), end: endOf(extents[0])}
	n := 1
	for ; n < len(ords); n++ {
		offset := int64(extents[n].Start)
		if offset-r.end > runGap || offset-r.start > runBytes {
			break
		}
		r.end = endOf(extents[n])
	}
	r.ords, r.extents = ords[:n], extents[:n]
	return r
}

// read appends the events of the run that f admits, up to the first that cannot be read, and says how many of the run it
// looked at. The slices of the events point into one fresh buffer, which lives as long as any of them.
func (r *readSpan) read(d *decoder, dst []Event, f *filter) (events []Event, looked int, err error) {
	buf, err := r.segment.bytes(r.start, r.end)
	if err != nil {
		return dst, 0, err
	}
	for i, ord := range r.ords {
		offset := int64(r.extents[i].Start)
		rec, n, err := wal.ParseRecord(buf[offset-r.start:])
		if err != nil && n > int(r.end-offset) { // longer than what was read, so the last of the run
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
	return dst, len(r.ords), nil
}

// filter is a region ready for use. The index is asked with its query; what the index cannot know, or knows by hash only,
// is checked on the event. A nil filter admits every event, those of the reserved scope too.
type filter struct {
	region Region
	query  index.Query
	any    bool // the query has no term
}

func newFilter(r Region) *filter {
	q := r.query()
	return &filter{region: r, query: q, any: q.Entity == "" && q.Scope == "" && q.Category == "" && len(q.Kinds) == 0}
}

func (f *filter) admits(e *Event) bool {
	return f == nil || f.region.admits(e) && (f.any ||
		f.query.Matches(index.Terms{Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Kind: e.Kind}))
}

// maxNames bounds the names that a decoder remembers.
const maxNames = 8192

// decoder turns records into events and remembers the strings in them, so that a million events of one entity share
// one string. It serves one goroutine at a time.
type decoder struct {
	names  map[string]*names
	last   *names
	record wal.Event // scratch of decode, and so on
	events []Event
	ords   []uint32
	extent []index.Extent
}

// names are the strings of an event's envelope.
type names struct {
	envelope string
	terms    index.Terms
	codec    string
}

// decoderPool hands decoders from reader to reader.
type decoderPool struct{ pool sync.Pool }

func (p *decoderPool) get() *decoder {
	if d, ok := p.pool.Get().(*decoder); ok {
		return d
	}
	return &decoder{names: make(map[string]*names), last: &names{}}
}

func (p *decoderPool) put(d *decoder) {
	clear(d.events[:cap(d.events)]) // let go of payloads
	d.events, d.record = d.events[:0], wal.Event{}
	p.pool.Put(d)
}

// decode fills e from a checked record of an event.
func (d *decoder) decode(rec []byte, e *Event) bool {
	w := &d.record
	if wal.ParseEvent(rec, w) != nil {
		return false
	}
	n := d.lookup(w)
	e.ID = w.ID
	e.Position = Position(w.Position)
	e.Coordinate.Entity, e.Coordinate.Scope = n.terms.Entity, n.terms.Scope
	e.Kind = n.terms.Kind
	e.SchemaVersion = w.SchemaVersion
	e.Version = w.Version
	e.Time = Timestamp(w.Time)
	e.Cause, e.Correlation, e.Depth = w.Cause, w.Correlation, w.Depth
	e.Codec = n.codec
	e.Payload, e.headers, e.extensions = w.Payload, w.Headers, w.Extensions
	e.hash = w.Hash
	return true
}

// lookup finds or remembers the strings of an event. The same bytes may be divided in two ways, so the lengths are
// compared as well.
func (d *decoder) lookup(w *wal.Event) *names {
	if d.last.fits(w) && string(w.Envelope) == d.last.envelope {
		return d.last
	}
	n, known := d.names[string(w.Envelope)]
	if !known || !n.fits(w) {
		if len(d.names) >= maxNames {
			clear(d.names)
		}
		all := string(w.Envelope)
		rest := all[w.EntityLen:]
		n = &names{
			envelope: all,
			terms: index.Terms{
				Entity: all[:w.EntityLen],
				Scope:  rest[:w.ScopeLen],
				Kind:   rest[w.ScopeLen:][:w.KindLen],
			},
			codec: rest[w.ScopeLen+w.KindLen:],
		}
		d.names[all] = n
	}
	d.last = n
	return n
}

func (n *names) fits(w *wal.Event) bool {
	return len(n.envelope) == len(w.Envelope) && len(n.terms.Entity) == w.EntityLen &&
		len(n.terms.Scope) == w.ScopeLen && len(n.terms.Kind) == w.KindLen
}
