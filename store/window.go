package store

import (
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// window is the part of a segment that a reader has before it, in one buffer that it uses again and
// again, and how much of that is known to be good.
//
//	     shown from                                                  shown to
//	         |  batch, checksum is right   batch, reaches beyond       |
//	---------+--+--------+-----+-----+-----+--+-----+-----+--- - - - --+-----
//	            | header | rec | rec | rec |  | rec | rec |
//	---------+--+--------+-----+-----+-----+--+-----+-----+--- - - - --+-----
//	                           |           |
//	                          next      trusted
//
// What is read in one go is checked batch by batch, which costs a third of checking each record:
// the checksum of so short a piece of memory is slow. A record is believed without a look at its
// own checksum only if it lies before trusted and is reached from the beginning of that batch,
// record by record (next). So neither a flipped bit nor an index that is wrong makes an event of
// what is none. Every other record is checked by its own checksum: where reading begins within a
// batch, leaves events out, or meets a batch that is too large or damaged. The events that are good
// in a damaged batch are therefore the same, however it is read.
//
// A window belongs to one goroutine.
type window struct {
	segment *segment
	index   index.Index // by which the segment is read: another one may mean other offsets
	seed    uint32      // of the checksums of batches

	buf     []byte // what is shown
	from    int64  // where buf begins in the segment
	next    int64  // where the record ends that was read last
	ordinal uint32 // of the event after it
	trusted int64  // up to here next may go without a look at checksums
}

// enter begins with a segment, unless the window is in it.
func (w *window) enter(g *segment, idx index.Index) {
	if w.segment != g || w.index != idx {
		*w = window{segment: g, index: idx, seed: w.seed, buf: w.buf[:0], next: wal.SegmentHeaderSize}
	}
}

// leave forgets everything but the memory, unless that is large.
func (w *window) leave() {
	if cap(w.buf) > maxKeptWindow {
		w.buf = nil
	}
	*w = window{buf: w.buf[:0]}
}

// to is where what is shown ends.
func (w *window) to() int64 { return w.from + int64(len(w.buf)) }

// shows reports whether [from, to) is shown.
func (w *window) shows(from, to int64) bool { return from >= w.from && to <= w.to() }

// at returns what is shown from an offset on.
func (w *window) at(offset int64) []byte { return w.buf[offset-w.from:] }

// show moves the window to [from, to) of the segment. What is shown of that already is not read
// again. After an error that is all that is shown.
func (w *window) show(from, to int64) error {
	had := 0
	if w.shows(from, from) {
		had = copy(w.buf, w.at(from))
	}
	w.from, w.buf = from, w.buf[:had]
	size := int(to - from)
	if had >= size {
		return nil
	}
	w.buf = slices.Grow(w.buf, size-had)[:size]
	if err := w.segment.read(w.buf[had:], from+int64(had)); err != nil {
		w.buf = w.buf[:had]
		return err
	}
	return nil
}

// record returns the checked record of the event with an ordinal, which the index says is at an
// offset. It points into the buffer. The first bytes of the record are shown.
func (w *window) record(ord uint32, offset, limit int64) ([]byte, error) {
	rec := w.follow(ord, offset, limit)
	if rec == nil {
		var err error
		if rec, err = w.lone(offset); err != nil {
			return nil, err
		}
	}
	w.next, w.ordinal = offset+int64(len(rec)), ord+1
	return rec, nil
}

// follow returns the record if it is part of a batch that is good as a whole. limit is up to where
// it is worth reading to find that out.
func (w *window) follow(ord uint32, offset, limit int64) []byte {
	if ord != w.ordinal || !w.shows(w.next, offset) {
		return nil
	}
	for w.next < offset {
		step := int64(wal.Step(w.at(w.next), w.next))
		if step == 0 {
			return nil
		}
		if n := int64(wal.BatchLength(w.at(w.next))); n > 0 {
			if step = wal.BatchHeaderSize; offset >= w.next+n {
				step = n // none of its events is read
			} else {
				w.check(w.next, w.next+n, limit)
			}
		}
		w.next += step
	}
	if w.next != offset || offset >= w.trusted {
		return nil
	}
	return wal.Record(w.at(offset)[:w.trusted-offset])
}

// check looks whether [from, to) is a batch that is good. That it ends before limit is what its
// header says, which may be wrong; so an error of reading it means nothing.
func (w *window) check(from, to, limit int64) {
	if to > limit || to-from > maxCheckedBatch || !w.shows(from, to) && w.show(from, to) != nil {
		return
	}
	if _, _, err := wal.ParseBatch(w.at(from), w.seed, w.segment.number, from); err == nil {
		w.trusted = to
	}
}

// lone returns the record at an offset if its own checksum is right.
func (w *window) lone(offset int64) ([]byte, error) {
	rec, n, err := wal.ParseRecord(w.at(offset))
	if end := offset + int64(n); err != nil && end > w.to() && end <= w.segment.end.Load() {
		if err := w.show(offset, end); err != nil {
			return nil, err
		}
		rec, _, err = wal.ParseRecord(w.buf)
	}
	if err != nil {
		return nil, w.segment.corrupt(offset, "record does not match its checksum")
	}
	return rec, nil
}

// claim is the length of the record at an offset as it says itself; 0 where it is not shown whole.
func (w *window) claim(offset int64) int64 {
	if !w.shows(offset, offset) {
		return 0
	}
	return int64(len(wal.Record(w.at(offset))))
}
