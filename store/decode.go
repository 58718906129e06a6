package store

import (
	"sync"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// run is a stretch of a segment that is read at once: the events with the given ordinals and what lies between.
type run struct {
	segment    *segment
	index      index.Index
	ords       []uint32
	start, end int64
}

// planRun takes as many of the ordinals as lie close together.
func planRun(g *segment, idx index.Index, ords []uint32) run {
	readable, events := g.end.Load(), idx.Len()
	endOf := func(ord uint32, offset int64) int64 {
		end := min(readable, offset+runBytes)
		if ord+1 < events { // else side values may follow
			end = min(end, int64(idx.Offset(ord+1)))
		}
		return end
	}
	start := int64(idx.Offset(ords[0]))
	r := run{segment: g, index: idx, start: start, end: endOf(ords[0], start)}
	n := 1
	for ; n < len(ords); n++ {
		offset := int64(idx.Offset(ords[n]))
		if offset-r.end > runGap || offset-start > runBytes {
			break
		}
		r.end = endOf(ords[n], offset)
	}
	r.ords = ords[:n]
	return r
}

// read appends the events of the run that reg admits. Their slices point into one fresh buffer, which lives as long
// as any of them.
func (r *run) read(d *decoder, dst []Event, reg Region) ([]Event, error) {
	buf, err := r.segment.bytes(r.start, r.end)
	if err != nil {
		return nil, err
	}
	query := reg.query()
	for _, ord := range r.ords {
		offset := int64(r.index.Offset(ord))
		rec, n, err := wal.ParseRecord(buf[offset-r.start:])
		if err != nil && n > int(r.end-offset) { // longer than what was read
			rec, err = r.segment.record(offset)
		}
		if err != nil {
			return nil, r.segment.corrupt(offset, "record does not match its checksum")
		}
		dst = append(dst, Event{})
		e := &dst[len(dst)-1]
		if !d.decode(rec, e) || e.Position != r.segment.first+Position(ord) {
			return nil, r.segment.corrupt(offset, "not the event that the index names")
		}
		if !reg.admits(*e) || !query.Matches(d.last.terms) {
			dst = dst[:len(dst)-1]
		}
	}
	return dst, nil
}

// maxNames bounds the names that a decoder remembers.
const maxNames = 8192

// decoder turns records into events and remembers the strings in them, so that a million events of one entity share
// one string. It serves one goroutine at a time.
type decoder struct {
	names  map[string]*names
	last   *names
	events []Event  // scratch of Read
	ords   []uint32 // scratch of fill
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
	d.events = d.events[:0]
	p.pool.Put(d)
}

// decode fills e from a checked record of an event.
func (d *decoder) decode(rec []byte, e *Event) bool {
	var w wal.Event
	if wal.ParseEvent(rec, &w) != nil {
		return false
	}
	n := d.lookup(&w)
	*e = Event{
		ID:            w.ID,
		Position:      Position(w.Position),
		Coordinate:    Coordinate{Entity: n.terms.Entity, Scope: n.terms.Scope},
		Kind:          n.terms.Kind,
		SchemaVersion: w.SchemaVersion,
		Version:       w.Version,
		Time:          Timestamp(w.Time),
		Cause:         w.Cause,
		Correlation:   w.Correlation,
		Depth:         w.Depth,
		Codec:         n.codec,
		Payload:       w.Payload,
		headers:       w.Headers,
		extensions:    w.Extensions,
		hash:          w.Hash,
	}
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
