package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// ErrCorrupt is wrapped by every error about a blob that is not what Footer
// writes.
var ErrCorrupt = errors.New("index: corrupt footer")

// CorruptError says where a blob is not what Footer writes. It wraps ErrCorrupt.
type CorruptError struct {
	Blob   string // "index" or "sides"
	Offset int    // byte of the blob
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("index: corrupt footer: %s blob, byte %d: %s", e.Blob, e.Offset, e.Reason)
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// Sealed is the index of a finished segment. It reads the index blob in place,
// which must not change as long as the Sealed is used.
type Sealed struct {
	salt     uint32
	events   uint32
	offsets  u32s
	terms    table
	entities table
	keys     table
	postings []byte
}

// OpenSealed returns the index in a blob that Footer wrote. It takes time in
// proportion to the number of terms, entities and keys, not of postings, and
// allocates nothing that grows with the blob.
//
// It refuses bytes that a later call could not read safely. It does not find
// every flipped bit: after it no call panics, reads outside the blob, or
// returns an ordinal outside the range queried or out of order, but a wrong
// answer is possible. The caller checks a checksum first.
func OpenSealed(index []byte) (*Sealed, error) {
	s, err := split(index)
	if err != nil {
		return nil, err
	}
	if err := s.checkTerms(); err != nil {
		return nil, err
	}
	if err := s.entities.check(s.events); err != nil {
		return nil, err
	}
	if err := s.keys.checkOrder(); err != nil { // any offset is possible
		return nil, err
	}
	return s, nil
}

// split cuts the blob into its sections.
func split(blob []byte) (*Sealed, error) {
	if len(blob) < headerSize || string(blob[:4]) != indexMagic {
		return nil, &CorruptError{"index", 0, "no index header"}
	}
	header := u32s(blob[:headerSize])
	s := &Sealed{salt: header.get(1), events: header.get(2)}
	offsets := table{width: 4}
	s.terms.width, s.entities.width, s.keys.width = termSize, pairSize, pairSize

	at := headerSize
	for i, t := range []*table{&offsets, &s.terms, &s.entities, &s.keys} {
		size := int(header.get(2+i)) * t.width // below 2^36, and int has 64 bits
		if size > len(blob)-at {
			return nil, &CorruptError{"index", at, "section is cut off"}
		}
		t.at, t.rows = at, blob[at:at+size:at+size]
		at += size
	}
	s.offsets, s.postings = u32s(offsets.rows), blob[at:]
	return s, nil
}

// checkTerms proves that every list lies inside postings: the lists follow each
// other and fill it.
func (s *Sealed) checkTerms() error {
	if err := s.terms.checkOrder(); err != nil {
		return err
	}
	words := 0
	for i := range s.terms.len() {
		_, count, place := s.term(i)
		if count < 1 || count > s.events {
			return s.terms.corrupt(i, "list without events or with more than there are")
		}
		if count == 1 {
			if place >= s.events {
				return s.terms.corrupt(i, "event beyond the last")
			}
			continue
		}
		if int(place) != words {
			return s.terms.corrupt(i, "list does not follow the one before")
		}
		words += postingWords(int(count), int(s.events))
	}
	if words*4 != len(s.postings) {
		return &CorruptError{"index", s.keys.at + len(s.keys.rows), "postings are cut off or too long"}
	}
	return nil
}

// term returns row i of the terms.
func (s *Sealed) term(i int) (row []byte, count, place uint32) {
	row = s.terms.row(i)
	return row, binary.LittleEndian.Uint32(row[8:]), binary.LittleEndian.Uint32(row[12:])
}

// find implements finder.
func (s *Sealed) find(f field, text string) cursor {
	i, ok := s.terms.find(hash(s.salt, f, text))
	if !ok {
		return nil
	}
	row, count, place := s.term(i)
	if count == 1 {
		return &sparse{ords: row[12:16]} // the place is the list
	}
	start := int(place) * 4
	list := s.postings[start : start+4*postingWords(int(count), int(s.events))]
	if isBitmap(int(count), int(s.events)) {
		return &dense{bits: list, ones: int(count)}
	}
	return &sparse{ords: list}
}

// Len implements Index.
func (s *Sealed) Len() uint32 { return s.events }

// Offset implements Index.
func (s *Sealed) Offset(ord uint32) (uint32, error) { return s.offsets.get(int(ord)), nil }

// Extents implements Index.
func (s *Sealed) Extents(ords []uint32, dst []Extent) ([]Extent, error) {
	return extents(s.offsets, ords, dst), nil
}

// Select implements Index.
func (s *Sealed) Select(q Query, from, to uint32, limit int, dst []uint32) (ords []uint32, next uint32, err error) {
	to = min(to, s.events)
	ords, next = collect(plan(q, s, from, to), from, to, limit, dst)
	return ords, next, nil
}

// Count implements Index.
func (s *Sealed) Count(q Query, from, to uint32, limit int) (int, error) {
	to = min(to, s.events)
	return tally(plan(q, s, from, to), from, to, limit), nil
}

// LastOf implements Index. It goes by the hash of entity.
func (s *Sealed) LastOf(entity string) (ord uint32, ok bool, err error) {
	ord, ok = s.entities.value(hash(s.salt, fieldEntity, entity))
	return ord, ok, nil
}

// LastPublished implements Index: all events of a sealed segment are visible.
func (s *Sealed) LastPublished(entity string) (ord uint32, ok bool, err error) {
	return s.LastOf(entity)
}

// FindKey implements Index. It goes by the hash of key.
func (s *Sealed) FindKey(key string) (offset uint32, ok bool, err error) {
	offset, ok = s.keys.value(hash(s.salt, fieldKey, key))
	return offset, ok, nil
}

// A table is rows of one width that begin with their hash, by ascending hashes.
type table struct {
	rows  []byte
	width int
	at    int // where in the blob, to say where damage is
}

func (t table) len() int          { return len(t.rows) / t.width }
func (t table) row(i int) []byte  { return t.rows[i*t.width : (i+1)*t.width] }
func (t table) hash(i int) uint64 { return binary.LittleEndian.Uint64(t.row(i)) }

// find returns the row of a hash.
func (t table) find(hash uint64) (i int, ok bool) {
	i = sort.Search(t.len(), func(i int) bool { return t.hash(i) >= hash })
	return i, i < t.len() && t.hash(i) == hash
}

// value returns what follows the hash in a row of pairSize.
func (t table) value(hash uint64) (uint32, bool) {
	i, ok := t.find(hash)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint32(t.row(i)[8:]), true
}

// check proves that the hashes ascend and that all values are below limit.
func (t table) check(limit uint32) error {
	for i := range t.len() {
		if binary.LittleEndian.Uint32(t.row(i)[8:]) >= limit {
			return t.corrupt(i, "value out of range")
		}
	}
	return t.checkOrder()
}

func (t table) checkOrder() error {
	for i := 1; i < t.len(); i++ {
		if t.hash(i-1) >= t.hash(i) {
			return t.corrupt(i, "hashes do not ascend")
		}
	}
	return nil
}

func (t table) corrupt(i int, reason string) error {
	return &CorruptError{"index", t.at + i*t.width, reason}
}
