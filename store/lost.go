package store

import (
	"slices"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// What damage has taken is lost for good once the log was repaired: its positions stay assigned,
// and are hidden like those of a cancelled fence. The log says of them, as of a fence, in a side
// value
//
//	fence/80000000000004d2 --> 1, lost, 0, number of ranges, ranges, reason
//
// which is in the commit that begins the repaired log. In the place of each event there is one that
// no reader sees, so that positions, times and ids have no hole.

const lostEntity = ReservedScope + ":lost"

// lostKeys is in the keys of what is lost: so they are none of a fence that begins there.
const lostKeys = 1 << 63

// losses are what damage has taken. A value never changes.
type losses struct {
	ranges           // all
	cancelled ranges // the part that a cancelled fence had hidden
}

// LostRanges returns the parts of [from, to] that were lost to damage, and discarded by [Repair],
// ascending. Their events are nowhere: readers pass over them, [CancelledRanges] has them, too, and
// the histories of entities that had some of them have a gap in their versions. It reads nothing.
func LostRanges(s *Store, from, to Position) []Range {
	return s.losses().clip(from, to)
}

func (s *Store) losses() losses {
	if l := s.lost.Load(); l != nil {
		return *l
	}
	return losses{}
}

// withdrawn reports whether an event was staged in a fence that was cancelled. What damage has
// taken was committed.
func (s *Store) withdrawn(p Position) bool {
	lost := s.losses()
	return s.cancelled().has(p) && (!lost.has(p) || lost.cancelled.has(p))
}

// withdrawals returns what cancelled fences hide, whatever damage has taken of it.
func (s *Store) withdrawals() ranges {
	hidden, lost := s.cancelled(), s.losses()
	if len(lost.ranges) == 0 {
		return hidden
	}
	return hidden.without(lost.ranges).with(lost.cancelled...)
}

// isLostBetween reports whether events between two positions were lost.
func (r ranges) isLostBetween(after, before Position) bool { return len(r.clip(after+1, before-1)) > 0 }

// lost returns what was lost to damage.
func (t *fenceTable) lost() (l losses) {
	for _, r := range t.records {
		if r.state == fenceLost {
			l.ranges = l.with(r.ranges...)
		}
	}
	for _, r := range t.records {
		if r.state == fenceLost || r.state == fencePublished || t.open(&r) {
			continue
		}
		for _, in := range r.ranges {
			l.cancelled = l.cancelled.with(l.clip(in.From, in.To)...)
		}
	}
	return l
}

// conceal takes in what fences hide, and what is lost. Called as hide is.
func (s *Store) conceal(t *fenceTable, hidden ranges) {
	if lost := t.lost(); len(lost.ranges) > 0 {
		s.lost.Store(&lost)
	}
	s.hide(hidden)
}

// appendLost appends the record that stands in the place of a lost event.
func appendLost(dst []byte, position, time uint64) []byte {
	start := len(dst)
	dst = wal.AppendEvent(dst, &wal.Draft{Entity: lostEntity, Scope: ReservedScope, Kind: auditKinds + "lost", Codec: "raw"})
	wal.StampEvent(dst[start:], &wal.Stamp{Position: position, Version: position, Time: time, ID: idAt(time, 0)})
	wal.SealRecord(dst[start:], false)
	return dst
}

// lostSides returns the side values that say which ranges are lost, a limited number in each.
func lostSides(lost []Range, reason string) (sides []SideWrite) {
	for part := range slices.Chunk(lost, maxFenceStages) {
		r := fenceRecord{state: fenceLost, ranges: part, reason: reason}
		sides = append(sides, SideWrite{Key: fenceKey(part[0].From | lostKeys), Value: r.encode()})
	}
	return sides
}
