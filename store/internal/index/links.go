package index

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
	"sync"
)

// ErrNoLinks says that a blob was written before there were tables of links: what its events point
// at only they know, and an index that is made from them.
var ErrNoLinks = errors.New("index: blob without links")

// A Link is a way in which an event points at another by its id. Its values are hashed into the
// footer and never change.
type Link byte

// The links of an event.
const (
	Cause       Link = 0
	Correlation Link = 1
	linkFields       = 2
)

// links are the rows of each kind of link, in the order of the events: the hash of the id that an
// event points at, and the ordinal of the event. Ids that have the same hash are not told apart.
type links [linkFields][]row[uint32]

// add costs an append: the order that questions need is made by them. A zero id is none.
func (l *links) add(by Link, id *[16]byte, ord uint32) {
	if *id != ([16]byte{}) {
		l[by] = append(l[by], row[uint32]{hashLink(by, id), ord})
	}
}

// hashLink names an id on disk. It is fixed forever, and knows no salt: nothing depends on ids
// being told apart.
func hashLink(by Link, id *[16]byte) uint64 {
	low, high := binary.LittleEndian.Uint64(id[:]), binary.LittleEndian.Uint64(id[8:])
	return mix(low ^ mix(high+uint64(by)))
}

// Linked implements Index. It goes by the hash of the id.
func (a *Active) Linked(by Link, id [16]byte, from, to uint32, dst []uint32) ([]uint32, error) {
	return a.chains[by].find(a, by, hashLink(by, &id), from, to, dst), nil
}

// chains lead through the rows of a growing list from each to the one before it that has the same
// hash. They are made by those who ask, up to where the list is then: what is never asked for costs
// nothing.
//
// mu is taken before that of the Active.
type chains struct {
	mu     sync.Mutex
	last   map[uint64]uint32 // of a hash, the number of its last row, from 1
	before []uint32          // of a row, the number of the one before it with its hash, 0 for none
}

func (c *chains) find(a *Active, by Link, hash uint64, from, to uint32, dst []uint32) []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.mu.RLock()
	rows := a.links[by]
	a.mu.RUnlock()
	c.extend(rows)
	start := len(dst)
	for n := c.last[hash]; n > 0; n = c.before[n-1] {
		if ord := rows[n-1].value; from <= ord && ord < to {
			dst = append(dst, ord)
		}
	}
	slices.Reverse(dst[start:])
	return dst
}

func (c *chains) extend(rows []row[uint32]) {
	if c.last == nil {
		c.last = make(map[uint64]uint32)
	}
	for i := len(c.before); i < len(rows); i++ {
		hash := rows[i].hash
		c.before = append(c.before, c.last[hash])
		c.last[hash] = uint32(i + 1)
	}
}

// sorted returns the rows by hash and, where hashes are the same, by ordinal. They are put in the
// spans of the directory first, each of which has some dozen rows mostly: to sort all of them would
// take three times as long.
func sorted(rows []row[uint32]) []row[uint32] {
	t := newTable(len(rows), pairSize, func(int) int { return 0 })
	ends := make([]int, t.entries()+1)
	for _, r := range rows {
		ends[t.entry(r.hash)+1]++
	}
	for i := range t.entries() {
		ends[i+1] += ends[i]
	}
	spans := make([]row[uint32], len(rows))
	for _, r := range rows {
		at := &ends[t.entry(r.hash)]
		spans[*at] = r
		*at++
	}
	start := 0
	for _, end := range ends[:t.entries()] {
		slices.SortFunc(spans[start:end], func(a, b row[uint32]) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.value, b.value))
		})
		start = end
	}
	return spans
}

// Linked implements Index. It goes by the hash of the id. The filter has the ids of all links.
func (s *Sealed) Linked(by Link, id [16]byte, from, to uint32, dst []uint32) (_ []uint32, err error) {
	defer s.rescue(guard(), &err)
	if !s.head.linked {
		return dst, ErrNoLinks
	}
	h := hashLink(by, &id)
	if !s.perhaps(s.linkFilter, h) {
		return dst, nil
	}
	t := &s.links[by]
	rows, at := s.span(t, h)
	n := len(rows) / t.width
	rowAt := func(i int) (uint64, uint32) {
		r := rows[i*t.width:]
		return binary.LittleEndian.Uint64(r), binary.LittleEndian.Uint32(r[8:])
	}
	first := sort.Search(n, func(i int) bool {
		hash, ord := rowAt(i)
		return hash > h || hash == h && ord >= from
	})
	for i := first; i < n; i++ {
		hash, ord := rowAt(i)
		if hash != h || ord >= to {
			break
		}
		if ord < from || ord >= s.head.events {
			s.fail(at+i*t.width, "event out of order or beyond the last")
		}
		dst, from = append(dst, ord), ord+1
	}
	return dst, nil
}
