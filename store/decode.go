package store

import (
	"sync"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// decoder turns records into events and remembers the strings in them, so that a million events of
// one entity share one string. It serves one goroutine at a time, so it needs no lock; sharing the
// strings between readers is left to the pool.
type decoder struct {
	names    map[string]*names
	last     *names
	emitters emitterCache
	record   wal.Event // scratch of decode; those below are of reading pages
	events   []Event
	span     []byte
	ords     []uint32
	extent   []index.Extent
}

// names are the strings of an event's envelope.
type names struct {
	envelope string
	terms    index.Terms
	codec    string
}

// decoderPool hands decoders from reader to reader: what one has remembered saves the next the same
// allocations. It belongs to one store, as the emitters that it remembers do.
//
// Ownership: a decoder is its reader's from get to put, over all that the reader yields. A reader
// that is nested in another's loop gets a decoder of its own, so neither sees the scratch of the
// other.
type decoderPool struct {
	sides *sideTable // of the store, with the names of emitters; set before the first get
	pool  sync.Pool
}

func (p *decoderPool) get() *decoder {
	if d, ok := p.pool.Get().(*decoder); ok {
		return d
	}
	return &decoder{
		names: make(map[string]*names), last: &names{}, emitters: emitterCache{sides: p.sides},
	}
}

// put takes a decoder back with what it remembers, and without what it read. Its reader must not
// use d.events any more; the events that it gave away are copies, whose slices point into memory
// that no decoder owns.
func (p *decoderPool) put(d *decoder) {
	clear(d.events[:cap(d.events)]) // or the pool keeps payloads alive
	d.events, d.record = d.events[:0], wal.Event{}
	p.pool.Put(d)
}

// decode fills every field of e from a checked record of an event. The slices of e point into rec,
// which therefore must be fresh memory that no one writes to again.
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
	e.Payload, e.record, e.emitter = w.Payload, rec, nil
	if len(w.Extensions) > 0 {
		e.emitter = d.emitters.find(w.Extensions)
	}
	return true
}

// lookup finds or remembers the strings of an event. The same bytes may be divided in two ways, so
// the lengths are compared as well.
//
// Events in a row mostly have the same strings, so the last ones are tried before the map. A map
// that is full is emptied, not thinned out: which names come again is not known, and to keep an
// order of use would cost each event more than to remember 8,192 names again costs now and then.
// Events that were decoded keep their strings, as these never change.
func (d *decoder) lookup(w *wal.Event) *names {
	if d.last.fits(w) && string(w.Envelope) == d.last.envelope {
		return d.last
	}
	n, known := d.names[string(w.Envelope)]
	if !known || !n.fits(w) {
		if len(d.names) >= maxNames {
			clear(d.names)
		}
		all := string(w.Envelope) // one allocation, which the four strings are parts of
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

// fits compares the lengths only, which is cheap and almost always decides.
func (n *names) fits(w *wal.Event) bool {
	return len(n.envelope) == len(w.Envelope) && len(n.terms.Entity) == w.EntityLen &&
		len(n.terms.Scope) == w.ScopeLen && len(n.terms.Kind) == w.KindLen
}
