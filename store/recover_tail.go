package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// scanTail scans a segment without a footer, the last one or one whose footer a crash prevented,
// and decides where its batches end.
//
// They end at the first batch that is bad. Whether that is a torn write or damage is told by the
// marks "known durable" of the batches, also of those after the bad one, since a power cut may keep
// a later write and lose an earlier one. Below the highest mark everything was durable once, so
// what is bad there is damage. At or above it nothing was ever promised to a caller who was told
// that it is durable, so the log may end there, and what lies after it is cut off: no position is
// ever assigned twice, as nothing cut off was visible.
func (r *recovery) scanTail(g *segment, size int64, last bool) error {
	data, err := g.bytes(0, size)
	if r.readOnly && errors.Is(err, io.EOF) { // a writer beside this reader has just cut it to size
		if size, err = g.size(); err == nil {
			data, err = g.bytes(0, size)
		}
	}
	if err != nil {
		return err
	}
	end, err := r.shown(g, data)
	if err != nil {
		return err
	}
	sc := newScan(g, &r.header)
	sc.next.WriterEpoch = r.chain.WriterEpoch
	if err := sc.run(data[:end]); err != nil {
		return err
	}
	end = sc.next.Offset
	if durable := max(sc.durable, wal.DurableAfter(data, sc.next.Seed, g.number, end)); durable > end {
		return g.corrupt(end, fmt.Sprintf("batch is bad, and a later one says that the log was durable up to %d", durable))
	}
	g.end.Store(end)
	g.setActive(sc.active)
	r.lastTime, r.incarnation = sc.lastTime, sc.incarnation
	if end > wal.SegmentHeaderSize { // else the last batch is one of the segment before
		r.flags = sc.flags
	}
	r.chain = sc.next
	r.tail, r.tailSize, r.tailBytes = sc, size, data
	if last || r.readOnly {
		return nil
	}
	return r.finishSegment(g, sc)
}

// finishSegment writes the footer that a crash prevented. A footer says that the segment is whole,
// and what proves that is the header of the next segment, with the checksum of the last batch of
// this one: so that header is read before its turn, and without it no footer is written.
func (r *recovery) finishSegment(g *segment, sc *scan) error {
	next, err := r.store.peekHeader(g.number + 1)
	if err != nil {
		return err
	}
	if next != nil && (next.Previous != sc.next.Previous || next.FirstPosition != sc.next.Position) {
		return g.corrupt(sc.next.Offset, "batch does not match its checksum or place")
	}
	if next == nil { // the next file was never started: this one is the last
		return nil
	}
	t := wal.Trailer{
		Version: wal.Version, DataEnd: uint64(sc.next.Offset), NextPosition: sc.next.Position, NextSequence: sc.next.Sequence,
		LastTime: sc.lastTime, LastChecksum: sc.next.Previous, WriterEpoch: sc.next.WriterEpoch,
		Weak: sc.flags&wal.FlagWeak != 0, Incarnation: sc.incarnation,
	}
	switch err := r.writeFooter(g, &t, sc.active); {
	case vfs.IsFull(err):
		// The growing index stays in use, as after a sealing that failed; the next opening tries again.
		r.sealed(g, &t)
		g.trailer.Store(nil)
	case err != nil:
		return err
	default:
		r.sealed(g, &t)
		g.index.Store(nil)
	}
	return nil
}

func (r *recovery) writeFooter(g *segment, t *wal.Trailer, active *index.Active) error {
	file, err := r.store.dir.Open(segmentName(g.number), false)
	if err != nil {
		return err
	}
	return errors.Join(writeFooter(file, t, active), file.Close())
}

// checkLoss finds out whether acknowledged events are gone.
//
//	the beacon names a head beyond the log                         lost
//	the beacon is of this boot: only the process died              nothing lost
//	SyncAlways, or a clean end                                     nothing lost
//	a mode that acknowledges before the sync, and an unclean end   lost, for all that is known
//
// The beacon is not synced, so an old one proves nothing by what it does not say. One of an earlier
// incarnation is passed over: the loss that it shows was counted when that incarnation ended.
func (r *recovery) checkLoss() error {
	if len(*r.store.segments.Load()) == 0 {
		return nil
	}
	t, ok, err := r.store.readBeacon()
	if err != nil {
		return err
	}
	ok = ok && t.store == r.store.origin.Store
	if ok && t.incarnation >= r.incarnation && uint64(t.head) >= r.chain.Position {
		r.lost = true
		return nil
	}
	weak, clean := r.flags&wal.FlagWeak != 0, r.flags&wal.FlagClosed != 0
	sameBoot := ok && t.boot != [16]byte{} && t.boot == r.store.boot
	r.lost = weak && !clean && !sameBoot
	return nil
}

// rewriteTail makes durable what was read and is about to become visible. What was read came from
// the page cache, which is not the disk: after a failed sync the cache may hold bytes that it will
// never write, as it takes them for clean. Writing the same bytes makes them dirty again.
//
// The zeros erase what lies after the end of the log, batches of the writer before included. After
// a clean end there is nothing to erase.
//
// From here on the writer has the file open.
func (r *recovery) rewriteTail() (err error) {
	s, from, end := r.store, r.tail.durable, r.tail.next.Offset
	if s.writing, err = s.dir.Open(segmentName(r.tail.segment.number), false); err != nil {
		return err
	}
	// Without a mark the header is not known durable either, and from is 0.
	if _, err := s.writing.WriteAt(r.tailBytes[from:end], from); err != nil {
		return err
	}
	if r.tail.flags&wal.FlagClosed == 0 {
		err = r.eraseRest(end)
	} else {
		err = r.reserveRest(end)
	}
	if err != nil {
		return err
	}
	return s.writing.Sync()
}

// A program that copied the file may have left out the zeros at its end, and a write into such a
// hole can fail for want of room, with an unknown outcome. So there must be room before the writer
// begins. Where there is none, there is none in this segment but for the marks of this writer:
// commits are refused until the next segment can be made.

// reserveRest makes sure that there is room where the file has zeros.
func (r *recovery) reserveRest(end int64) error {
	file := r.store.writing
	err := reserve(file, end, r.tailSize)
	if vfs.IsFull(err) {
		r.tailSize = min(r.tailSize, end+2*wal.BatchHeaderSize)
		err = reserve(file, end, r.tailSize)
	}
	return err
}

// eraseRest writes zeros, which takes room where the file has holes. Without it what lies there
// goes with the end of the file.
func (r *recovery) eraseRest(end int64) error {
	file := r.store.writing
	err := vfs.WriteZeros(file, end, r.tailSize)
	if !vfs.IsFull(err) {
		return err
	}
	r.tailSize = min(r.tailSize, end+2*wal.BatchHeaderSize)
	if err := file.Truncate(r.tailSize); err != nil {
		return err
	}
	return vfs.WriteZeros(file, end, r.tailSize)
}

// reserve reserves room, with zeros where the file system has no other way: only where the file
// has zeros, or nothing.
func reserve(file vfs.File, from, to int64) error {
	if err := file.Reserve(from, to); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return vfs.WriteZeros(file, from, to)
}
