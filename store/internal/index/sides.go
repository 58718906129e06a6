package index

import (
	"bufio"
	"encoding/binary"
	"io"
	"iter"
	"maps"
	"slices"
)

// MaxInline is the length up to which a table of side values has the value itself,
// in bytes.
const MaxInline = 64

const (
	sidesMagicV1 = "pns1"
	sidesMagic   = "pns2"
	sidesHeader  = 8         // magic, count
	sideHeaderV1 = 8         // offset, length of the key
	sideHeader   = 20        // offset, length of the value, revision, length of the key, flags, zero
	sidesBuffer  = 128 << 10 // more than an entry has

	sideDeleted = 1 << 0
	sideInline  = 1 << 1
)

// Side says where the newest record of a side value in a segment lies. It is
// small, as a store has one in memory for each side value.
type Side struct {
	Text     string // the key, and the value after it if it is Inline
	Revision uint64 // 0 when it is not known: tables of version 1 have neither it nor Length
	Segment  uint32 // for callers with several segments; not part of a table
	Offset   uint32 // of the record in the segment
	Length   uint32 // of the value
	KeyLen   uint16
	Deleted  bool // the record says that there is no value
	Inline   bool
}

// Key of the side value.
func (s *Side) Key() string { return s.Text[:s.KeyLen] }

// Value is the value of one that is Inline.
func (s *Side) Value() string { return s.Text[s.KeyLen:] }

// SideOf makes a Side of copies of key and value, which is kept if it is short.
func SideOf[K string | []byte](key K, value []byte, deleted bool) Side {
	s := Side{KeyLen: uint16(len(key)), Length: uint32(len(value)), Deleted: deleted}
	if s.Inline = !deleted && len(value) <= MaxInline; s.Inline {
		var room [1024 + MaxInline]byte
		s.Text = string(append(append(room[:0], key...), value...))
	} else {
		s.Text = string(key)
	}
	return s
}

// encodeSides writes the table that Sides reads.
func encodeSides(sides map[string]Side) []byte {
	size := sidesHeader
	for _, s := range sides {
		size += sideHeader + len(s.Text)
	}
	b := append(make([]byte, 0, size), sidesMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(sides)))
	for _, key := range slices.Sorted(maps.Keys(sides)) {
		s := sides[key]
		b = binary.LittleEndian.AppendUint32(b, s.Offset)
		b = binary.LittleEndian.AppendUint32(b, s.Length)
		b = binary.LittleEndian.AppendUint64(b, s.Revision)
		b = binary.LittleEndian.AppendUint16(b, s.KeyLen)
		b = append(b, s.flags(), 0)
		b = append(b, s.Text...)
	}
	return b
}

func (s *Side) flags() (flags byte) {
	if s.Deleted {
		flags |= sideDeleted
	}
	if s.Inline {
		flags |= sideInline
	}
	return flags
}

// Sides iterates over the table of side values in a blob of so many bytes, by
// ascending keys. The texts are copies. It accepts nothing but what Footer writes
// for some side values, or wrote as version 1; an error is the last thing that it
// yields. It reads through a small buffer, and allocates nothing by a size that the
// blob claims.
func Sides(blob io.Reader, size int64) iter.Seq2[Side, error] {
	return func(yield func(Side, error) bool) {
		r := &sidesReader{in: bufio.NewReaderSize(blob, int(min(size, sidesBuffer))), size: size}
		r.header()
		for ; r.left > 0 && r.err == nil; r.left-- {
			if s := r.next(); r.err == nil && !yield(s, nil) {
				return
			}
		}
		if r.err == nil && r.at < r.size {
			r.fail("bytes after the last side value")
		}
		if r.err != nil {
			yield(Side{}, r.err)
		}
	}
}

// sidesReader reads one blob. After an error it reads nothing.
type sidesReader struct {
	in   *bufio.Reader
	v1   bool
	left uint32 // entries
	size int64
	at   int64  // bytes read
	last string // key; none is empty
	err  error
}

func (r *sidesReader) fail(reason string) { r.err = &CorruptError{"sides", int(r.at), reason} }

// take returns the next n bytes, valid until the next call; nil after an error. What is cut off is
// damage; any other error is that of the blob's reader.
func (r *sidesReader) take(n int) []byte {
	if r.err == nil && int64(n) > r.size-r.at {
		r.fail("side value is cut off")
	}
	if r.err != nil {
		return nil
	}
	b, err := r.in.Peek(n)
	if err != nil {
		r.err = err
		return nil
	}
	_, _ = r.in.Discard(n) // they are in the buffer
	r.at += int64(n)
	return b
}

func (r *sidesReader) header() {
	b := r.take(sidesHeader)
	if b == nil {
		return
	}
	r.v1 = string(b[:4]) == sidesMagicV1
	if !r.v1 && string(b[:4]) != sidesMagic {
		r.fail("no sides header")
	}
	if r.left = binary.LittleEndian.Uint32(b[4:]); int64(r.left) > r.size/sideHeaderV1 {
		r.fail("more side values than bytes")
	}
}

// next reads an entry.
func (r *sidesReader) next() (s Side) {
	size := r.entry(&s)
	text := r.take(size)
	if r.err != nil {
		return s
	}
	s.Text = string(text)
	if r.last >= s.Key() {
		r.fail("keys do not ascend")
	}
	r.last = s.Key()
	return s
}

// entry reads the fixed part of an entry and returns the length of its text.
func (r *sidesReader) entry(s *Side) (text int) {
	if r.v1 {
		return r.entryV1(s)
	}
	b := r.take(sideHeader)
	if b == nil {
		return 0
	}
	s.Offset, s.Length = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	s.Revision, s.KeyLen = binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint16(b[16:])
	s.Deleted, s.Inline = b[18]&sideDeleted != 0, b[18]&sideInline != 0
	text = int(s.KeyLen)
	switch {
	case s.flags() != b[18] || b[19] != 0 || s.Revision == 0:
		r.fail("no entry of a side value")
	case s.Deleted && (s.Inline || s.Length > 0):
		r.fail("deleted, and with a value")
	case s.Inline && s.Length > MaxInline:
		r.fail("value is too long")
	case s.Inline:
		text += int(s.Length)
	}
	return text
}

func (r *sidesReader) entryV1(s *Side) (text int) {
	b := r.take(sideHeaderV1)
	if b == nil {
		return 0
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n >= 1<<16 {
		r.fail("key is too long")
		return 0
	}
	s.Offset, s.KeyLen = binary.LittleEndian.Uint32(b), uint16(n)
	return int(n)
}
