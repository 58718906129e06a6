package store

import (
	"math"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// search is the work on a part of the file that is no good batch: what is taken over of it becomes
// one.
type search struct {
	*salvage

	from, end int64
	to        wal.Expected    // what follows it, zero where that is not known
	until     uint64          // time of the last event before that, 0 where it is not known
	time      uint64          // of the last event
	revision  uint64          // after the last commit that is known
	seen      map[string]bool // keys of side values
}

// take takes over a record, and reports false where it does not belong here.
func (c *search) take(rec []byte) bool {
	switch {
	case wal.IsEvent(rec):
		p := wal.Position(rec)
		if _, ok := wal.Measure(rec); !ok || p < c.position() || c.to.Position > 0 && p >= c.to.Position || wal.Time(rec) <= c.time {
			return false
		}
		c.discard(p)
		c.time = wal.Time(rec)
	case wal.Type(rec) == wal.TypeKey:
		k, err := wal.ParseKey(rec)
		after := k.FirstPosition + uint64(k.Events)
		if err != nil || !c.isHere(k.Sequence) || k.FirstPosition < c.scan.next.Position || c.to.Position > 0 && after > c.to.Position {
			return false
		}
		c.discard(after) // its events are before it
	case wal.Type(rec) == wal.TypeState, wal.Type(rec) == wal.TypeReceipt:
		if _, err := restOf(rec); err != nil || !c.header.Dropped {
			return false
		}
	default:
		side, err := wal.ParseSide(rec)
		if err != nil || !c.isHere(side.Revision) {
			return false
		}
		c.seen[string(side.Key)] = true
	}
	c.put(rec)
	return true
}

// position is that of the next event.
func (c *search) position() uint64 { return c.scan.next.Position + uint64(c.events) }

// isHere takes in the sequence of a commit, and reports whether it is before what follows.
func (c *search) isHere(sequence uint64) bool {
	if c.to.Sequence > 0 && sequence >= c.to.Sequence {
		return false
	}
	c.revision = max(c.revision, sequence+1)
	return true
}

// discard discards the events up to a position.
func (c *search) discard(to uint64) {
	until := uint64(0)
	if to == c.to.Position {
		until = c.until
	}
	c.giveUp(to, &c.time, until)
}

// fromTable adds the side values of which the record was damaged: those that the table of the
// segment has, too, and others as empty ones.
func (c *search) fromTable() {
	for i := range c.foot.sides {
		side := &c.foot.sides[i]
		at := int64(side.Offset)
		if at < c.from || at >= c.end || c.seen[side.Key()] && c.wholeAt(side) || !c.isHere(side.Revision) {
			continue
		}
		value := []byte(nil)
		switch {
		case side.Inline:
			value = []byte(side.Value())
		case !side.Deleted:
			c.repair.sides[side.Key()] = side.Revision
			if isReserved(side.Key()) { // an empty one would be none of its kind
				continue
			}
		}
		rec := wal.AppendSide(nil, side.Key(), value, side.Deleted)
		wal.StampSide(rec, side.Revision)
		wal.SealRecord(rec, false)
		c.put(rec)
	}
}

// write writes what was taken over. whole is that no commit can have had anything else.
func (c *search) write(whole bool) error {
	x := &c.scan.next
	if len(c.batch) <= wal.BatchHeaderSize && c.to.Position == 0 {
		c.batch = c.batch[:0] // nothing of it is known
		return nil
	}
	until := max(c.revision, c.to.Sequence)
	if !whole {
		c.miss(until)
	}
	if until-x.Sequence > math.MaxUint32 { // what follows leaps
		until = c.revision
	}
	return c.mended.write(c.like(), until)
}
