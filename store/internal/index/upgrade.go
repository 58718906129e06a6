package index

import "encoding/binary"

// The index blob of version 1:
//
//	header    magic "pnx1", salt u32, events u32, terms u32, entities u32, keys u32
//	offsets   events   x { record offset u32 }
//	terms     terms    x { hash u64, count u32, place u32 }   ascending hashes
//	entities  entities x { hash u64, last ordinal u32 }       ascending hashes
//	keys      keys     x { hash u64, record offset u32 }      ascending hashes
//	postings  the lists of the terms, in the order of the terms, without gaps
//
// A place counts 4-byte words from the start of postings; the rest is as in version 2, and so are
// the hashes.
const (
	magicOfOne  = "pnx1"
	headerOfOne = 24
)

// Upgrade returns a blob of version 1 in the form that Footer writes. The caller has checked the
// checksum of the blob, as it has none of its own. It refuses what version 1 does not write, and
// allocates in proportion to the blob and the ordinals in it.
func Upgrade(one []byte) (index []byte, err error) {
	if len(one) < headerOfOne || string(one[:4]) != magicOfOne {
		return nil, &CorruptError{"index", 0, "no index header"}
	}
	r := reader{rest: one[headerOfOne:], blob: one}
	header := u32s(one[:headerOfOne])
	offsets := u32s(r.take(header.get(2), 4))
	terms := r.take(header.get(3), termSize)
	entities, keys := r.take(header.get(4), pairSize), r.take(header.get(5), pairSize)
	t := tables{
		terms:    r.lists(terms, offsets.len()),
		entities: r.pairs(entities, uint64(header.get(2))),
		keys:     r.pairs(keys, 1<<32), // any offset is possible
	}
	if r.err == nil && len(r.rest) > 0 {
		r.fail("postings are too long")
	}
	if r.err != nil {
		return nil, r.err
	}
	return t.encode(header.get(1), offsets), nil
}

// reader cuts a blob of version 1 into its parts. After its first error it returns nothing.
type reader struct {
	blob, rest []byte
	err        error
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = &CorruptError{"index", len(r.blob) - len(r.rest), reason}
	}
}

func (r *reader) take(n uint32, width int) []byte {
	size := int(n) * width // below 2^36, and int has 64 bits
	if size > len(r.rest) {
		r.fail("section is cut off")
	}
	if r.err != nil {
		return nil
	}
	taken := r.rest[:size]
	r.rest = r.rest[size:]
	return taken
}

// pairs reads rows whose values are below limit.
func (r *reader) pairs(b []byte, limit uint64) []row[uint32] {
	rows := make([]row[uint32], 0, len(b)/pairSize)
	for ; len(b) > 0; b = b[pairSize:] {
		hash, value := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
		if uint64(value) >= limit {
			r.fail("value out of range")
		}
		rows = append(rows, row[uint32]{hash, value})
	}
	return ascending(r, rows)
}

// lists reads the terms, and their lists, which follow each other in what is left of the blob.
func (r *reader) lists(b []byte, events int) []row[u32s] {
	rows := make([]row[u32s], 0, len(b)/termSize)
	words := uint32(0)
	for ; len(b) > 0 && r.err == nil; b = b[termSize:] {
		count, place := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		ords := u32s(b[12:16]) // the place is the list
		switch {
		case count < 1 || int(count) > events:
			r.fail("list without events or with more than there are")
		case count > 1 && place != words:
			r.fail("list does not follow the one before")
		case count > 1:
			size := postingsOfOne(int(count), events)
			ords = listOfOne(r.take(uint32(size), 1), int(count), events)
			words += uint32(size / 4)
		}
		if r.err == nil && !belowAscending(ords, int(count), uint32(events)) {
			r.fail("list is not one of ascending events")
		}
		rows = append(rows, row[u32s]{binary.LittleEndian.Uint64(b), ords})
	}
	return ascending(r, rows)
}

// postingsOfOne returns the room of a list with more than one ordinal. The test is that of
// isBitmap, which has not changed.
func postingsOfOne(count, events int) int {
	if isBitmap(count, events) {
		return bitmapBytes(events)
	}
	return 4 * count
}

// listOfOne returns the ordinals of a list, which may be a bitmap.
func listOfOne(list []byte, count, events int) u32s {
	if !isBitmap(count, events) {
		return u32s(list)
	}
	ords := make(u32s, 0, 4*count)
	for i, bits := range list {
		for bit := range 8 {
			if bits&(1<<bit) != 0 {
				ords = ords.append(uint32(i*8 + bit))
			}
		}
	}
	return ords
}

func belowAscending(ords u32s, count int, events uint32) bool {
	for i := range ords.len() {
		if ords.get(i) >= events || i > 0 && ords.get(i-1) >= ords.get(i) {
			return false
		}
	}
	return ords.len() == count
}

func ascending[V any](r *reader, rows []row[V]) []row[V] {
	for i := 1; i < len(rows); i++ {
		if rows[i-1].hash >= rows[i].hash {
			r.fail("hashes do not ascend")
		}
	}
	return rows
}
