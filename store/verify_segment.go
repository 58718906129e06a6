package store

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// segmentCheck is the work on one segment in one pass.
type segmentCheck struct {
	*verifier

	segment *segment
	trailer *wal.Trailer // nil where it has none
	pieces  *wal.Pieces
	end     int64 // of its batches
	scan    *scan // what its footer must say, as far as it is whole
	whole   bool  // nothing of the batches is damaged
	events  [][]byte
}

// segment checks one. The error is that the work cannot continue.
func (v *verifier) segment(ctx context.Context, g *segment) error {
	c := &segmentCheck{verifier: v, segment: g, trailer: g.trailer.Load(), end: g.end.Load(), whole: true}
	if c.trailer != nil {
		c.end = int64(c.trailer.DataEnd)
	}
	c.pieces = g.pieces(c.end)
	started, err := c.header()
	if err != nil || !started {
		return c.unreadable(0, err)
	}
	if err := c.batches(ctx); err != nil {
		return err
	}
	if v.first {
		v.report.Segments++
		v.report.Bytes += c.scan.next.Offset
		if err := c.footer(); err != nil {
			return c.unreadable(c.end, err)
		}
	}
	v.next = c.scan.chain()
	v.next.Segment = g.last
	return nil
}

// unreadable passes on errors with which the work cannot continue; any other is damage.
func (c *segmentCheck) unreadable(offset int64, err error) error {
	switch {
	case err == nil:
		return nil
	case isReplaced(err), errors.Is(err, fs.ErrClosed), errors.Is(err, ErrBusy), errors.Is(err, ErrNewerFormat):
		return err
	}
	reason := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "the file ends before what was written"
	}
	c.damaged(DamagedBatch, offset, reason)
	return nil
}

// damaged records what is wrong in the segment, and costs no event.
func (c *segmentCheck) damaged(kind DamageKind, offset int64, reason string) {
	c.damage(Damage{Kind: kind, Segment: c.segment.number, Offset: offset, Reason: reason})
}

// header checks the header of the segment against what is before it. Where it is bad, what is
// before it says what it was. started is false for a file that was made ahead.
func (c *segmentCheck) header() (started bool, err error) {
	b, err := c.pieces.View(0, wal.SegmentHeaderSize)
	if err != nil {
		return false, err
	}
	h, bad := wal.ParseSegmentHeader(b)
	if bad != nil {
		if !c.cold && c.trailer == nil && c.end <= wal.SegmentHeaderSize { // its first batch is still to be written
			return false, nil
		}
		if c.cold && c.trailer == nil && c.segment.last == c.until {
			seed := wal.Seed(c.store.origin.Store)
			if at, err := c.pieces.Find(seed, c.segment.number, wal.SegmentHeaderSize); at >= c.end || err != nil {
				return false, err
			}
		}
		c.damaged(DamagedHeader, 0, "segment header does not match its checksum")
		if h, err = c.likely(); err != nil {
			return false, err
		}
	}
	c.scan = newScan(c.segment, &h)
	if c.begun && bad == nil {
		c.continues(&h)
	}
	if !c.begun && h.FirstPosition > 1 && c.first { // what was before was dropped
		c.lost = append(c.lost, lostEvents{1, Position(h.FirstPosition) - 1})
	}
	if t := c.trailer; h.Dropped && t != nil && t.NextPosition > h.FirstPosition && c.first {
		c.lost = append(c.lost, lostEvents{Position(h.FirstPosition), Position(t.NextPosition) - 1})
	}
	c.scan.next.WriterEpoch, c.begun = c.next.WriterEpoch, true
	return true, nil
}

// likely is what a header that is bad said, as far as the first batch says so, or what is before
// it.
func (c *segmentCheck) likely() (h wal.SegmentHeader, err error) {
	h = wal.SegmentHeader{
		Version: wal.Version, Store: c.store.origin.Store, Segment: c.segment.number, Last: c.segment.last,
		FirstPosition: c.next.Position, FirstSequence: c.next.Sequence, Previous: c.next.Previous, LastTime: c.time,
	}
	b, batch, err := c.pieces.Batch(wal.Seed(h.Store), h.Segment, wal.SegmentHeaderSize)
	if batch != nil {
		h.FirstPosition, h.FirstSequence, h.Previous = b.FirstPosition, b.FirstSequence, b.Previous
	}
	if t := c.trailer; t != nil && t.Generation > 0 {
		h.Generation, h.LastChecksum = t.Generation, t.LastChecksum
	}
	return h, err
}

// continues compares a header with the end of the segment before. One that was merged with those
// before it meanwhile has been compared.
func (c *segmentCheck) continues(h *wal.SegmentHeader) {
	x := &c.next
	switch {
	case c.segment.number > x.Segment+1:
		c.damage(Damage{Kind: MissingSegment, Segment: x.Segment + 1, Reason: "segment file is missing"})
		if h.FirstPosition > x.Position {
			c.lose(c.missing(0, Position(x.Position), Position(h.FirstPosition)-1, "segment file is missing"))
		}
	case c.segment.number <= x.Segment:
	case h.Segment != c.segment.number || h.Store != c.store.origin.Store:
		c.damaged(DamagedHeader, 0, "segment of another store or place")
	case h.FirstPosition != x.Position || h.FirstSequence != x.Sequence || h.Previous != x.Previous:
		c.damaged(DamagedHeader, 0, "segment does not continue the one before it")
		if h.FirstPosition > x.Position {
			c.lose(c.missing(0, Position(x.Position), Position(h.FirstPosition)-1, "the segment before ends too early"))
		}
	}
}

func (c *segmentCheck) missing(offset int64, from, to Position, reason string) Damage {
	return Damage{Kind: DamagedEvents, Segment: c.segment.number, Offset: offset, First: from, Last: to, Reason: reason}
}

// batches checks all batches of the segment.
func (c *segmentCheck) batches(ctx context.Context) error {
	x := &c.scan.next
	for x.Offset < c.end {
		if err := c.store.readable(ctx); err != nil {
			return err
		}
		at := x.Offset
		h, batch, err := c.pieces.Next(x)
		switch {
		case err != nil:
			if err := c.skip(at, err); err != nil {
				return err
			}
		case batch != nil:
			c.batch(&h, batch)
		default:
			if err := c.hole(); err != nil {
				return err
			}
		}
		c.read += x.Offset - at
		c.tell(false)
	}
	return nil
}

// batch checks the records of a batch that continues the log.
func (c *segmentCheck) batch(h *wal.BatchHeader, batch []byte) {
	at := c.scan.next.Offset
	c.events = c.events[:0]
	err := wal.Records(h, batch, func(rec []byte, offset int) error {
		c.record(h, rec, at+int64(offset))
		return nil
	})
	if err == nil && c.first && c.whole {
		if err = c.scan.add(h, batch); err == nil {
			return
		}
	}
	if err != nil {
		c.whole = false
		c.damaged(DamagedBatch, at, "batch with a good checksum and bad records")
	}
	c.scan.next.Advance(h)
}

// hole passes over what is not the next batch, up to one that is good.
func (c *segmentCheck) hole() error {
	x := &c.scan.next
	at := x.Offset
	h, batch, err := c.pieces.Batch(x.Seed, x.Segment, at)
	if err != nil {
		return c.skip(at, err)
	}
	if batch != nil {
		c.whole = false
		c.damaged(DamagedBatch, at, "batch does not continue the one before it")
		if h.FirstPosition > x.Position {
			c.lose(c.missing(at, Position(x.Position), Position(h.FirstPosition)-1, "the batch before is missing"))
		}
		c.resume(&h)
		c.batch(&h, batch)
		return nil
	}
	ends, err := c.ends()
	if err != nil {
		return c.skip(at, err)
	}
	if ends {
		c.end = at
		return nil
	}
	next, err := c.pieces.Find(x.Seed, x.Segment, at+8)
	if err == nil && next < c.end {
		h, _, err = c.pieces.Batch(x.Seed, x.Segment, next)
	}
	if err != nil || next >= c.end {
		return c.skip(at, err)
	}
	c.whole = false
	if err := c.salvage(at, next, Position(h.FirstPosition)); err != nil {
		return err
	}
	x.Offset = next
	c.resume(&h)
	return nil
}

// resume expects the batch with a header, and whatever follows it.
func (c *segmentCheck) resume(h *wal.BatchHeader) {
	x := &c.scan.next
	x.Previous, x.Sequence, x.Position, x.WriterEpoch = h.Previous, h.FirstSequence, h.FirstPosition, min(x.WriterEpoch, h.WriterEpoch)
}

// skip passes over the rest of the segment. err says why it cannot be read, nil where it is read
// and no batch.
func (c *segmentCheck) skip(at int64, err error) error {
	if err := c.unreadable(at, err); err != nil {
		return err
	}
	c.whole = false
	if err := c.salvage(at, c.end, c.nextPosition()); err != nil {
		return err
	}
	x := &c.scan.next
	x.Offset, x.Position = c.end, uint64(c.nextPosition())
	if t := c.trailer; t != nil {
		x.Sequence, x.Previous, x.WriterEpoch = t.NextSequence, t.LastChecksum, t.WriterEpoch
	}
	return nil
}

// ends reports whether the batches of a segment end where the next one is not good: where the store
// is not open that is for the marks of later batches to say, and for the segment after it.
func (c *segmentCheck) ends() (bool, error) {
	if !c.cold || c.trailer != nil {
		return false, nil
	}
	x := &c.scan.next
	rest, err := c.pieces.Rest(x.Seed, x.Segment, x.Offset)
	if err != nil || rest.Durable > x.Offset {
		return false, err
	}
	if c.segment.last == c.until {
		return true, nil
	}
	return c.store.continued(c.segment, &survey{next: c.scan.chain()})
}

// nextPosition is that of the first event after the segment.
func (c *segmentCheck) nextPosition() Position {
	if c.trailer != nil {
		return Position(c.trailer.NextPosition)
	}
	for _, g := range *c.store.segments.Load() {
		if g.number > c.segment.last && g.first > 0 {
			return g.first
		}
	}
	return max(Position(c.scan.next.Position), Position(c.store.head.Load())+1)
}
