package index

import (
	"cmp"
	"encoding/binary"
	"slices"
)

const (
	indexMagic = "pnx1"
	headerSize = 24
	termSize   = 16 // hash, count, place
	pairSize   = 12 // hash, value
)

// Footer returns the two blobs of the segment: the index, for OpenSealed, and
// the newest side values, for Sides. The same calls to Active give the same
// bytes. It takes time proportional to the events and keeps a writer waiting, not
// a reader: it is for a segment that gets no more events.
func (a *Active) Footer() (index, sides []byte) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for salt := uint32(0); ; salt++ {
		if t, distinct := a.hashed(salt); distinct {
			return t.encode(salt, a.offsets), encodeSides(a.sides)
		}
	}
}

// tables are the footer's tables, by ascending hashes.
type tables struct {
	terms    []row[u32s]
	entities []row[uint32]
	keys     []row[uint32]
}

type row[V any] struct {
	hash  uint64
	value V
}

// hashed builds the tables under a salt and reports whether no two rows of a
// table share a hash. Another salt is needed once in 2^65 / rows^2 times, or when
// the texts were chosen for it.
func (a *Active) hashed(salt uint32) (t tables, distinct bool) {
	for f, lists := range a.lists {
		for text, l := range lists {
			t.terms = append(t.terms, row[u32s]{hash(salt, field(f), text), l.ords})
		}
	}
	for name, e := range a.entities {
		t.entities = append(t.entities, row[uint32]{hash(salt, fieldEntity, name), e.last})
	}
	for key, offset := range a.keys {
		t.keys = append(t.keys, row[uint32]{hash(salt, fieldKey, key), offset})
	}
	return t, sortRows(t.terms) && sortRows(t.entities) && sortRows(t.keys)
}

// sortRows sorts by hash and reports whether all hashes differ.
func sortRows[V any](rows []row[V]) bool {
	slices.SortFunc(rows, func(a, b row[V]) int { return cmp.Compare(a.hash, b.hash) })
	for i := 1; i < len(rows); i++ {
		if rows[i-1].hash == rows[i].hash {
			return false
		}
	}
	return true
}

func (t tables) encode(salt uint32, offsets u32s) []byte {
	events := offsets.len()
	size := headerSize + len(offsets) + len(t.terms)*termSize + (len(t.entities)+len(t.keys))*pairSize
	for _, r := range t.terms {
		size += 4 * postingWords(r.value.len(), events)
	}

	b := append(make([]byte, 0, size), indexMagic...)
	for _, v := range []int{int(salt), events, len(t.terms), len(t.entities), len(t.keys)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = append(b, offsets...)
	b = appendTerms(b, t.terms, events)
	b = appendPairs(b, t.entities)
	b = appendPairs(b, t.keys)
	for _, r := range t.terms {
		b = appendPostings(b, r.value, events)
	}
	return b
}

// appendTerms cannot overflow a place: it would take 16 GiB of postings, and a
// record is larger than its postings while all records lie below 4 GiB.
func appendTerms(b []byte, terms []row[u32s], events int) []byte {
	place := 0
	for _, r := range terms {
		count := r.value.len()
		b = binary.LittleEndian.AppendUint64(b, r.hash)
		b = binary.LittleEndian.AppendUint32(b, uint32(count))
		if count == 1 {
			b = append(b, r.value...)
			continue
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(place))
		place += postingWords(count, events)
	}
	return b
}

func appendPairs(b []byte, rows []row[uint32]) []byte {
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint64(b, r.hash)
		b = binary.LittleEndian.AppendUint32(b, r.value)
	}
	return b
}

func appendPostings(b []byte, ords u32s, events int) []byte {
	if postingWords(ords.len(), events) == 0 {
		return b
	}
	if !isBitmap(ords.len(), events) {
		return append(b, ords...)
	}
	start := len(b)
	b = append(b, make([]byte, 4*bitmapWords(events))...)
	for i := range ords.len() {
		ord := ords.get(i)
		b[start+int(ord/8)] |= 1 << (ord % 8)
	}
	return b
}

// postingWords returns the room, in 4-byte words, of a list of count ordinals in
// a segment of so many events.
func postingWords(count, events int) int {
	switch {
	case count == 1:
		return 0
	case isBitmap(count, events):
		return bitmapWords(events)
	default:
		return count
	}
}

func isBitmap(count, events int) bool { return count > 1 && bitmapWords(events) < count }

func bitmapWords(events int) int { return (events + 63) / 64 * 2 }

// hash names a text of a field on disk. It is fixed forever.
func hash(salt uint32, f field, text string) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037) ^ uint64(salt)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	h = (h ^ uint64(f)) * prime
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
