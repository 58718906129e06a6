package store

import (
	"hash/maphash"
	"sync"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// decoder turns records into events and remembers the strings in them, so that a million events of
// one entity share one string. It serves one goroutine at a time, so it needs no lock; sharing the
// strings between readers is left to the pool.
type decoder struct {
	names    [nameSlots]*names
	seed     maphash.Seed // of the hash that finds names
	last     *names
	emitters emitterCache
	record   wal.Event // scratch of decode; those below are of walk
	window   window
	ords     []uint32
	extents  []index.Extent
	event    Event
	kept     []byte // copy of the segment from keptFrom on, with the records of ords up to keptUpTo
	keptFrom int64
	keptUpTo int
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
	return &decoder{seed: maphash.MakeSeed(), last: &names{}, emitters: emitterCache{sides: p.sides}}
}

// put takes a decoder back with what it remembers, and without what it read: the events that it
// gave away own their memory, or are gone.
func (p *decoderPool) put(d *decoder) {
	d.event, d.record, d.kept = Event{}, wal.Event{}, nil // or the pool keeps payloads alive
	d.window.leave()
	p.pool.Put(d)
}

// decode fills every field of e from a checked record of an event. The slices of e point into rec.
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

// lookup finds or remembers the strings of an event. Events in a row mostly have the same strings,
// so the last ones are tried first. Others have two places in the table, by their hash: where both
// are taken, one is forgotten. Which names come again is not known, and to keep an order of use
// would cost each event more than to make strings once again costs now and then. Events that were
// decoded keep their strings, as these never change.
func (d *decoder) lookup(w *wal.Event) *names {
	if d.last.are(w) {
		return d.last
	}
	h := maphash.Bytes(d.seed, w.Envelope)
	first, second := &d.names[h%nameSlots], &d.names[h>>32%nameSlots]
	switch {
	case *first != nil && (*first).are(w):
		d.last = *first
	case *second != nil && (*second).are(w):
		d.last = *second
	case *first == nil:
		*first = newNames(w)
		d.last = *first
	default:
		*second = newNames(w)
		d.last = *second
	}
	return d.last
}

// newNames makes one allocation, which the four strings are parts of.
func newNames(w *wal.Event) *names {
	all := string(w.Envelope)
	rest := all[w.EntityLen:]
	return &names{
		envelope: all,
		terms: index.Terms{
			Entity: all[:w.EntityLen],
			Scope:  rest[:w.ScopeLen],
			Kind:   rest[w.ScopeLen:][:w.KindLen],
		},
		codec: rest[w.ScopeLen+w.KindLen:],
	}
}

// are reports whether these are the strings of an event. The same bytes may be divided in two ways,
// so the lengths are compared as well; they almost always decide.
func (n *names) are(w *wal.Event) bool {
	return len(n.terms.Entity) == w.EntityLen && len(n.terms.Scope) == w.ScopeLen &&
		len(n.terms.Kind) == w.KindLen && n.envelope == string(w.Envelope)
}
