package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// scanTail scans a segment without a footer: the last one, or one whose footer a crash prevented.
func (r *recovery) scanTail(g *segment, size int64, last bool) error {
	data, err := g.bytes(0, size)
	if r.readOnly && errors.Is(err, io.EOF) { // the writer beside us has just sealed it and cut it to size
		if size, err = g.file.Size(); err == nil {
			data, err = g.bytes(0, size)
		}
	}
	if err != nil {
		return err
	}
	sc := newScan(g, &r.header)
	sc.next.WriterEpoch = r.chain.WriterEpoch
	if err := sc.run(data); err != nil {
		return err
	}
	end := sc.next.Offset
	if durable := max(sc.durable, wal.DurableAfter(data, sc.next.Seed, g.number, end)); durable > end {
		return g.corrupt(end, fmt.Sprintf("batch is bad, and a later one says that the log was durable up to %d", durable))
	}
	g.end.Store(end)
	g.setActive(sc.active)
	r.lastTime, r.incarnation = sc.lastTime, sc.incarnation
	if end > wal.SegmentHeaderSize { // else the first batch is torn behind a good header, and the last one is that before it
		r.flags = sc.flags
	}
	r.chain = sc.next
	r.tail, r.tailSize, r.rewrite = sc, size, data
	if last || r.readOnly {
		return nil
	}
	return r.finishSegment(g, sc)
}

// finishSegment writes the footer that a crash prevented. That the segment is whole, the header of
// the next one tells, which is compared afterwards: so the footer must not be written before that,
// and it is only remembered here.
func (r *recovery) finishSegment(g *segment, sc *scan) error {
	next, err := r.peekHeader(g.number + 1)
	if err != nil {
		return err
	}
	if next != nil && (next.Previous != sc.next.Previous || next.FirstPosition != sc.next.Position) {
		return g.corrupt(sc.next.Offset, "batch does not match its checksum or place")
	}
	if next == nil { // the next file was never begun: this one is the last
		return nil
	}
	t := wal.Trailer{
		DataEnd: uint64(sc.next.Offset), NextPosition: sc.next.Position, NextSequence: sc.next.Sequence,
		LastTime: sc.lastTime, LastChecksum: sc.next.Previous, WriterEpoch: sc.next.WriterEpoch,
		Weak: sc.flags&wal.FlagWeak != 0, Incarnation: sc.incarnation,
	}
	switch err := writeFooter(g.file, &t, sc.active); {
	case isFull(err): // go on with the growing index, as after a sealing that failed; the next opening tries again
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

// peekHeader reads the header of a segment ahead of its turn, nil when it is not good.
func (r *recovery) peekHeader(number uint32) (*wal.SegmentHeader, error) {
	file, err := r.store.fs.Open(r.store.segmentPath(number), true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	b := make([]byte, wal.SegmentHeaderSize)
	if n, err := file.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) { // a short file is a bad header
		return nil, fmt.Errorf("read segment %d: %w", number, err)
	}
	h, err := wal.ParseSegmentHeader(b)
	if err != nil {
		return nil, nil //nolint:nilnil // a file that was made ahead has no header yet
	}
	return &h, nil
}

// checkLoss finds out whether acknowledged events are gone. The status file proves it when it
// speaks of more than there is; it proves the contrary when the machine was not restarted. In a
// mode that acknowledges before the sync, an unclean end without that proof has to be taken for a
// loss.
func (r *recovery) checkLoss() {
	if len(*r.store.segments.Load()) == 0 {
		return
	}
	t, ok := r.store.readBeacon()
	ok = ok && t.store == r.store.origin.Store
	if ok && t.incarnation >= r.incarnation && uint64(t.head) >= r.chain.Position { // an older history's loss was noticed then
		r.lost = true
		return
	}
	weak, clean := r.flags&wal.FlagWeak != 0, r.flags&wal.FlagClosed != 0
	sameBoot := ok && t.boot != [16]byte{} && t.boot == r.store.boot
	r.lost = weak && !clean && !sameBoot
}

// rewriteTail makes durable what was read: the page cache may hold bytes that the disk does not,
// and after a failed sync it will never write them on its own.
func (r *recovery) rewriteTail() error {
	file, from, end := r.tail.segment.file, r.tail.durable, r.tail.next.Offset
	// Without a mark the header is not known durable either, and from is 0.
	if _, err := file.WriteAt(r.rewrite[from:end], from); err != nil {
		return err
	}
	if r.tail.flags&wal.FlagClosed == 0 {
		if err := fillZeros(file, end, r.tailSize); err != nil {
			return err
		}
	}
	return file.Sync()
}
