package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// Tags of the extensions of an event.
const (
	tagEmitter = 1 // an [Emitter]
	tagMeta    = 2 // pairs that are no content, see [AppendMeta]
)

// EmitterIDSize is the length of the id of an emitter, in bytes.
const EmitterIDSize = 8

// Emitter is the extension that says who wrote a reaction. Worker and build are kept once per
// store, under the id; what differs from event to event stands in the event.
type Emitter struct {
	ID      [EmitterIDSize]byte // see [EmitterID]
	Epoch   uint64
	Attempt uint32
}

// AppendEmitterNames appends what is kept of an emitter: it is what the id is the digest of.
func AppendEmitterNames(dst []byte, worker, build string) []byte {
	return AppendPair(dst, worker, build)
}

// ParseEmitterNames reads what [AppendEmitterNames] wrote. ok is false unless names are those that
// id stands for: the digest is their checksum too.
func ParseEmitterNames(names []byte, id [EmitterIDSize]byte) (worker, build string, ok bool) {
	sum := sha256.Sum256(names)
	w, rest, ok := cutString(names)
	if !ok || [EmitterIDSize]byte(sum[:]) != id {
		return "", "", false
	}
	b, rest, ok := cutString(rest)
	if !ok || len(rest) > 0 {
		return "", "", false
	}
	return string(w), string(b), true
}

// EmitterID is the first bytes of the SHA-256 of the names. As it depends on nothing else, two
// programs that run the same build of a worker agree on it, and what covers the id,
// such as the hash chain of an entity, covers the names.
func EmitterID(worker, build string) [EmitterIDSize]byte {
	sum := sha256.Sum256(AppendEmitterNames(nil, worker, build))
	return [EmitterIDSize]byte(sum[:])
}

// AppendEmitter appends the extension to the extensions of an event. It takes 12 bytes for an epoch
// and an attempt below 128, 25 at most.
func AppendEmitter(dst []byte, e *Emitter) []byte {
	var room [EmitterIDSize + binary.MaxVarintLen64 + binary.MaxVarintLen32]byte
	value := append(room[:0], e.ID[:]...)
	value = binary.AppendUvarint(value, e.Epoch)
	value = binary.AppendUvarint(value, uint64(e.Attempt))
	return AppendExtension(dst, tagEmitter, value)
}

// AppendExtension appends one extension.
func AppendExtension(dst []byte, tag uint64, value []byte) []byte {
	dst = binary.AppendUvarint(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// ParseEmitter looks for the emitter in the extensions of an event. The writer of the record sealed
// its extensions with a checksum, so a section that makes no sense is not damage but the work of
// another program, and no reason to refuse an event that can be read: it has no emitter. Bytes
// after the attempt are for versions to come.
func ParseEmitter(extensions []byte) (e Emitter, ok bool) {
	value, ok := findExtension(extensions, tagEmitter)
	if !ok || len(value) < EmitterIDSize {
		return Emitter{}, false
	}
	e.ID = [EmitterIDSize]byte(value)
	epoch, n := binary.Uvarint(value[EmitterIDSize:])
	if n <= 0 {
		return Emitter{}, false
	}
	attempt, m := binary.Uvarint(value[EmitterIDSize+n:])
	if m <= 0 || attempt > math.MaxUint32 {
		return Emitter{}, false
	}
	e.Epoch, e.Attempt = epoch, uint32(attempt)
	return e, true
}

// AppendMeta appends pairs, see [AppendPair], which must be sorted by name, to the extensions of an
// event: unlike headers they say nothing of its content.
func AppendMeta(dst, pairs []byte) []byte { return AppendExtension(dst, tagMeta, pairs) }

// Meta returns the pairs that [AppendMeta] has written into the extensions of an event, nil if
// there are none.
func Meta(extensions []byte) []byte {
	pairs, _ := findExtension(extensions, tagMeta)
	return pairs
}

// findExtension returns the value of the first extension with a tag.
func findExtension(b []byte, tag uint64) (value []byte, ok bool) {
	for len(b) > 0 {
		t, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		if value, b, ok = cutString(b[n:]); !ok {
			return nil, false
		}
		if t == tag {
			return value, true
		}
	}
	return nil, false
}
