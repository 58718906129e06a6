package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store/internal/index"
)

// A fence is in the log as a side value, which is written in the batch of each staged commit:
//
//	fence/00000000000004d2 --> 1, state, writer epoch, number of ranges, ranges, reason
//
// The key has the first position that was staged. What the value means depends on whether its
// writer lives, and so a crash needs no hand that cleans up:
//
//	open, of the writer that is at work     nothing from the first position on is visible
//	open, of a writer that has ended        cancelled: no writer can publish it any more
//	cancelled, expired                      its ranges are hidden
//	lost                                    likewise: no fence had them, but damage has taken them
//	published                               none of it is visible before all of it is
//	deleted                                 likewise, and all of it was visible at once
//
// So readers in other processes learn of a fence by the log alone, together with the events in it,
// and rewriting keeps what is hidden as it keeps any present side value.

var errBadFence = errors.New("not the state of a fence")

// fencePrefix begins the side keys of fences.
const fencePrefix = "fence/"

const (
	fenceKeyBytes      = len(fencePrefix) + 16
	fenceVersion       = 1
	maxFenceReason     = 256     // bytes
	maxFenceStages     = 1 << 10 // commits of one fence, and so ranges
	maxFenceRangeBytes = 2 * binary.MaxVarintLen64
)

func fenceKey(first Position) string { return fmt.Sprintf("%s%016x", fencePrefix, uint64(first)) }

// isFenceKey reports whether a side value is that of a fence. Others with that prefix are of
// programs that were written before it was reserved, and mean nothing here.
func isFenceKey(key string) bool {
	if len(key) != fenceKeyBytes || !strings.HasPrefix(key, fencePrefix) {
		return false
	}
	_, err := strconv.ParseUint(key[len(fencePrefix):], 16, 64)
	return err == nil
}

// fenceRecord is what the log says of a fence.
type fenceRecord struct {
	state  fenceState // never fenceEnding
	epoch  uint32     // of its writer
	ranges ranges     // that were staged
	reason string
}

// encode returns the value.
func (r *fenceRecord) encode() []byte {
	b := append(make([]byte, 0, 32+len(r.ranges)*4+len(r.reason)), fenceVersion, byte(r.state))
	b = binary.AppendUvarint(b, uint64(r.epoch))
	return append(r.ranges.append(b), r.reason...)
}

// fenceRecordBytes is the most that the value of a fence with so many ranges has.
func fenceRecordBytes(ranges int, reason string) int {
	return 2 + 2*binary.MaxVarintLen32 + ranges*maxFenceRangeBytes + len(reason)
}

// parseFence is the reverse of encode. It accepts no value that encode does not make.
func parseFence(b []byte) (r fenceRecord, err error) {
	if len(b) > 0 && b[0] > fenceVersion {
		return r, ErrNewerFormat
	}
	if len(b) < 2 || b[0] != fenceVersion || b[1] >= fenceStates || b[1] == byte(fenceEnding) {
		return r, errBadFence
	}
	r.state = fenceState(b[1])
	d := identityDecoder{rest: string(b[2:])}
	epoch := d.number()
	r.epoch, r.ranges = uint32(epoch), d.ranges(maxFenceStages)
	if d.bad || epoch > 1<<32-1 {
		return fenceRecord{}, errBadFence
	}
	if r.reason = d.rest; !bytes.Equal(r.encode(), b) { // a number that was written in another way
		return r, errBadFence
	}
	return r, nil
}

// fenceTable is what the log says of all fences. It belongs to the holder of follower.mu; a
// writer needs it while it opens.
type fenceTable struct {
	records map[string]fenceRecord // by key
	ended   uint32                 // fences of writers with a lower epoch are not open any more
}

// take takes in the present value of a key.
func (t *fenceTable) take(g *segment, place *index.Side, value []byte) error {
	if place.Deleted {
		delete(t.records, place.Key())
		return nil
	}
	r, err := parseFence(value)
	if err == errBadFence { //nolint:errorlint // it is never wrapped
		return g.corrupt(int64(place.Offset), err.Error())
	}
	if err != nil {
		return fmt.Errorf("fence %s: %w", place.Key(), err)
	}
	if t.records == nil {
		t.records = make(map[string]fenceRecord)
	}
	t.records[place.Key()] = r
	return nil
}

// end says that writers with a lower epoch have ended.
func (t *fenceTable) end(epoch uint32) { t.ended = max(t.ended, epoch) }

// open reports whether a fence may still be published.
func (t *fenceTable) open(r *fenceRecord) bool { return r.state == fenceOpen && r.epoch >= t.ended }

// apply returns what is hidden, and how far a log with so many positions is visible.
func (t *fenceTable) apply(assigned Position) (hidden ranges, head Position) {
	var cancelled, open, published []Range
	for _, r := range t.records {
		switch {
		case t.open(&r):
			open = append(open, r.ranges.span())
		case r.state == fencePublished:
			published = append(published, r.ranges.span())
		default:
			cancelled = append(cancelled, r.ranges...)
		}
	}
	return ranges(nil).with(cancelled...), headBefore(assigned, open, published)
}

// headBefore returns how far a log with so many positions is visible: not up to a fence that is
// open, nor to a part of one that was published.
func headBefore(assigned Position, open, published []Range) (head Position) {
	head = assigned
	for _, f := range open {
		head = min(head, f.From-1)
	}
	for again := true; again; {
		again = false
		for _, f := range published {
			if f.From <= head && head < f.To {
				head, again = f.From-1, true
			}
		}
	}
	return head
}

// cancelled returns why an event is hidden that was staged in a fence.
func (t *fenceTable) cancelled(p Position) error {
	for _, r := range t.records {
		if r.ranges.has(p) {
			return &FenceCancelledError{Reason: r.reason, By: r.state.cancelledBy()}
		}
	}
	return ErrFenceCancelled
}

// published returns the keys of fences that all is known of without them, as nothing is open.
func (t *fenceTable) published() (keys []string) {
	for key, r := range t.records {
		if r.state == fencePublished {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (t *fenceTable) stats() (stats []FenceStats) {
	for _, key := range slices.Sorted(maps.Keys(t.records)) {
		r := t.records[key]
		if !t.open(&r) {
			continue
		}
		s := FenceStats{Reason: r.reason, First: r.ranges[0].From}
		for _, in := range r.ranges {
			s.Events += uint64(in.To - in.From + 1)
		}
		stats = append(stats, s)
	}
	return stats
}

// loadFences reads what the side values say of fences, before the store is open.
func (s *Store) loadFences(ended uint32) (t fenceTable, err error) {
	t.ended = ended
	s.sides.snapshot().Ascend(sidePivot(fencePrefix), func(place index.Side) bool {
		key := place.Key()
		if !strings.HasPrefix(key, fencePrefix) {
			return false
		}
		if isFenceKey(key) {
			var value SideValue
			if value, err = s.sides.valueAt(&place); err == nil {
				err = t.take(s.sides.segment(place.Segment), &place, value.Value)
			}
		}
		return err == nil
	})
	return t, err
}
