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
	fields   wal.Fields // scratch of decode
	window   window     // this and those below are scratch of walk
	ords     []uint32
	extents  []index.Extent
	kept     []byte // copy of the segment from keptFrom on, with the records of ords up to keptUpTo
	keptFrom int64
	keptUpTo int
}

// names are the strings of an event's envelope, which is that of the record.
type names struct {
	envelope    string
	coordinate  Coordinate
	kind, codec string
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
	d.kept = nil // or the pool keeps payloads alive
	d.window.leave()
	p.pool.Put(d)
}

// decode reads an event from its checked record, which its slices point into.
func (d *decoder) decode(rec []byte) (e Event, ok bool) {
	n, emitter, ok := d.parse(rec)
	if !ok {
		return e, false
	}
	return n.event(&d.fields, rec, emitter), true
}

// parse leaves in d.fields what a checked record of an event says, and returns its strings.
func (d *decoder) parse(rec []byte) (n *names, emitter *emitterNames, ok bool) {
	if !wal.ParseFields(rec, &d.fields) {
		return nil, nil, false
	}
	if x := wal.Extensions(rec); len(x) > 0 {
		emitter = d.emitters.find(x)
	}
	return d.lookup(&d.fields, d.fields.Envelope(rec)), emitter, true
}

// event puts an event together. It is small enough to become part of its caller, on whose stack the
// event is then: to fill what lies anywhere else would cost write barriers.
func (n *names) event(f *wal.Fields, rec []byte, emitter *emitterNames) Event {
	return Event{
		ID: f.ID, Position: Position(f.Position), Coordinate: n.coordinate, Kind: n.kind,
		SchemaVersion: f.SchemaVersion, Version: f.Version, Time: Timestamp(f.Time),
		Cause: f.Cause, Correlation: f.Correlation, Depth: f.Depth,
		Codec: n.codec, Payload: f.Payload(rec), record: rec, emitter: emitter,
	}
}

// lookup finds or remembers the strings of an event. Events in a row mostly have the same strings,
// so the last ones are tried first. Others have two places in the table, by their hash: where both
// are taken, one is forgotten. Which names come again is not known, and to keep an order of use
// would cost each event more than to make strings once again costs now and then. Events that were
// decoded keep their strings, as these never change.
func (d *decoder) lookup(f *wal.Fields, envelope []byte) *names {
	if d.last.are(f, envelope) {
		return d.last
	}
	h := maphash.Bytes(d.seed, envelope)
	first, second := &d.names[h%nameSlots], &d.names[h>>32%nameSlots]
	switch {
	case *first != nil && (*first).are(f, envelope):
		d.last = *first
	case *second != nil && (*second).are(f, envelope):
		d.last = *second
	case *first == nil:
		*first = newNames(f, envelope)
		d.last = *first
	default:
		*second = newNames(f, envelope)
		d.last = *second
	}
	return d.last
}

// newNames makes one allocation, which the four strings are parts of.
func newNames(f *wal.Fields, envelope []byte) *names {
	all := string(envelope)
	rest := all[f.EntityLen:]
	return &names{
		envelope:   all,
		coordinate: Coordinate{Entity: all[:f.EntityLen], Scope: rest[:f.ScopeLen]},
		kind:       rest[f.ScopeLen:][:f.KindLen],
		codec:      rest[f.ScopeLen+f.KindLen:],
	}
}

// are reports whether these are the strings of an event. The same bytes may be divided in two ways,
// so the lengths are compared as well; they almost always decide.
func (n *names) are(f *wal.Fields, envelope []byte) bool {
	return len(n.coordinate.Entity) == f.EntityLen && len(n.coordinate.Scope) == f.ScopeLen &&
		len(n.kind) == f.KindLen && n.envelope == string(envelope)
}
