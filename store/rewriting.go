package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// rewriting is the work on one file that takes the place of some segments. It belongs to the
// goroutine that has the rewriter.
type rewriting struct {
	store   *Store
	parts   []*segment
	from    *segment              // that is being read
	trailer wal.Trailer           // of the last part
	hides   map[string]index.Side // the deletions that must stay
	kept    int64                 // their bytes
	erases  *eraser               // nil where nothing is erased

	out   vfs.File
	scan  *scan           // of what is written
	head  wal.BatchHeader // of the batch that is being made
	batch []byte          // room for the header, and records; empty while there is none
}

// begin finds out what must stay and makes the file.
func (r *rewriting) begin(name string) error {
	s, first, last := r.store, r.parts[0], r.parts[len(r.parts)-1]
	h, err := first.header()
	if err != nil {
		return err
	}
	if err := r.findHiding(); err != nil {
		return err
	}
	r.trailer = *last.trailer.Load()
	h.Version, h.Last, h.LastChecksum = max(h.Version, wal.Version), last.last, r.trailer.LastChecksum
	h.Generation, h.Rewritings = 1, 1
	for _, g := range r.parts {
		h.Generation += g.generation
	}
	for _, g := range *s.segments.Load() {
		h.Rewritings += g.generation
	}
	r.scan = newScan(newSegment(first.number, first.files), &h)
	if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.out, err = s.dir.Create(name)
	return err
}

// findHiding finds the deletions that may hide a value in a segment before: those of keys that are
// not present, where the last that segments before say of the key is not that it is deleted.
func (r *rewriting) findHiding() error {
	deleted := make(map[string]index.Side)
	for _, r.from = range r.parts {
		err := r.from.eachSide(func(side index.Side) {
			if _, present := r.store.sides.get(side.Key()); side.Deleted && !present {
				deleted[side.Key()] = side
			}
		})
		if err != nil {
			return err
		}
	}
	r.from = r.parts[0]
	if len(deleted) == 0 {
		return nil
	}
	r.hides = make(map[string]index.Side)
	for _, g := range *r.store.segments.Load() {
		if g == r.parts[0] {
			return nil
		}
		if !r.hide(g, deleted) { // it may have any
			r.hides = deleted
			return nil
		}
	}
	return nil
}

// hide takes in what a segment before says of keys that are deleted, and reports false where that
// cannot be known: its footer could not be written, or cannot be read.
func (r *rewriting) hide(before *segment, deleted map[string]index.Side) bool {
	if before.trailer.Load() == nil {
		return false
	}
	return before.eachSide(func(side index.Side) {
		if side.Deleted {
			delete(r.hides, side.Key())
		} else if deletion, ok := deleted[side.Key()]; ok {
			r.hides[side.Key()] = deletion
		}
	}) == nil
}

// write writes the file and syncs it.
func (r *rewriting) write() error {
	for _, r.from = range r.parts {
		if err := r.each(r.from, r.add); err != nil {
			return err
		}
	}
	r.from = r.parts[0]
	if err := r.flush(); err != nil {
		return err
	}
	return r.finish()
}

// each calls take with the batches of a segment, which must end where its footer says. A header is
// valid until take returns.
func (r *rewriting) each(g *segment, take func(*wal.BatchHeader, []byte) error) error {
	h, err := g.header()
	if err != nil {
		return err
	}
	t := g.trailer.Load()
	x, p := newScan(g, &h).next, g.pieces(int64(t.DataEnd))
	var head wal.BatchHeader // one for all batches, as take has it on the heap
	for {
		var batch []byte
		head, batch, err = p.Next(&x)
		if err == nil && r.store.rewriter.stop.Load() {
			err = ErrClosed
		}
		if err != nil {
			return err
		}
		if batch == nil {
			break
		}
		if err := take(&head, batch); err != nil {
			return err
		}
		x.Advance(&head)
	}
	if x.Offset != int64(t.DataEnd) {
		return g.corrupt(x.Offset, "batch does not match its checksum or place")
	}
	if x.Position != t.NextPosition || x.Sequence != t.NextSequence {
		return g.corrupt(x.Offset, fmt.Sprintf("segment ends at event %d, its footer says %d", x.Position, t.NextPosition))
	}
	return nil
}

// finish writes header and footer. The table of side values has nothing yet that is after the
// sequence which is loaded here, and settle makes all before it durable.
func (r *rewriting) finish() error {
	r.scan.header.Reached = r.store.sequence.Load() - 1
	if _, err := r.out.WriteAt(wal.AppendSegmentHeader(nil, &r.scan.header), 0); err != nil {
		return err
	}
	t := r.trailer
	t.Version, t.Generation = wal.Version, r.scan.header.Generation
	t.DataEnd, t.SideBytes = uint64(r.scan.next.Offset), r.scan.sideBytes
	return writeFooter(r.out, &t, r.scan.active)
}

// add takes over what stays of a batch. Small batches become large ones; but each writer's are kept
// apart, and what its opening mark says stays. A writer of which nothing else is left goes: the
// next one's mark leaps over its sequences.
func (r *rewriting) add(h *wal.BatchHeader, batch []byte) error {
	opens := h.Flags&wal.FlagOpened != 0
	joins := len(r.batch) > 0 && len(r.batch) < rewrittenBatchBytes && !opens &&
		h.WriterEpoch == r.head.WriterEpoch && h.Incarnation == r.head.Incarnation && h.Commits <= math.MaxUint32-r.head.Commits
	if opens && len(r.batch) == wal.BatchHeaderSize && r.head.Events == 0 {
		r.batch = r.batch[:0]
	}
	if !joins {
		if err := r.flush(); err != nil {
			return err
		}
		r.batch = append(r.batch, make([]byte, wal.BatchHeaderSize)...)
		r.head = wal.BatchHeader{
			Segment: r.scan.next.Segment, WriterEpoch: h.WriterEpoch, Incarnation: h.Incarnation,
			FirstSequence: h.FirstSequence, FirstPosition: h.FirstPosition, Flags: wal.FlagRewritten,
		}
	}
	r.head.Events += h.Events
	r.head.Commits += h.Commits
	r.head.Flags |= h.Flags
	return wal.Records(h, batch, func(rec []byte, offset int) error {
		stays, err := r.stays(rec, h.Offset+uint32(offset))
		switch {
		case !stays:
		case r.erases != nil:
			r.batch = r.erases.append(r.batch, rec)
		default:
			r.batch = append(r.batch, rec...)
		}
		return err
	})
}

// stays reports whether the record at an offset of the segment that is read is still needed.
func (r *rewriting) stays(rec []byte, offset uint32) (bool, error) {
	if t := wal.Type(rec); t != wal.TypeSide && t != wal.TypeSideDelete {
		return true, nil
	}
	side, err := wal.ParseSide(rec)
	if err != nil {
		return false, err
	}
	if !side.Deleted {
		place, present := r.store.sides.get(string(side.Key))
		return present && place.Segment == r.from.number && place.Offset == offset, nil
	}
	at, hides := r.hides[string(side.Key)]
	if hides = hides && at.Segment == r.from.number && at.Offset == offset; hides {
		r.kept += int64(len(rec))
	}
	return hides, nil
}

// flush writes the batch that is being made.
func (r *rewriting) flush() error {
	if len(r.batch) == 0 {
		return nil
	}
	x := &r.scan.next
	r.head.Previous, r.head.Offset, r.head.Durable = x.Previous, uint32(x.Offset), uint32(x.Offset)
	batch := wal.FinishBatch(r.batch, &r.head, x.Seed)
	if _, err := r.out.WriteAt(batch, x.Offset); err != nil {
		return err
	}
	r.batch = batch[:0]
	return r.scan.add(&r.head, batch)
}
