package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"
	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// preallocated is the file of the next segment, made of zeros and durable together with its name;
// or why there is none.
type preallocated struct {
	file     vfs.File
	capacity int64
	err      error
}

// The size policy. A store begins with a small segment, so that small stores stay small, and
// doubles from segment to segment up to Options.SegmentBytes: see nextCapacity. The file of the
// next segment is made when the active one is half full: see writer.preallocateAhead.
const (
	defaultSegmentBytes = 64 << 20 // of Options.SegmentBytes
	minSegmentBytes     = 64 << 10 // of Options.SegmentBytes
	maxSegmentBytes     = 1 << 30  // of Options.SegmentBytes
	firstSegmentBytes   = 4 << 20  // of the first file of a store, and of the first after sealed ones at open
)

// zeroChunk is written at a time when a segment is filled.
const zeroChunk = 1 << 20

// nextCapacity doubles the size of segments from the first to the full size. The current one may be
// next to nothing: cut to size by a sealing that a crash interrupted.
func nextCapacity(current, full int64) int64 { return min(full, max(minSegmentBytes, 2*current)) }

// reserve makes sure that records of the given size fit into the active segment as one batch, and
// rolls over to the next segment when they do not. After an error nothing has changed.
func (w *writer) reserve(size int) error {
	needed := int64(wal.Align(wal.BatchHeaderSize + size))
	if w.next.Offset+needed <= w.capacity {
		return nil
	}
	return w.roll(max(nextCapacity(w.capacity, w.store.options.SegmentBytes), wal.SegmentHeaderSize+needed+wal.BatchHeaderSize))
}

// roll makes the next segment the active one. The old one is synced before the first batch of the
// new one is written, so that a batch in the new one proves that the old one is whole.
func (w *writer) roll(capacity int64) error {
	next := w.takePreallocated(capacity)
	if next.err != nil {
		if isFull(next.err) {
			return fmt.Errorf("%w: %w", ErrDiskFull, next.err)
		}
		return fmt.Errorf("store: prepare segment %d: %w", w.next.Segment+1, next.err)
	}
	if err := w.finish(); err != nil {
		_ = next.file.Close()
		return w.poisonWith(err)
	}
	old, trailer, sealing := w.segment, w.trailer(), w.active
	w.startSegment(next)
	w.store.background(func() { w.store.seal(old, trailer, sealing) })
	return nil
}

// finish makes all of the active segment durable. One for which no commit was accepted has no
// batch, and not even the header that goes out with the first.
func (w *writer) finish() error {
	if w.headerPending {
		if _, err := w.segment.file.WriteAt(w.appendHeader(nil), 0); err != nil {
			return fmt.Errorf("write segment %d: %w", w.next.Segment, err)
		}
		return w.sync()
	}
	if w.unsyncedSince.IsZero() {
		return nil
	}
	return w.sync()
}

// trailer describes the active segment as its trailer will.
func (w *writer) trailer() wal.Trailer {
	return wal.Trailer{
		DataEnd:      uint64(w.next.Offset),
		NextPosition: w.next.Position,
		NextSequence: w.next.Sequence,
		LastTime:     w.lastTime,
		LastChecksum: w.next.Previous,
		WriterEpoch:  w.next.WriterEpoch,
		Weak:         w.store.options.Sync != SyncAlways,
		Incarnation:  w.store.origin.Incarnation,
	}
}

// startSegment makes a preallocated file the active segment, which readers know from now on; its
// header goes out with its first batch.
func (w *writer) startSegment(p preallocated) {
	g := &segment{number: w.next.Segment + 1, first: Position(w.next.Position), file: p.file}
	g.end.Store(wal.SegmentHeaderSize)
	w.active = index.NewActive()
	g.setActive(w.active)
	w.segment, w.capacity, w.durable, w.headerPending = g, p.capacity, 0, true
	w.next.Segment, w.next.Offset = g.number, wal.SegmentHeaderSize
	w.store.addSegment(g)
}

// preallocateAhead has the file of the next segment made, once, when the active one is half full.
func (w *writer) preallocateAhead() {
	if w.preallocated == nil && w.next.Offset > w.capacity/2 {
		w.preallocate(nextCapacity(w.capacity, w.store.options.SegmentBytes))
	}
}

// preallocate makes the file of the next segment in the background.
func (w *writer) preallocate(capacity int64) {
	ready := make(chan preallocated, 1)
	w.preallocated = ready
	number := w.next.Segment + 1
	w.store.background(func() { ready <- w.store.preallocateSegment(number, capacity) })
}

// takePreallocated waits for the file that is being made, and makes one on the spot if there is
// none or it is too small.
func (w *writer) takePreallocated(capacity int64) preallocated {
	number := w.next.Segment + 1
	if w.preallocated != nil {
		p := <-w.preallocated
		w.preallocated = nil
		if p.err == nil && p.capacity >= capacity {
			return p
		}
		if p.err == nil {
			_ = p.file.Close()
		}
	}
	return w.store.preallocateSegment(number, capacity)
}

// preallocateSegment creates a file of zeros. What is left over of an earlier attempt is removed
// first: files are never reused. Written zeros make the sync of an append half as long; where
// nobody waits for syncs, room is all that is needed.
func (s *Store) preallocateSegment(number uint32, capacity int64) preallocated {
	fsys, dir, name := s.fs, s.dir, s.segmentPath(number)
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return preallocated{err: err}
	}
	file, err := fsys.Create(name)
	if err != nil {
		return preallocated{err: err}
	}
	if s.options.Sync == SyncAlways {
		err = fillZeros(file, 0, capacity)
	} else {
		err = file.Allocate(capacity)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		_ = file.Close()
		_ = fsys.Remove(name)
		return preallocated{err: err}
	}
	return preallocated{file: file, capacity: capacity}
}

func fillZeros(file vfs.File, from, to int64) error {
	zeros := make([]byte, min(zeroChunk, max(to-from, 0)))
	for from < to {
		n := min(to-from, zeroChunk)
		if _, err := file.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// seal ends a segment's file with its footer. Nothing depends on it: a footer that is missing or
// torn is rebuilt from the batches, so an error leaves the growing index in use.
func (s *Store) seal(g *segment, t wal.Trailer, active *index.Active) {
	if err := writeFooter(g.file, &t, active); err != nil {
		return
	}
	g.trailer.Store(&t)
	g.index.Store(nil)
}

// writeFooter writes index, sides and trailer behind the batches and cuts the file to size. The
// trailer is found at the end of a file only, so it counts only once the cut is done.
func writeFooter(file vfs.File, t *wal.Trailer, active *index.Active) error {
	idx, sides := active.Footer()
	t.IndexLen, t.IndexSum = uint32(len(idx)), wal.Checksum(idx)
	t.SidesLen, t.SidesSum = uint32(len(sides)), wal.Checksum(sides)
	footer := append(append(idx, sides...), wal.AppendTrailer(nil, t)...)
	if _, err := file.WriteAt(footer, int64(t.DataEnd)); err != nil {
		return err
	}
	if err := file.Truncate(int64(t.DataEnd) + int64(len(footer))); err != nil {
		return err
	}
	return file.Sync()
}

// firstSegment begins a segment where there is none to go on with: in a new store, or behind a
// sealed one.
func (r *recovery) firstSegment(w *writer) error {
	s := r.store
	if len(*s.segments.Load()) == 0 {
		id, err := uuid.NewRandom()
		if err != nil {
			return err
		}
		s.origin.Store = id
	}
	w.next.Segment = r.chain.Segment
	p := s.preallocateSegment(w.next.Segment+1, min(firstSegmentBytes, s.options.SegmentBytes))
	if isFull(p.err) {
		return fmt.Errorf("%w: %w", ErrDiskFull, p.err)
	}
	if p.err != nil {
		return p.err
	}
	w.startSegment(p)
	return nil
}
