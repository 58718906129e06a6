package store

import (
	"hash/maphash"
	"sync"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// decoder turns records into events and remembers the strings in them, so that a million events of
// one entity share one string. It serves one goroutine at a time, so it needs no lock; sharing the
// strings between readers is left to the pool.
type decoder struct {
	names    [nameSlots]*names
	seed     maphash.Seed // of the hash that finds names
	emitters emitterCache
	lent     Event  // that a reader has until the next step
	window   window // this and those below are scratch of walk
	ords     []uint32
	extents  []index.Extent
	fetched  int // how many of extents were fetched from a mapping
}

// names are the strings of an event's envelope, which is that of the record.
type names struct {
	lengths     uint64 // that divide the envelope
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
	return &decoder{seed: maphash.MakeSeed(), emitters: emitterCache{sides: p.sides}}
}

// put takes a decoder back with what it remembers, and without what it read: the events that it
// gave away own their memory, or are gone.
func (p *decoderPool) put(d *decoder) {
	d.lent = Event{}
	d.window.leave()
	p.pool.Put(d)
}

// decode reads an event from its checked record, which its slices point into.
func (d *decoder) decode(rec []byte) (e Event, ok bool) {
	l, ok := wal.Measure(rec)
	if ok {
		numbers(&e, rec, l)
		pointers(&e, d.lookup(rec, l), l.Payload(rec), rec, d.emitter(rec))
	}
	return e, ok
}

// numbers sets what is a number of an event, field by field: a copy of the whole costs as much as
// all the rest.
func numbers(e *Event, rec []byte, l wal.Layout) {
	e.ID = wal.ID(rec)
	e.Position = Position(wal.Position(rec))
	e.SchemaVersion = wal.SchemaVersion(rec)
	e.Version = wal.EntityVersion(rec)
	e.Time = Timestamp(wal.Time(rec))
	e.Cause, e.Correlation = uuid.UUID{}, e.ID
	l.Links(rec, (*[16]byte)(&e.Cause), (*[16]byte)(&e.Correlation))
	e.Depth = wal.Depth(rec)
}

// pointers sets the rest. It is small enough to become part of its caller: if the event is on the
// caller's stack, no write barriers are needed.
func pointers(e *Event, n *names, payload, rec []byte, emitter *emitterNames) {
	e.Coordinate, e.Kind, e.Codec = n.coordinate, n.kind, n.codec
	e.Payload, e.record, e.emitter = payload, rec, emitter
}

// emitter returns who wrote a reaction.
func (d *decoder) emitter(rec []byte) *emitterNames {
	if x := wal.Extensions(rec); len(x) > 0 {
		return d.emitters.find(x)
	}
	return nil
}

// lookup finds or remembers the strings of an event. They have two places in the table: by a hash
// that costs little, which many names may have in common, and where that one is taken by a good
// hash. Where both are taken, one is forgotten. Which names come again is not known, and to keep an
// order of use would cost each event more than to make strings once again costs now and then.
// Events that were decoded keep their strings, as these never change.
func (d *decoder) lookup(rec []byte, l wal.Layout) *names {
	lengths, envelope := wal.NameLengths(rec), l.Envelope(rec)
	place := &d.names[wal.NameHash(rec)%nameSlots]
	if n := *place; n != nil {
		if n.are(lengths, envelope) {
			return n
		}
		place = &d.names[maphash.Bytes(d.seed, envelope)%nameSlots]
	}
	if n := *place; n == nil || !n.are(lengths, envelope) {
		*place = newNames(lengths, envelope)
	}
	return *place
}

// newNames makes one allocation, which the four strings are parts of.
func newNames(lengths uint64, envelope []byte) *names {
	all := string(envelope)
	entity, scope, kind := int(uint16(lengths)), int(uint16(lengths>>16)), int(uint16(lengths>>32))
	rest := all[entity:]
	return &names{
		lengths: lengths, envelope: all,
		coordinate: Coordinate{Entity: all[:entity], Scope: rest[:scope]},
		kind:       rest[scope:][:kind],
		codec:      rest[scope+kind:],
	}
}

// are reports whether these are the strings of an event. The same bytes may be divided in two ways,
// so the lengths are compared as well; they almost always decide.
func (n *names) are(lengths uint64, envelope []byte) bool {
	return n.lengths == lengths && n.envelope == string(envelope)
}
