package index

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sort"
)

// none is the ordinal after all others. No event has it: an ordinal is less
// than the number of events, which is a uint32 too.
const none = math.MaxUint32

// A cursor reads ascending ordinals. It belongs to one call and one goroutine.
type cursor interface {
	// seek moves to the first ordinal that is not below ord and returns it, or
	// none. What it returns is never below ord, whatever bytes it reads: that
	// makes every loop over seek end. From call to call ord does not fall.
	seek(ord uint32) uint32

	// size returns how many ordinals there are at most, to pick the shortest.
	size() int

	// count returns how many ordinals lie in [from, to), but at most limit. No
	// seek before it went beyond from, and none follows.
	count(from, to uint32, limit int) int
}

// everything is the cursor of a query without terms.
type everything struct{}

func (everything) seek(ord uint32) uint32 { return ord }
func (everything) size() int              { return math.MaxInt }

func (everything) count(from, to uint32, limit int) int {
	return int(min(uint64(to-from), uint64(limit))) // an int may have 32 bits
}

// sparse is a cursor over ordinals written one after the other.
type sparse struct {
	ords run
	at   int
}

// A pass over a list needs the ordinal after the one that it stands at, mostly.
func (s *sparse) seek(ord uint32) uint32 {
	for range 2 {
		if s.at == s.size() {
			return none
		}
		if v := s.ords.u32(s.at); v >= ord {
			return v
		}
		s.at++
	}
	s.at = s.reach(s.at, ord)
	if s.at == s.size() {
		return none
	}
	return s.ords.u32(s.at)
}

func (s *sparse) size() int { return s.ords.size / 4 }

// The second search starts where the first ended, so that even in a list that is
// out of order the count is not negative.
func (s *sparse) count(from, to uint32, limit int) int {
	first := s.reach(0, from)
	return min(s.reach(first, to)-first, limit)
}

// reach returns the first place at or after start whose value is not below v.
func (s *sparse) reach(start int, v uint32) int {
	return gallop(start, s.size(), func(i int) bool { return s.ords.u32(i) >= v })
}

// dense is a cursor over a bitmap of all events. A list gets one where it holds
// more than one event in 32, so that a pass reads at most one word for every two
// ordinals.
type dense struct {
	bits run // whole 8-byte words
	ones int
}

func (d *dense) seek(ord uint32) uint32 {
	at, words := int(ord/64), d.bits.size/8
	if at >= words {
		return none
	}
	word := d.bits.u64(at) >> (ord % 64) << (ord % 64)
	for word == 0 {
		if at++; at == words {
			return none
		}
		word = d.bits.u64(at)
	}
	return uint32(at*64 + bits.TrailingZeros64(word))
}

func (d *dense) size() int { return d.ones }

func (d *dense) count(from, to uint32, limit int) int {
	n := 0
	for n < limit && from < to {
		word := d.bits.u64(int(from/64)) >> (from % 64)
		width := min(64-from%64, to-from)
		n += bits.OnesCount64(word << (64 - width))
		from += width
	}
	return min(n, limit)
}

// run is a list, a bitmap or the offsets, as bytes: all of it is at hand, or a block at a time.
// Words do not cross blocks: a run begins at a multiple of their size. It belongs to one call and
// one goroutine.
type run struct {
	size  int    // in bytes
	here  []byte // what is at hand of it
	first int    // place of here in the run
	blob  *blob  // to read the rest from; nil where here is all
	place int    // of the run in the body
}

func (r *run) len() int { return r.size / 4 }

func (r *run) u32(i int) uint32 { return binary.LittleEndian.Uint32(r.at(i * 4)) }
func (r *run) u64(i int) uint64 { return binary.LittleEndian.Uint64(r.at(i * 8)) }

// at returns what is at hand from a place in the run on.
func (r *run) at(place int) []byte {
	if at := place - r.first; uint(at) < uint(len(r.here)) {
		return r.here[at:]
	}
	return r.load(place)
}

func (r *run) load(place int) []byte {
	at := r.place + place
	first := max(r.place, at/blockSize*blockSize)
	end := min(r.place+r.size, at/blockSize*blockSize+blockSize)
	r.here, r.first = r.blob.body(first, end-first), first-r.place
	return r.here[place-r.first:]
}

// u32s is a run of little-endian uint32, the form of lists and offsets in memory
// and in the footer alike.
type u32s []byte

func (u u32s) len() int         { return len(u) / 4 }
func (u u32s) get(i int) uint32 { return binary.LittleEndian.Uint32(u[i*4:]) }

// append doubles the memory of a run that is full: Go gives a large slice a quarter more, and a run
// that grows by each event would be copied four times over.
func (u u32s) append(v uint32) u32s {
	if len(u) == cap(u) {
		u = slices.Grow(u, max(len(u), 4))
	}
	return binary.LittleEndian.AppendUint32(u, v)
}

// run returns the values as they are at this moment.
func (u u32s) run() run { return run{size: len(u), here: u} }

// gallop returns the first i in [start, end) that has reached its goal, or end.
// It probes O(log of the distance from start) times, so that a pass over a list by
// many small seeks costs no more than the list, and one far seek costs a binary
// search. A place it returns below end was seen to have reached the goal, even
// if the list is out of order.
func gallop(start, end int, reached func(i int) bool) int {
	at := start
	for step := 1; at < end && !reached(at); step *= 2 {
		start, at = at+1, at+step
	}
	end = min(at, end)
	return start + sort.Search(end-start, func(i int) bool { return reached(start + i) })
}
