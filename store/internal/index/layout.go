package index

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

const (
	indexMagic = "pnx3"
	magicOfTwo = "pnx2"  // of a blob without links
	headSize   = 44      // of the head, without the checksums of the blocks
	headOfTwo  = 36      // of the head of a blob without links
	blockSize  = 4 << 10 // what has one checksum
	lineSize   = 64      // of a filter: what one question touches
	termSize   = 16      // hash, count, place
	pairSize   = 12      // hash, value
	rowsPerDir = 32      // rows of a table for one entry of its directory, about
)

//nolint:gochecknoglobals // a table that is never written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// head is what the sizes of all sections follow from.
type head struct {
	salt     uint32
	events   uint32
	terms    uint32
	entities uint32
	keys     uint32
	words    uint32 // of 8 bytes, of the postings
	linked   bool   // there are tables of links
	links    [linkFields]uint32
}

// size is that of the head without the checksums of the blocks.
func (h *head) size() int {
	if h.linked {
		return headSize
	}
	return headOfTwo
}

// append appends the head to b, without its checksum: see seal.
func (h *head) append(b []byte) []byte {
	magic, fields := magicOfTwo, []uint32{0, 0, h.salt, h.events, h.terms, h.entities, h.keys, h.words}
	if h.linked {
		magic, fields = indexMagic, append(fields, h.links[:]...)
	}
	b = append(b, magic...)
	for _, v := range fields {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// parseHead reads the fields of a head whose checksum is right, from as many bytes as the longer
// one has.
func parseHead(b []byte) head {
	v := u32s(b)
	h := head{
		salt: v.get(3), events: v.get(4), terms: v.get(5), entities: v.get(6), keys: v.get(7), words: v.get(8),
		linked: string(b[:4]) == indexMagic,
	}
	if h.linked {
		h.links = [linkFields]uint32{v.get(9), v.get(10)}
	}
	return h
}

// sections are where in the body each part begins.
type sections struct {
	termFilter, keyFilter filter
	terms, entities, keys table
	linkFilter            filter
	links                 [linkFields]table
	offsets, postings     int
	size                  int // of the body
}

// layout returns the sections that follow from a head. All sizes are below 2^39, and int has 64
// bits.
func (h *head) layout() (s sections) {
	at := 0
	take := func(size int) (start int) {
		start, at = at, at+size
		return start
	}
	s.termFilter = newFilter(int(h.terms), take)
	s.keyFilter = newFilter(int(h.keys), take)
	s.terms = newTable(int(h.terms), termSize, take)
	s.entities = newTable(int(h.entities), pairSize, take)
	s.keys = newTable(int(h.keys), pairSize, take)
	if h.linked {
		s.linkFilter = newFilter(int(h.links[Cause])+int(h.links[Correlation]), take)
		for by, n := range h.links {
			s.links[by] = newTable(int(n), pairSize, take)
		}
	}
	s.offsets = take(int(h.events) * 4)
	take(-at & 7)
	s.postings = take(int(h.words) * 8)
	s.size = at
	return s
}

// A table is rows of one width that begin with their hash, by ascending hashes, after a directory:
// for each value that the top bits of a hash have, the first row whose hash has it or a larger one,
// and at its end the number of rows.
type table struct {
	len, width int
	bits       int // of a hash that the directory goes by
	dir, rows  int // places in the body
}

func newTable(n, width int, take func(size int) int) table {
	t := table{len: n, width: width, bits: bits.Len(uint(n / rowsPerDir))}
	t.dir = take(4 * (t.entries() + 1))
	t.rows = take(n * width)
	return t
}

func (t *table) entries() int { return 1 << t.bits }

// entry returns the entry of the directory for a hash.
func (t *table) entry(hash uint64) int { return int(hash >> (64 - t.bits)) }

// seal writes the checksums of a blob whose body begins at start, after those of its blocks.
func seal(blob []byte, h *head, start int) {
	body := blob[start:]
	for at, sums := 0, blob[h.size():start]; at < len(body); at, sums = at+blockSize, sums[4:] {
		binary.LittleEndian.PutUint32(sums, checksum(body[at:min(at+blockSize, len(body))]))
	}
	binary.LittleEndian.PutUint32(blob[8:], uint32(start))
	binary.LittleEndian.PutUint32(blob[4:], checksum(blob[8:start]))
}

// len returns the length of the head of a blob with a body of so many bytes.
func (h *head) len(body int) int { return h.size() + 4*((body+blockSize-1)/blockSize) }

// postingBytes returns the room of a list of count ordinals in a segment of so many events.
func postingBytes(count, events int) int {
	switch {
	case count == 1:
		return 0
	case isBitmap(count, events):
		return bitmapBytes(events)
	default:
		return (4*count + 7) &^ 7
	}
}

func isBitmap(count, events int) bool { return count > 1 && bitmapBytes(events) < 4*count }

func bitmapBytes(events int) int { return (events + 63) / 64 * 8 }

// hash names a text of a field on disk. It is fixed forever.
func hash(salt uint32, f field, text string) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037) ^ uint64(salt)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	return mix((h ^ uint64(f)) * prime)
}

// mix is the finisher of MurmurHash3.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
