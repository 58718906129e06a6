package index

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sort"
)

// Sealed is the index of a finished segment, in a blob that Footer wrote. It answers from the bytes
// in place and keeps nothing of them but the checksums of the blocks, one byte in a thousand.
//
// An answer is right or an error: what it rests on is checked. What is not there is known by a
// filter, or by the row that is not in its place.
type Sealed struct {
	blob
	sections
	head head
	sum  uint32
}

// OpenSealed returns the index in a blob in memory, which must not change as long as the Sealed is
// used. It may be a mapped file: a fault is the error of the question that meets it. What is mapped
// may be unmapped by a cleanup of the Sealed ([runtime.AddCleanup]), and not before.
//
// It reads the head alone, and allocates a thousandth of the blob.
func OpenSealed(index []byte) (*Sealed, error) {
	return open(&Sealed{blob: blob{memory: slices.Clip(index), size: len(index)}})
}

// OpenSealedAt is OpenSealed for a blob of so many bytes that is read piece by piece.
func OpenSealedAt(r io.ReaderAt, size int) (*Sealed, error) {
	return open(&Sealed{blob: blob{file: r, size: size}})
}

func open(s *Sealed) (_ *Sealed, err error) {
	defer s.rescue(guard(), &err)
	s.head = s.openHead()
	s.sections = s.head.layout()
	s.sum = u32s(s.raw(4, 4)).get(0)
	return s, nil
}

// Sum returns the checksum of the head, and so of all: what is kept elsewhere to tell this index
// from others.
func (s *Sealed) Sum() uint32 { return s.sum }

// HasLinks reports whether Linked has answers.
func (s *Sealed) HasLinks() bool { return s.head.linked }

// Check checks all blocks.
func (s *Sealed) Check() (err error) {
	defer s.rescue(guard(), &err)
	s.body(0, s.sections.size)
	return nil
}

// SumOf returns the Sum of the index in a blob that Footer wrote.
func SumOf(index []byte) uint32 { return u32s(index).get(1) }

// Len implements Index.
func (s *Sealed) Len() uint32 { return s.head.events }

// Offset implements Index.
func (s *Sealed) Offset(ord uint32) (offset uint32, err error) {
	defer s.rescue(guard(), &err)
	s.mustHave(ord)
	return u32s(s.body(s.offsets+int(ord)*4, 4)).get(0), nil
}

func (s *Sealed) mustHave(ord uint32) {
	if ord >= s.head.events {
		panic(fmt.Sprintf("index: event %d of %d", ord, s.head.events))
	}
}

// Extents implements Index.
func (s *Sealed) Extents(ords []uint32, dst []Extent) (_ []Extent, err error) {
	defer s.rescue(guard(), &err)
	if n := len(ords); n > 0 {
		s.mustHave(ords[n-1])
	}
	offsets := s.run(s.offsets, 4*int(s.head.events))
	return extents(&offsets, ords, dst), nil
}

// Select implements Index.
func (s *Sealed) Select(q Query, from, to uint32, limit int, dst []uint32) (ords []uint32, next uint32, err error) {
	defer s.rescue(guard(), &err)
	to = min(to, s.head.events)
	ords, next = collect(plan(q, s, from, to), from, to, limit, dst)
	return ords, next, nil
}

// Count implements Index.
func (s *Sealed) Count(q Query, from, to uint32, limit int) (n int, err error) {
	defer s.rescue(guard(), &err)
	to = min(to, s.head.events)
	return tally(plan(q, s, from, to), from, to, limit), nil
}

// LastOf implements Index. It goes by the hash of entity. The filter has its namespace, which has a
// posting list if the entity has an event.
func (s *Sealed) LastOf(entity string) (ord uint32, ok bool, err error) {
	defer s.rescue(guard(), &err)
	if !s.perhaps(s.termFilter, hash(s.head.salt, fieldNamespace, namespace(entity))) {
		return 0, false, nil
	}
	row, at := s.row(&s.entities, hash(s.head.salt, fieldEntity, entity))
	if row == nil {
		return 0, false, nil
	}
	if ord = binary.LittleEndian.Uint32(row[8:]); ord >= s.head.events {
		s.fail(at, "event beyond the last")
	}
	return ord, true, nil
}

// LastPublished implements Index: all events of a sealed segment are visible.
func (s *Sealed) LastPublished(entity string) (ord uint32, ok bool, err error) {
	return s.LastOf(entity)
}

// Published implements Index.
func (s *Sealed) Published() uint32 { return s.Len() }

// FindKey implements Index. It goes by the hash of key.
func (s *Sealed) FindKey(key string) (offset uint32, ok bool, err error) {
	return s.findOffset(fieldKey, key)
}

// FindState implements Index. It goes by the hash of entity.
func (s *Sealed) FindState(entity string) (offset uint32, ok bool, err error) {
	return s.findOffset(fieldEntity, entity)
}

// findOffset looks into the table of keys, which has states, too.
func (s *Sealed) findOffset(f field, text string) (offset uint32, ok bool, err error) {
	defer s.rescue(guard(), &err)
	h := hash(s.head.salt, f, text)
	if !s.perhaps(s.keyFilter, h) {
		return 0, false, nil
	}
	row, _ := s.row(&s.keys, h)
	if row == nil {
		return 0, false, nil
	}
	return binary.LittleEndian.Uint32(row[8:]), true, nil
}

// Sample returns the offsets of n of the records of keys and states, of all where there are fewer:
// some of them all over the names, as they are spread by hash.
func (s *Sealed) Sample(n int) (offsets []uint32, err error) {
	defer s.rescue(guard(), &err)
	n = min(n, s.keys.len)
	for i := range n {
		row := s.body(s.keys.rows+s.keys.len*i/n*s.keys.width, s.keys.width)
		offsets = append(offsets, binary.LittleEndian.Uint32(row[8:]))
	}
	return offsets, nil
}

// perhaps asks a filter.
func (s *Sealed) perhaps(f filter, hash uint64) bool {
	return f.lines > 0 && inLine(s.body(f.start+lineOf(hash, f.lines)*lineSize, lineSize), hash)
}

// row returns the row of a hash, nil when there is none, and its place in the blob.
func (s *Sealed) row(t *table, hash uint64) (row []byte, at int) {
	rows, at := s.span(t, hash)
	n := len(rows) / t.width
	hashAt := func(i int) uint64 { return binary.LittleEndian.Uint64(rows[i*t.width:]) }
	i := sort.Search(n, func(i int) bool { return hashAt(i) >= hash })
	at += i * t.width
	if i == n || hashAt(i) != hash {
		return nil, at
	}
	return rows[i*t.width:][:t.width], at
}

// span returns the rows among which that of a hash is, if there is one, and their place in the
// blob.
func (s *Sealed) span(t *table, hash uint64) (rows []byte, at int) {
	span := u32s(s.body(t.dir+4*t.entry(hash), 8))
	first, end := int(span.get(0)), int(span.get(1))
	if first > end || end > t.len {
		s.fail(s.start+t.dir, "directory does not ascend")
	}
	rows = s.body(t.rows+first*t.width, (end-first)*t.width)
	return rows, s.start + t.rows + first*t.width
}

// find implements finder.
func (s *Sealed) find(f field, text string) cursor {
	h := hash(s.head.salt, f, text)
	if !s.perhaps(s.termFilter, h) {
		return nil
	}
	row, at := s.row(&s.terms, h)
	if row == nil {
		return nil
	}
	count, place := binary.LittleEndian.Uint32(row[8:]), binary.LittleEndian.Uint32(row[12:])
	size := postingBytes(int(count), int(s.head.events))
	switch {
	case count < 1 || count > s.head.events:
		s.fail(at, "list without events or with more than there are")
	case count == 1 && place >= s.head.events:
		s.fail(at, "event beyond the last")
	case count == 1:
		return &sparse{ords: run{size: 4, here: row[12:16]}} // the place is the list
	case 8*int(place)+size > 8*int(s.head.words):
		s.fail(at, "list beyond the postings")
	case isBitmap(int(count), int(s.head.events)):
		return &dense{bits: s.run(s.postings+8*int(place), size), ones: int(count)}
	}
	return &sparse{ords: s.run(s.postings+8*int(place), 4*int(count))}
}

// run returns bytes of the body that are read as they are needed.
func (s *Sealed) run(at, size int) run { return run{size: size, blob: &s.blob, place: at} }
