package store

import (
	"bytes"
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

	kept     []byte // copy of the segment from keptFrom on, with records that are still to be read
	keptFrom int64
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
	w.drop(from)
	had, size := len(w.buf), int(to-w.from)
	if had >= size {
		return nil
	}
	w.buf = slices.Grow(w.buf, size-had)[:size]
	if err := w.segment.read(w.buf[had:], w.from+int64(had)); err != nil {
		w.buf, w.trusted = w.buf[:had], 0
		return err
	}
	return nil
}

// drop forgets what is shown before an offset, unless it is less than what is shown after it: to
// move that would cost as much as to read it.
func (w *window) drop(from int64) {
	had := w.to() - from
	if from < w.from || had < 0 {
		w.from, w.buf, w.trusted = from, w.buf[:0], 0
	} else if from-w.from > had {
		w.from, w.buf = from, w.buf[:copy(w.buf, w.at(from))]
	}
	if w.next < from {
		w.trusted = 0
	}
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
		w.trusted = 0
	}
	w.next, w.ordinal = offset, ord
	w.pass(rec)
	return rec, nil
}

// pass moves on from the record of an event at next to what follows.
func (w *window) pass(rec []byte) {
	w.next += int64(len(rec))
	w.ordinal++
}

// follow returns the record if it is part of a batch that is good as a whole. limit is up to where
// it is worth reading to find that out, which is not done for a batch whose first events are left
// out.
func (w *window) follow(ord uint32, offset, limit int64) []byte {
	if ord < w.ordinal || !w.shows(w.next, offset) {
		return nil
	}
	for w.next < offset {
		b := w.at(w.next)
		n, events := wal.Step(b, w.next)
		step := int64(n)
		switch {
		case step == 0:
			return nil
		case wal.BatchLength(b) == 0 || offset >= w.next+step: // a batch none of whose events is read
			w.ordinal += events
		default:
			if ord == w.ordinal {
				w.check(w.next, w.next+step, limit)
			}
			step = wal.BatchHeaderSize
		}
		w.next += step
	}
	if w.next != offset || ord != w.ordinal || offset >= w.trusted {
		return nil
	}
	return wal.Record(w.at(offset)[:w.trusted-offset])
}

// following returns the record of the next event in [next, end), which next stands at then, if all
// up to it is part of batches that are good as a whole; else nil.
func (w *window) following(end int64) []byte {
	for w.next < w.trusted || w.begin(end) {
		rec := wal.Record(w.at(w.next)[:w.trusted-w.next])
		switch {
		case rec == nil: // padding
			w.next = w.trusted
		case wal.IsEvent(rec):
			return rec
		default:
			w.next += int64(len(rec))
		}
	}
	return nil
}

// begin enters the batch after next, and returns whether there is one that is good as a whole.
func (w *window) begin(end int64) bool {
	at := int64(wal.Align(int(w.next)))
	records := at + wal.BatchHeaderSize
	if records > end || !w.reach(at, records, end) {
		return false
	}
	to := at + int64(wal.BatchLength(w.at(at)))
	if to < records || to > end || to-at > maxCheckedBatch || !w.reach(at, to, end) {
		return false
	}
	if w.check(at, to, end); w.trusted != to {
		return false
	}
	w.next = records
	return true
}

// reach has the window show [from, to), and what is read in one go with it.
func (w *window) reach(from, to, end int64) bool {
	return w.shows(from, to) || w.show(from, max(to, min(from+windowBytes, end))) == nil
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
		rec, _, err = wal.ParseRecord(w.at(offset))
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

// stretch returns the end of the records of events that lie side by side from the one at [start,
// end) on, in a batch that is good as a whole.
func (w *window) stretch(start, end int64) int64 {
	for at := end; at < w.trusted; {
		rec := wal.Record(w.at(at)[:w.trusted-at])
		n := int64(len(rec))
		if n == 0 || !adjoins(start, end, at, n) {
			break
		}
		if at += n; wal.IsEvent(rec) {
			end = at
		}
	}
	return end
}

// adjoins reports whether the n bytes at an offset are worth copying with [start, end): little lies
// in between, and it does not become too much in all.
func adjoins(start, end, at, n int64) bool { return at-end <= n && at+n-start <= keepBytes }

// copy copies [start, end) out of the buffer, for this and for records that are still to be read.
func (w *window) copy(start, end int64) []byte {
	w.kept, w.keptFrom = bytes.Clone(w.at(start)[:end-start]), start
	return w.kept
}

// copied returns what there is already of the copy of what lies at an offset and after it, nil if
// there is none. Offsets only grow.
func (w *window) copied(offset int64) []byte {
	if at := offset - w.keptFrom; at < int64(len(w.kept)) {
		return w.kept[at:]
	}
	return nil
}
