package index

import "math/bits"

// A filter is a Bloom filter of which each element has its bits in one line of 64 bytes, so that a
// question touches one line. It says "perhaps" of all its elements, and of about one other text in
// a hundred.
const (
	filterBits   = 12 // for each element
	filterProbes = 7  // bits that an element sets
)

type filter struct{ start, lines int } // in the body

func newFilter(n int, take func(size int) int) filter {
	lines := filterLines(n)
	return filter{take(lines * lineSize), lines}
}

// filterLines returns how many lines a filter of n elements has; none of them, none.
func filterLines(n int) int { return (n*filterBits + 8*lineSize - 1) / (8 * lineSize) }

// lineOf returns the line of a hash among so many, by its upper half.
func lineOf(hash uint64, lines int) int {
	high, _ := bits.Mul64(hash, uint64(lines))
	return int(high)
}

// probe returns the i-th bit of a hash in its line, and the byte that it is in. The bits come from
// another mixing of the hash: those that choose the line are the same for all of a line.
func probe(hash uint64, i int) (at int, bit byte) {
	n := mix(hash^0x9e3779b97f4a7c15) >> (9 * i) & (8*lineSize - 1)
	return int(n / 8), 1 << (n % 8)
}

// setInFilter adds a hash to a filter.
func setInFilter(filter []byte, hash uint64) {
	line := filter[lineOf(hash, len(filter)/lineSize)*lineSize:]
	for i := range filterProbes {
		at, bit := probe(hash, i)
		line[at] |= bit
	}
}

// inLine reports whether a hash may have been added to its line.
func inLine(line []byte, hash uint64) bool {
	for i := range filterProbes {
		if at, bit := probe(hash, i); line[at]&bit == 0 {
			return false
		}
	}
	return true
}
