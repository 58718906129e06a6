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
	err := r.readTail(g, size)
	if r.readOnly && errors.Is(err, io.EOF) { // a writer beside this reader has just cut it to size
		if size, err = g.size(); err == nil {
			err = r.readTail(g, size)
		}
	}
	if err != nil {
		return err
	}
	sc := r.tail
	if len(sc.runs) > 0 {
		r.covered = append(r.covered, sc)
	}
	g.end.Store(sc.next.Offset)
	g.setActive(sc.index())
	r.lastTime, r.incarnation = sc.lastTime, sc.incarnation
	if sc.next.Offset > wal.SegmentHeaderSize { // else the last batch is one of the segment before
		r.flags = sc.flags
	}
	r.chain = sc.chain()
	if last || r.readOnly {
		return nil
	}
	return r.finishSegment(g, sc)
}

// readTail scans the segment as far as its batches may be shown. What the marks say is looked up
// once, before that is decided: a writer beside this reader adds to them.
func (r *recovery) readTail(g *segment, size int64) error {
	p := g.pieces(size)
	sc, err := r.scanUpTo(g, p, r.loadRuns(g, p))
	if err != nil {
		return err
	}
	rest, err := p.Rest(sc.next.Seed, g.number, sc.next.Offset)
	if err != nil {
		return err
	}
	durable := max(sc.durable, rest.Durable)
	if r.readOnly && durable <= sc.next.Offset {
		end, err := r.shown(sc, durable)
		if err == nil && end < sc.next.Offset {
			sc, err = r.scanUpTo(g, g.pieces(end), nil)
		}
		if err != nil {
			return err
		}
	}
	if end := sc.next.Offset; durable > end {
		return g.corrupt(end, fmt.Sprintf("batch is bad, and a later one says that the log was durable up to %d", durable))
	}
	r.tail, r.tailSize, r.tailUsed = sc, size, rest.Used
	return nil
}

// scanUpTo scans the segment as far as p shows it, after the runs.
func (r *recovery) scanUpTo(g *segment, p *wal.Pieces, runs []loadedRun) (*scan, error) {
	sc := newScan(g, &r.header)
	sc.next.WriterEpoch = r.chain.WriterEpoch
	sc.resume(runs)
	return sc, sc.run(p)
}

// finishSegment writes the footer that a crash prevented. A footer says that the segment is whole,
// and what proves that is the header of the next segment, with the checksum of the last batch of
// this one: so that header is read before its turn, and without it no footer is written. Nor is one
// of a segment with damage that runs cover: it is found by the read that meets it, as ever.
func (r *recovery) finishSegment(g *segment, sc *scan) error {
	next, err := r.store.peekHeader(g.last + 1)
	if err != nil {
		return err
	}
	end := sc.chain()
	if next != nil && (next.Previous != end.Previous || next.FirstPosition != end.Position || next.FirstSequence != end.Sequence) {
		return g.corrupt(sc.next.Offset, "batch does not match its checksum or place")
	}
	if next == nil { // the next file was never started: this one is the last
		return nil
	}
	if len(sc.runs) > 0 { // a footer takes the texts of all events
		whole, err := scanSegment(g, sc.next.Offset)
		if errors.Is(err, ErrCorrupt) {
			r.unsealed(g, sc)
			return nil
		}
		if err != nil {
			return err
		}
		sc = whole
	}
	t := sc.trailer()
	switch err := r.writeFooter(g, &t, sc.active); {
	case vfs.IsFull(err):
		r.unsealed(g, sc)
	case err != nil:
		return err
	default:
		r.sealed(g, &t)
		g.index.Store(nil)
	}
	return nil
}

// unsealed takes in a segment that has no footer, although another one continues it. The growing
// index stays in use, as after a sealing that failed; the next opening tries again.
func (r *recovery) unsealed(g *segment, sc *scan) {
	t := sc.trailer()
	r.sealed(g, &t)
	g.trailer.Store(nil)
}

// trailer describes the scanned segment as its trailer will.
func (sc *scan) trailer() wal.Trailer {
	return wal.Trailer{
		Version: wal.Version, DataEnd: uint64(sc.next.Offset), NextPosition: sc.next.Position, NextSequence: sc.next.Sequence,
		LastTime: sc.lastTime, LastChecksum: sc.chain().Previous, WriterEpoch: sc.next.WriterEpoch,
		Weak: sc.flags&wal.FlagWeak != 0, Incarnation: sc.incarnation,
		Generation: sc.header.Generation, SideBytes: sc.sideBytes,
	}
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
//	the beacon names a position beyond the log                       lost
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
	if ok && t.incarnation >= r.incarnation && uint64(t.assigned) >= r.chain.Position {
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
// After the end of the log it leaves zeros: batches of the writer before are erased.
//
// From here on the writer has the file open.
func (r *recovery) rewriteTail() (err error) {
	s, end := r.store, r.tail.next.Offset
	if s.writing, err = s.dir.Open(segmentName(r.tail.segment.number), false); err != nil {
		return err
	}
	if err := r.rewriteBatches(r.tail.durable, end); err != nil {
		return err
	}
	if err := r.clearRest(end); err != nil {
		return err
	}
	return s.writing.Sync()
}

// rewriteBatches writes the batches between two offsets again. They are read once more, from a
// cache that may have dropped and reloaded them since: so they are checked again, too.
func (r *recovery) rewriteBatches(from, end int64) error {
	g, p := r.tail.segment, r.tail.segment.pieces(end)
	if from < wal.SegmentHeaderSize { // without a mark the header is not known durable either
		b, err := p.View(0, wal.SegmentHeaderSize)
		if err != nil {
			return err
		}
		if h, err := wal.ParseSegmentHeader(b); err != nil || h != r.header {
			return g.corrupt(0, "segment header changes")
		}
		if _, err := r.store.writing.WriteAt(b, 0); err != nil {
			return err
		}
		from = wal.SegmentHeaderSize
	}
	for from < end {
		run, err := p.Run(r.tail.next.Seed, g.number, from, end)
		if errors.Is(err, wal.ErrBad) {
			return g.corrupt(from, "batch changes from one read to the next")
		}
		if err != nil {
			return err
		}
		if _, err := r.store.writing.WriteAt(run, from); err != nil {
			return err
		}
		from += int64(len(run))
	}
	return nil
}

// clearRest erases what lies after the end of the log, and makes sure that there is room up to the
// end of the file. Where there are zeros they are not written again: at worst the disk still holds
// a batch that an opening whose sync failed had erased, and no mark of it is after the end.
//
// A program that copied the file may have left out the zeros at its end, and a write into such a
// hole can fail for want of room, with an unknown outcome. So there must be room before the writer
// begins. Where there is none, there is none in this segment but for the marks of this writer:
// commits are refused until the next segment can be made. What is to be erased goes with the end of
// the file then.
func (r *recovery) clearRest(end int64) error {
	file := r.store.writing
	err := vfs.WriteZeros(file, end, min(r.tailUsed, r.tailSize))
	if err == nil {
		err = reserve(file, max(end, r.tailUsed), r.tailSize)
	}
	if !vfs.IsFull(err) {
		return err
	}
	r.tailSize = min(r.tailSize, end+2*wal.BatchHeaderSize)
	if r.tailUsed <= end {
		return reserve(file, end, r.tailSize)
	}
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
