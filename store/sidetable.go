package store

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// sideTable says where the present side values lie, in the order of their keys; short ones it has
// itself. All others are read from their segments as they are asked for.
//
//	key --> segment, offset, length, revision     40 bytes in a node that is half to wholly full, and
//	                                              full where Open has loaded it, and the text of the
//	                                              key, with a short value
//
// The tree is copied on write: a reader of many keys takes a copy, which costs nothing, and the
// writer copies each node that the two share before it first changes it. So no listing holds up a
// commit, and none sees half of one. mu is held for operations of one tree, never during I/O, and
// no other lock is taken under it.
//
// The bytes at a place never change, so a value that is overwritten while it is read is the former
// one. A place does: of a value that was overwritten, and in a segment that was rewritten. So what
// cannot be read at a place is looked up again before it counts as damaged (readAt).
type sideTable struct {
	segments *atomic.Pointer[[]*segment] // of the store; set before the first use, as is onDisk
	again    func(*error) bool           // Store.again
	catchUp  func()                      // Store.catchUp
	onDisk   bool                        // short values are not kept either

	mu   sync.RWMutex
	tree *btree.BTreeG[index.Side]
	live []int64 // bytes that the records of present values have, by the number of the segment
}

func (t *sideTable) start(
	segments *atomic.Pointer[[]*segment], again func(*error) bool, catchUp func(), onDisk bool,
) {
	t.segments, t.again, t.catchUp, t.onDisk = segments, again, catchUp, onDisk
	t.reset()
}

// reset empties the table, before the store is open.
func (t *sideTable) reset() {
	t.tree = btree.NewBTreeGOptions(sideBefore, btree.Options{NoLocks: true})
	t.live = nil
}

func sideBefore(a, b index.Side) bool { return a.Key() < b.Key() }

// sidePivot is equal to the entry of a key. All keys are shorter than one that is cut off.
func sidePivot(key string) index.Side {
	key = key[:min(len(key), maxSideKeyBytes+1)]
	return index.Side{Text: key, KeyLen: uint16(len(key))}
}

// size returns how many present values there are, and the bytes of their records.
func (t *sideTable) size() (values int, bytes int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, n := range t.live {
		bytes += n
	}
	return t.tree.Len(), bytes
}

// get returns the place of a value.
func (t *sideTable) get(key string) (index.Side, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.tree.Get(sidePivot(key))
}

// snapshot returns the table as it is now, for one goroutine.
func (t *sideTable) snapshot() *btree.BTreeG[index.Side] {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.Copy()
}

// liveBytes is how much of a segment are present side values.
func (t *sideTable) liveBytes(segment uint32) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if int(segment) >= len(t.live) {
		return 0
	}
	return t.live[segment]
}

// publish applies the side writes of a group and moves the head under the same lock, so that what
// was committed together is seen together: a caller that finds a side value finds the events beside
// it, and one that sees the head and then asks for a side value waits until it is there.
func (t *sideTable) publish(pending map[string]index.Side, head *atomic.Uint64, to Position) map[string]index.Side {
	if len(pending) == 0 {
		head.Store(uint64(to))
		return pending
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	head.Store(uint64(to))
	return t.merge(pending)
}

// merge applies side writes. It returns an empty map for the next group: a map that was large once
// stays so, and would be walked whole for each group after. Called as put is.
func (t *sideTable) merge(pending map[string]index.Side) map[string]index.Side {
	for _, side := range pending {
		t.put(side, nil)
	}
	if len(pending) > maxPooledItems {
		return make(map[string]index.Side)
	}
	clear(pending)
	return pending
}

// put takes in the newest record of a side value. Called with mu held, or before the store is open;
// a hint makes it cheaper where keys ascend.
func (t *sideTable) put(side index.Side, hint *btree.PathHint) {
	var former index.Side
	var existed bool
	if side.Deleted {
		former, existed = t.tree.DeleteHint(side, hint)
	} else {
		if side.Inline && t.onDisk {
			side.Text, side.Inline = strings.Clone(side.Key()), false
		}
		former, existed = t.tree.SetHint(side, hint)
		t.count(&side, 1)
	}
	if existed {
		t.count(&former, -1)
	}
}

func (t *sideTable) count(side *index.Side, sign int64) {
	if missing := int(side.Segment) + 1 - len(t.live); missing > 0 {
		t.live = append(t.live, make([]int64, missing)...)
	}
	t.live[side.Segment] += sign * sideSize(side)
}

// read returns the present value of a key, and whether there is one. With an error it has all but
// the value.
func (t *sideTable) read(key string) (SideValue, bool, error) {
	place, found := t.get(key)
	if !found {
		return SideValue{}, false, nil
	}
	return t.readAt(place)
}

// readAt returns the value at a place, or, where that cannot be read any more, the present value of
// the key.
func (t *sideTable) readAt(place index.Side) (SideValue, bool, error) {
	for looked := false; ; {
		value, err := t.valueAt(&place)
		if err == nil {
			return value, true, nil
		}
		replaced := t.again(&err)
		now, found := t.get(place.Key())
		if !found {
			return SideValue{}, false, nil
		}
		switch {
		case now != place:
			place = now
		case !replaced && looked:
			return value, true, err
		case !replaced: // what a reader beside a writer knows may have been rewritten away
			t.catchUp()
			looked = true
		}
	}
}

func (t *sideTable) valueAt(place *index.Side) (value SideValue, err error) {
	value = SideValue{Key: place.Key(), Revision: place.Revision}
	if place.Inline {
		value.Value = []byte(place.Value())
		return value, nil
	}
	g := t.segment(place.Segment)
	value.Value, err = g.sideValue(place)
	if former := g.former.Load(); err != nil && former != nil {
		err = &replacedError{former} // the place may still be that in the former file
	}
	return value, err
}

// move takes in where a value lies in a segment that was rewritten, or merged with others.
func (t *sideTable) move(to *index.Side) {
	t.mu.Lock()
	defer t.mu.Unlock()
	place, found := t.tree.Get(sidePivot(to.Key()))
	if found && place.Revision == to.Revision {
		t.count(&place, -1)
		place.Segment, place.Offset = to.Segment, to.Offset
		t.count(&place, 1)
		t.tree.Set(place)
	}
}

// segment returns one that has a place in the table. Segments are loaded after the place, and are
// known before the first place in them is.
func (t *sideTable) segment(number uint32) *segment {
	return standingFor(*t.segments.Load(), number)
}

// sideSize is the length of the record of a side value.
func sideSize(place *index.Side) int64 {
	return int64(wal.SideSize(int(place.KeyLen), int(place.Length)))
}

// sideValue reads the value at a place, and makes sure that it is the one which the place is of.
func (g *segment) sideValue(place *index.Side) ([]byte, error) {
	offset, size := int64(place.Offset), sideSize(place)
	if offset < wal.SegmentHeaderSize || offset+size > g.end.Load() {
		return nil, g.corrupt(offset, "no side value here")
	}
	b, err := g.bytes(offset, offset+size)
	if err != nil {
		return nil, err
	}
	rec, _, err := wal.ParseRecord(b)
	if err != nil {
		return nil, g.corrupt(offset, "record does not match its checksum")
	}
	side, err := wal.ParseSide(rec)
	if err != nil || side.Deleted || string(side.Key) != place.Key() || side.Revision != place.Revision {
		return nil, g.corrupt(offset, "not the side value that is looked for")
	}
	return side.Value, nil
}
