package store

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// chains checks that the events of each entity continue each other. What it keeps of an entity is
// the last event, so a log of many entities is more than there is memory for: each pass over the
// log checks those whose hash lies in a range, which is halved when there are too many in it.
//
//	all hashes   |--------------------------------------------------|
//	pass 1       [-----------------------]   halved once
//	pass 2                                [------------]   twice
//	pass 3                                              [-----------]
//
// So it rests on no index, and needs no look-ups, which for a million entities take longer than to
// read their events once more.
type chains struct {
	limit    int
	seed     maphash.Seed
	from, to uint64 // hashes of the entities of this pass
	last     map[string]link
	unlinked uint64 // events that could not be checked, in all passes
}

// link is the last event of an entity.
type link struct {
	version  uint64
	position Position
	hash     [32]byte
	unlinked uint64 // events of the entity that could not be checked
}

func newChains(limit int) chains {
	return chains{limit: limit, seed: maphash.MakeSeed(), to: math.MaxUint64, last: make(map[string]link)}
}

// further begins the next pass, and reports false when there is none left.
func (c *chains) further() bool {
	for _, l := range c.last {
		c.unlinked += l.unlinked
	}
	clear(c.last)
	if c.to == math.MaxUint64 {
		return false
	}
	c.from, c.to = c.to+1, math.MaxUint64
	return true
}

// has reports whether the chain of an entity is checked in this pass.
func (c *chains) has(entity string) bool {
	h := maphash.String(c.seed, entity)
	return h >= c.from && h <= c.to
}

// add takes in the next event of the log, and returns why it does not continue the history of its
// entity, "" where it does. lost are events before it that are not in the log, gone those that were
// discarded.
func (c *chains) add(rec []byte, lost []lostEvents, gone ranges) (broken string) {
	entity := wal.Entity(rec)
	h := maphash.Bytes(c.seed, entity)
	if h < c.from || h > c.to {
		return ""
	}
	l, known := c.last[string(entity)]
	if !known && !c.makeRoom(h) {
		return ""
	}
	version, position := wal.EntityVersion(rec), Position(wal.Position(rec))
	switch {
	case version == l.version+1:
		if !wal.Continues(l.hash, rec) {
			broken = "hash is not that of the content after the event before"
		}
	case version > l.version && (isLost(lost, l.position, position) || gone.isLostBetween(l.position, position)):
		l.unlinked++
	default:
		broken = fmt.Sprintf("version %d follows version %d", version, l.version)
	}
	c.last[string(entity)] = link{version: version, position: position, hash: wal.Hash(rec), unlinked: l.unlinked}
	return broken
}

// begin takes in the state of an entity whose events up to there were dropped.
func (c *chains) begin(s *wal.State) {
	h := maphash.Bytes(c.seed, s.Entity)
	if h < c.from || h > c.to {
		return
	}
	l, known := c.last[string(s.Entity)]
	if known || c.makeRoom(h) {
		c.last[string(s.Entity)] = link{version: s.Version, position: Position(s.Position), hash: s.Hash, unlinked: l.unlinked}
	}
}

// makeRoom makes room for another entity, by leaving half of the hashes to the next pass. It
// reports whether the hash of the new one is still among those of this.
func (c *chains) makeRoom(h uint64) bool {
	for len(c.last) >= c.limit && c.to > c.from {
		c.to = c.from + (c.to-c.from)/2
		maps.DeleteFunc(c.last, func(entity string, _ link) bool { return maphash.String(c.seed, entity) > c.to })
	}
	return h <= c.to
}

// isLost reports whether events between two positions are not in the log. Those before its first
// are lost like others.
func isLost(lost []lostEvents, after, before Position) bool {
	i, _ := slices.BinarySearchFunc(lost, after+1, func(l lostEvents, p Position) int {
		if l.to < p {
			return -1
		}
		return 0
	})
	return i < len(lost) && lost[i].from < before
}
