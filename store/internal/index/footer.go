package index

import (
	"cmp"
	"encoding/binary"
	"slices"
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
	linked   bool // links are known, if there are any
	links    links
}

type row[V any] struct {
	hash  uint64
	value V
}

// hashed builds the tables under a salt and reports whether no two rows of a
// table share a hash. Another salt is needed once in 2^65 / rows^2 times, or when
// the texts were chosen for it.
func (a *Active) hashed(salt uint32) (t tables, distinct bool) {
	t.linked = true
	for by, rows := range a.links {
		t.links[by] = sorted(rows)
	}
	for f, lists := range a.lists {
		for text, l := range lists {
			t.terms = append(t.terms, row[u32s]{hash(salt, field(f), text), l.ords})
		}
	}
	for _, lists := range []map[string]*list{a.lists[fieldNamespace], a.deep} {
		for name, e := range lists {
			if e.last > 0 { // else a namespace of others
				t.entities = append(t.entities, row[uint32]{hash(salt, fieldEntity, name), e.last - 1})
			}
		}
	}
	for key, offset := range a.keys {
		t.keys = append(t.keys, row[uint32]{hash(salt, fieldKey, key), offset})
	}
	for entity, offset := range a.states {
		t.keys = append(t.keys, row[uint32]{hash(salt, fieldEntity, entity), offset})
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

// encode writes the blob: each section is appended where the layout has it.
func (t *tables) encode(salt uint32, offsets u32s) []byte {
	events := offsets.len()
	postings := 0
	for _, r := range t.terms {
		postings += postingBytes(r.value.len(), events)
	}
	h := head{
		salt: salt, events: uint32(events),
		terms: uint32(len(t.terms)), entities: uint32(len(t.entities)), keys: uint32(len(t.keys)),
		words: uint32(postings / 8), linked: t.linked,
	}
	for by, rows := range t.links {
		h.links[by] = uint32(len(rows))
	}
	s := h.layout()
	start := h.len(s.size)

	b := h.append(make([]byte, 0, start+s.size))
	b = b[:start] // make has cleared what is skipped
	b = appendFilter(b, t.terms)
	b = appendFilter(b, t.keys)
	b = appendTerms(b, &s.terms, t.terms, events)
	b = appendPairs(b, &s.entities, t.entities)
	b = appendPairs(b, &s.keys, t.keys)
	if t.linked {
		b = appendFilter(b, t.links[:]...)
		for by, rows := range t.links {
			b = appendPairs(b, &s.links[by], rows)
		}
	}
	b = append(b, offsets...)
	b = b[:start+s.postings]
	for _, r := range t.terms {
		b = appendPostings(b, r.value, events)
	}
	seal(b, &h, start)
	return b
}

// appendFilter appends a filter of all rows of some tables to b, whose capacity is cleared.
func appendFilter[V any](b []byte, tables ...[]row[V]) []byte {
	start, n := len(b), 0
	for _, rows := range tables {
		n += len(rows)
	}
	b = b[:start+filterLines(n)*lineSize]
	for _, rows := range tables {
		for _, r := range rows {
			setInFilter(b[start:], r.hash)
		}
	}
	return b
}

// appendDirectory appends, for each entry, the first row at or after it.
func appendDirectory[V any](b []byte, t *table, rows []row[V]) []byte {
	at := 0
	for i := range t.entries() {
		for at < len(rows) && t.entry(rows[at].hash) < i {
			at++
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
	}
	return binary.LittleEndian.AppendUint32(b, uint32(len(rows)))
}

// appendTerms cannot overflow a place: it would take 32 GiB of postings, and a
// record is larger than its postings while all records lie below 4 GiB.
func appendTerms(b []byte, t *table, terms []row[u32s], events int) []byte {
	b = appendDirectory(b, t, terms)
	place := 0
	for _, r := range terms {
		count := r.value.len()
		b = binary.LittleEndian.AppendUint64(b, r.hash)
		b = binary.LittleEndian.AppendUint32(b, uint32(count))
		if count == 1 {
			b = append(b, r.value...)
			continue
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(place/8))
		place += postingBytes(count, events)
	}
	return b
}

func appendPairs(b []byte, t *table, rows []row[uint32]) []byte {
	b = appendDirectory(b, t, rows)
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint64(b, r.hash)
		b = binary.LittleEndian.AppendUint32(b, r.value)
	}
	return b
}

func appendPostings(b []byte, ords u32s, events int) []byte {
	start := len(b)
	b = b[:start+postingBytes(ords.len(), events)]
	switch {
	case len(b) == start:
	case isBitmap(ords.len(), events):
		for i := range ords.len() {
			ord := ords.get(i)
			b[start+int(ord/8)] |= 1 << (ord % 8)
		}
	default:
		copy(b[start:], ords)
	}
	return b
}
