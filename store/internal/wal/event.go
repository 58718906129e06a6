package wal

import (
	"encoding/binary"
	"iter"
	"slices"
)

// Draft is what the caller of a commit knows of an event.
type Draft struct {
	Entity, Scope, Kind, Codec string
	SchemaVersion              uint16
	Depth                      uint32
	Cause, Correlation         [16]byte // zero: none
	Headers                    []byte   // encoded with AppendPair, sorted by name
	Payload                    []byte
	Salt                       [SaltSize]byte // zero: none
}

// Stamp is what the committer adds.
type Stamp struct {
	Position, Version, Time uint64
	ID                      [16]byte
	Hash                    [32]byte
}

// Event is a parsed event record. Its slices point into the record.
type Event struct {
	Stamp

	SchemaVersion       uint16
	Depth               uint32
	Cause, Correlation  [16]byte
	Envelope            []byte // entity, scope, kind and codec, without separators
	EntityLen, ScopeLen int
	KindLen             int
	Headers             []byte
	Payload             []byte
	Extensions          []byte

	Erased bool   // headers and payload are gone
	Note   []byte // of an erased event: pairs, see [Pairs], that say when, by whom and why
}

// Entity returns the entity's bytes.
func (e *Event) Entity() []byte { return e.Envelope[:e.EntityLen] }

// Scope returns the scope's bytes.
func (e *Event) Scope() []byte { return e.Envelope[e.EntityLen:][:e.ScopeLen] }

// Kind returns the kind's bytes.
func (e *Event) Kind() []byte { return e.Envelope[e.EntityLen+e.ScopeLen:][:e.KindLen] }

// Codec returns the codec's bytes.
func (e *Event) Codec() []byte { return e.Envelope[e.EntityLen+e.ScopeLen+e.KindLen:] }

// AppendEvent appends the record of d without its stamp and checksum, which [StampEvent] fills in
// later. Lengths must have been checked against the limits of the format: names below 64 KiB, the
// rest below 4 GiB.
func AppendEvent(dst []byte, d *Draft) []byte {
	start := len(dst)
	dst = slices.Grow(dst, eventFixedSize+SaltSize+2*16+len(d.Entity)+len(d.Scope)+len(d.Kind)+len(d.Codec)+
		len(d.Headers)+len(d.Payload))[:start+eventFixedSize]
	fixed := dst[start:]
	clear(fixed)
	fixed[8] = TypeEvent
	var flags uint16
	if d.Cause != ([16]byte{}) {
		flags |= eventHasCause
	}
	if d.Correlation != ([16]byte{}) {
		flags |= eventHasCorrelation
	}
	le.PutUint16(fixed[10:], flags)
	le.PutUint32(fixed[12:], d.Depth)
	le.PutUint16(fixed[88:], d.SchemaVersion)
	le.PutUint16(fixed[90:], uint16(len(d.Entity)))
	le.PutUint16(fixed[92:], uint16(len(d.Scope)))
	le.PutUint16(fixed[94:], uint16(len(d.Kind)))
	le.PutUint16(fixed[96:], uint16(len(d.Codec)))
	salted := d.Salt != [SaltSize]byte{}
	if salted {
		fixed[98] = eventSalted
	}
	le.PutUint32(fixed[100:], uint32(len(d.Headers)))
	le.PutUint32(fixed[108:], uint32(len(d.Payload)))

	dst = append(dst, d.Entity...)
	dst = append(dst, d.Scope...)
	dst = append(dst, d.Kind...)
	dst = append(dst, d.Codec...)
	dst = append(dst, d.Headers...)
	dst = append(dst, d.Payload...)
	if salted {
		dst = append(dst, d.Salt[:]...)
	}
	if flags&eventHasCause != 0 {
		dst = append(dst, d.Cause[:]...)
	}
	if flags&eventHasCorrelation != 0 {
		dst = append(dst, d.Correlation[:]...)
	}
	le.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// Extend adds extensions, see [AppendExtension], to the record that [AppendEvent] has made of
// dst[start:] and that has none. The content digest is the same before and after, and cheaper
// before.
func Extend(dst []byte, start int, extensions []byte) []byte {
	dst = append(dst, extensions...)
	rec := dst[start:]
	le.PutUint32(rec[104:], uint32(len(extensions)))
	le.PutUint32(rec, uint32(len(rec)))
	return dst
}

// namesEnd is where the headers of a record begin.
func namesEnd(rec []byte) int {
	return eventFixedSize + int(le.Uint16(rec[90:])) + int(le.Uint16(rec[92:])) + int(le.Uint16(rec[94:])) +
		int(le.Uint16(rec[96:]))
}

// payloadEnd is where the salt of a record begins, if it has one.
func payloadEnd(rec []byte) int {
	return namesEnd(rec) + int(le.Uint32(rec[100:])) + int(le.Uint32(rec[108:]))
}

// contentEnd is where the causal links and extensions of a record begin.
func contentEnd(rec []byte) int { return payloadEnd(rec) + extraSize(rec) }

// extraSize is what a record has beside names, headers and payload: the salt, or the digest that an
// erased event keeps.
func extraSize(rec []byte) int {
	switch {
	case rec[8] == TypeErased:
		return digestSize
	case rec[98]&eventSalted != 0:
		return SaltSize
	}
	return 0
}

// Salt of an event whose record [ParseEvent] has read, zero if it has none.
func Salt(rec []byte) (salt [SaltSize]byte) {
	if rec[8] == TypeEvent && rec[98]&eventSalted != 0 {
		copy(salt[:], rec[payloadEnd(rec):])
	}
	return salt
}

// AppendErased appends the record of the event in rec, which [ParseEvent] has read, without its
// headers, payload and salt. Its hash stays: the chain covers the content digest, which is kept.
// Note says when, by whom and why. Call [SealRecord] afterwards.
func AppendErased(dst, rec, note []byte) []byte {
	start, names, content := len(dst), namesEnd(rec), Content(rec)
	dst = append(dst, rec[:names]...)
	dst = append(dst, content[:]...)
	dst = append(dst, note...)
	dst = append(dst, rec[contentEnd(rec):]...)
	erased := dst[start:]
	erased[8] = TypeErased
	le.PutUint32(erased, uint32(len(erased)))
	le.PutUint16(erased[98:], 0)
	le.PutUint32(erased[100:], 0)
	le.PutUint32(erased[108:], uint32(len(note)))
	return dst
}

// AppendErasedDraft appends the record that [AppendErased] makes of an event with such a draft,
// whose content digest is all that is known of headers and payload. Call [StampEvent] and
// [SealRecord] afterwards.
func AppendErasedDraft(dst []byte, d *Draft, content [32]byte, note []byte) []byte {
	start, erased := len(dst), *d
	erased.Headers, erased.Salt = nil, [SaltSize]byte{}
	erased.Payload = append(content[:], note...)
	dst = AppendEvent(dst, &erased)
	dst[start+8] = TypeErased
	le.PutUint32(dst[start+108:], uint32(len(note)))
	return dst
}

// StampEvent completes a record made by AppendEvent; call [SealRecord] afterwards.
func StampEvent(rec []byte, s *Stamp) {
	le.PutUint64(rec[16:], s.Position)
	le.PutUint64(rec[24:], s.Version)
	le.PutUint64(rec[32:], s.Time)
	copy(rec[40:], s.ID[:])
	copy(rec[56:], s.Hash[:])
}

// ParseEvent reads an event from its record, which [ParseRecord] has checked. It fills e, whose
// slices then point into rec.
func ParseEvent(rec []byte, e *Event) error {
	l, ok := Measure(rec)
	if !ok {
		return ErrBad
	}
	*e = Event{
		Stamp: Stamp{Position: Position(rec), Version: EntityVersion(rec), Time: Time(rec), ID: ID(rec), Hash: Hash(rec)},

		SchemaVersion: SchemaVersion(rec), Depth: Depth(rec),
		EntityLen: int(le.Uint16(rec[90:])), ScopeLen: int(le.Uint16(rec[92:])), KindLen: int(le.Uint16(rec[94:])),
		Envelope: l.Envelope(rec), Payload: l.Payload(rec), Extensions: Extensions(rec), Erased: rec[8] == TypeErased,
	}
	e.Correlation = e.ID
	l.Links(rec, &e.Cause, &e.Correlation)
	if e.Erased {
		e.Note, _ = cut(rec[l.namesEnd+digestSize:], int(le.Uint32(rec[108:])))
	} else {
		e.Headers = Headers(rec)
	}
	return nil
}

// Layout is where the parts of a record of an event lie that have no fixed place. It is small, so
// that it stays in registers.
type Layout struct{ namesEnd, payloadEnd, contentEnd int }

// Measure returns the layout of a record of an event, which [ParseRecord] has checked. ok is false
// where it is none, or where its parts do not make up its length.
func Measure(rec []byte) (l Layout, ok bool) {
	if len(rec) < eventFixedSize || !IsEvent(rec) {
		return l, false
	}
	headers, extensions := int(le.Uint32(rec[100:])), int(le.Uint32(rec[104:]))
	l.namesEnd = namesEnd(rec)
	l.payloadEnd = l.namesEnd + headers + int(le.Uint32(rec[108:]))
	l.contentEnd = l.payloadEnd + extraSize(rec)
	whole := l.contentEnd+linksSize(le.Uint16(rec[10:]))+extensions == len(rec)
	return l, whole && (rec[8] == TypeEvent || headers == 0)
}

// Envelope returns entity, scope, kind and codec, without separators.
func (l Layout) Envelope(rec []byte) []byte { return rec[eventFixedSize:l.namesEnd:l.namesEnd] }

// Payload returns the payload, which is empty where it was erased.
func (l Layout) Payload(rec []byte) []byte {
	n := int(le.Uint32(rec[108:]))
	if rec[8] == TypeErased { // what is there says why
		n = 0
	}
	return rec[l.payloadEnd-n : l.payloadEnd : l.payloadEnd]
}

// Links sets those causal links that the record has: an event without a cause has none, and one
// without a correlation has its own id as that.
func (l Layout) Links(rec []byte, cause, correlation *[16]byte) {
	flags, at := le.Uint16(rec[10:]), l.contentEnd
	if flags&eventHasCause != 0 {
		at += copy(cause[:], rec[at:])
	}
	if flags&eventHasCorrelation != 0 {
		copy(correlation[:], rec[at:])
	}
}

// Linked reports whether a record of an event has a cause or a correlation of its own.
func Linked(rec []byte) bool { return le.Uint16(rec[10:])&(eventHasCause|eventHasCorrelation) != 0 }

func linksSize(flags uint16) (n int) {
	if flags&eventHasCause != 0 {
		n += 16
	}
	if flags&eventHasCorrelation != 0 {
		n += 16
	}
	return n
}

// NameLengths are those of entity, scope, kind and codec, which divide the envelope, in one number.
func NameLengths(rec []byte) uint64 { return le.Uint64(rec[90:]) }

// NameHash is a hash of the names that costs next to nothing: it goes by their lengths, and by the
// ends of entity and kind, where they mostly differ.
func NameHash(rec []byte) uint64 {
	entity, scope, kind := int(le.Uint16(rec[90:])), int(le.Uint16(rec[92:])), int(le.Uint16(rec[94:]))
	entityEnd := eventFixedSize + entity
	h := (NameLengths(rec) ^ tail(rec, entityEnd, entity)) * 0xff51afd7ed558ccd
	h = (h ^ h>>32 ^ tail(rec, entityEnd+scope+kind, kind)) * 0xc4ceb9fe1a85ec53
	return h ^ h>>32
}

// tail is the last 8 of the n bytes before an offset.
func tail(rec []byte, end, n int) uint64 { return le.Uint64(rec[end-8:]) >> (64 - 8*min(n, 8)) }

// Depth of an event whose record [Measure] has found whole. So are the fields below.
func Depth(rec []byte) uint32 { return le.Uint32(rec[12:]) }

// Names are entity, scope, kind and codec of the event, without separators.
func Names(rec []byte) []byte { return rec[eventFixedSize:namesEnd(rec)] }

// Entity of the event.
func Entity(rec []byte) []byte { return rec[eventFixedSize:][:le.Uint16(rec[90:])] }

// Position of the event.
func Position(rec []byte) uint64 { return le.Uint64(rec[16:]) }

// EntityVersion is the version of the event.
func EntityVersion(rec []byte) uint64 { return le.Uint64(rec[24:]) }

// Time of the event.
func Time(rec []byte) uint64 { return le.Uint64(rec[32:]) }

// ID of the event.
func ID(rec []byte) [16]byte { return [16]byte(rec[40:56]) }

// SchemaVersion of the event's payload.
func SchemaVersion(rec []byte) uint16 { return le.Uint16(rec[88:]) }

// Hash of an event whose record [ParseEvent] has read.
func Hash(rec []byte) [32]byte { return [32]byte(rec[56:88]) }

// Headers of an event whose record [ParseEvent] has read.
func Headers(rec []byte) []byte {
	headers, _ := cut(rec[namesEnd(rec):], int(le.Uint32(rec[100:])))
	return headers
}

// Payload of an event whose record [ParseEvent] has read.
func Payload(rec []byte) []byte {
	if rec[8] == TypeErased {
		return nil
	}
	end := payloadEnd(rec)
	start := end - int(le.Uint32(rec[108:]))
	return rec[start:end:end]
}

// Poison overwrites what an event says, its lengths apart: a caller that still reads the record
// gets nonsense and no panic.
func Poison(rec []byte) {
	for i := range rec {
		if i < 88 || i >= eventFixedSize {
			rec[i] = 0xdb
		}
	}
}

// Extensions of an event whose record [ParseEvent] has read.
func Extensions(rec []byte) []byte { return rec[len(rec)-int(le.Uint32(rec[104:])):] }

// cut splits b at n and leaves the head no room to grow into the tail.
func cut(b []byte, n int) (head, tail []byte) { return b[:n:n], b[n:] }

// AppendPair appends one header.
func AppendPair(dst []byte, name, value string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// Pairs iterates over encoded headers; it ends at the first malformed one.
func Pairs(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(b) > 0 {
			name, rest, ok := cutString(b)
			if !ok {
				return
			}
			value, rest, ok := cutString(rest)
			if !ok || !yield(name, value) {
				return
			}
			b = rest
		}
	}
}

func cutString(b []byte) (s, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	s, rest = cut(b[w:], int(n))
	return s, rest, true
}
