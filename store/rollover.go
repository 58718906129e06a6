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

// The size policy of segments, all of it: a store begins with a small file, so that small stores
// stay small, and doubles from segment to segment up to Options.SegmentBytes (nextCapacity). A
// batch that is larger gets a segment of its own size (reserve). The next file is made when the
// active one is half full (preallocateAhead): late enough that a store that is hardly used has one
// file, early enough that filling the other half takes longer than making a file.
const (
	defaultSegmentBytes = 64 << 20 // of Options.SegmentBytes
	minSegmentBytes     = 64 << 10 // of Options.SegmentBytes, and the least that a file is made with
	maxSegmentBytes     = 1 << 30  // of Options.SegmentBytes
	firstSegmentBytes   = 4 << 20  // of the first file of a store, and of one made at opening
)

// nextCapacity doubles the size of segments from the first to the full size. The current one may be
// next to nothing: cut to size by a sealing that a crash interrupted.
func nextCapacity(current, full int64) int64 { return min(full, max(minSegmentBytes, 2*current)) }

// preallocated is the file of the next segment, filled with zeros and durable together with its
// name; or why there is none.
//
// The holder of the value owns the file: the background task until it sends it, the holder of the
// committer's role once it has received it, who passes it to the task that seals the segment. No
// goroutine uses a file that it has passed on, so the file needs no lock of ours. Readers have
// files of their own.
type preallocated struct {
	file     vfs.File
	capacity int64
	err      error
}

// reserve makes sure that records of the given size fit into the active segment as one batch, and
// rolls over to the next segment when they do not. After an error nothing has changed, unless the
// writer is poisoned.
func (w *writer) reserve(size int) error {
	needed := int64(wal.Align(wal.BatchHeaderSize + size))
	if w.next.Offset+needed <= w.capacity {
		return nil
	}
	// Room for one more header, so that a mark can follow and Close need not roll over again.
	alone := wal.SegmentHeaderSize + needed + wal.BatchHeaderSize
	return w.roll(max(nextCapacity(w.capacity, w.store.options.SegmentBytes), alone))
}

// roll makes the next segment the active one. The old one is synced before the first batch of the
// new one is written: so a batch in the new one proves that the old one is whole, and recovery may
// call a bad batch in the old one damage. Sealing the old one, which nothing depends on, is left to
// the background.
func (w *writer) roll(capacity int64) error {
	next := w.takePreallocated(capacity)
	if next.err != nil {
		return fmt.Errorf("store: make segment %d: %w", w.next.Segment+1, shortage(next.err))
	}
	if err := w.finish(); err != nil {
		_ = next.file.Close()
		return w.poisonWith(err)
	}
	// The task gets its own copies: the writer's fields mean the new segment from here on.
	old, file, trailer := w.segment, w.store.writing, w.trailer()
	parts, complete := w.runs.parts(w.active)
	w.startSegment(next)
	if w.sealing != nil {
		<-w.sealing // else files and indexes would pile up behind a slow disk
	}
	sealed := make(chan struct{})
	w.sealing = sealed
	w.store.background(func() {
		defer close(sealed)
		if complete {
			w.store.seal(old, file, trailer, func() (*index.Active, error) { return index.Join(parts...), nil })
		} else {
			w.store.seal(old, file, trailer, func() (*index.Active, error) { return scanned(old, &trailer) })
		}
	})
	return nil
}

// settle does what a request about segments asks for, and returns false where the writer is
// poisoned.
func settle(w *writer, req *request) bool {
	if req.settles.roll && w.next.Offset > wal.SegmentHeaderSize {
		if err := w.roll(nextCapacity(w.capacity, w.store.options.SegmentBytes)); err != nil {
			req.err = err
			return w.poisoned() == nil
		}
	}
	req.settles.sealed = w.sealing
	return true
}

// finish makes all of the active segment durable. One for which no commit was accepted has no
// batch, and not even the header that goes out with the first.
func (w *writer) finish() error {
	if w.headerPending {
		if _, err := w.store.writing.WriteAt(w.appendHeader(nil), 0); err != nil {
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
		Version:      wal.Version,
		DataEnd:      uint64(w.next.Offset),
		NextPosition: w.next.Position,
		NextSequence: w.next.Sequence,
		LastTime:     w.clock.last,
		LastChecksum: w.next.Previous,
		WriterEpoch:  w.next.WriterEpoch,
		Weak:         w.store.options.Sync != SyncAlways,
		Incarnation:  w.store.origin.Incarnation,
		Generation:   w.segment.generation,
		SideBytes:    w.sideBytes,
	}
}

// startSegment makes a preallocated file the active segment, which readers know from now on; its
// header goes out with its first batch. Until then a crash leaves a file of zeros, which the next
// opening removes.
func (w *writer) startSegment(p preallocated) {
	g := newSegment(w.next.Segment+1, &w.store.files)
	g.generation, g.first = 0, Position(w.next.Position)
	w.store.writing = p.file
	g.end.Store(wal.SegmentHeaderSize)
	w.active = index.NewActive()
	g.setActive(w.active)
	w.runs = writerRuns{file: &runFile{}, from: wal.SegmentHeaderSize, first: w.next.Position}
	w.segment, w.capacity, w.durable, w.flushed, w.headerPending = g, p.capacity, 0, 0, true
	w.sideBytes, w.promised = 0, 0
	w.next.Segment, w.next.Offset = g.number, wal.SegmentHeaderSize
	w.store.addSegment(g)
}

// preallocateAhead has the file of the next segment made in the background, once, when the active
// one is half full. The channel has room for the one value that is ever sent, so the task ends
// without a receiver, and a writer that is poisoned or closed meanwhile leaks no goroutine.
//
// The task knows the number and the capacity, which cannot change before the value is received:
// there is no roll over in between, as roll receives first.
func (w *writer) preallocateAhead() {
	if w.preallocated != nil || w.next.Offset <= w.capacity/2 {
		return
	}
	ready := make(chan preallocated, 1)
	w.preallocated = ready
	number, capacity := w.next.Segment+1, nextCapacity(w.capacity, w.store.options.SegmentBytes)
	w.store.background(func() { ready <- w.store.preallocateSegment(number, capacity) })
}

// flushWritten has the system begin to write out what no sync has asked for, in the background, a
// piece at a time. Else the sync at the end of the segment would find all of it there, and the
// commits wait for the disk that long.
func flushWritten(w *writer) {
	from, to := max(w.flushed, w.durable), w.next.Offset
	file, can := w.store.writing.(vfs.Flusher)
	if to-from < fillPiece || !can {
		return
	}
	w.flushed = to
	w.store.background(func() { file.Flush(from, to) })
}

// takePreallocated waits for the file that is being made, and makes one on the spot if there is
// none or it is too small. A commit that comes here before the file is ready waits for the disk to
// write zeros that it would have had to wait for in any case.
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

// dropPreallocated removes the file that was made ahead, if any. After a crash the next opening
// does it.
func (w *writer) dropPreallocated() {
	if w.preallocated == nil {
		return
	}
	if p := <-w.preallocated; p.err == nil {
		_ = p.file.Close()
		_ = w.store.dir.Remove(segmentName(w.next.Segment + 1))
	}
	w.preallocated = nil
}

// firstSegment begins a segment at opening, where there is none to continue: in a new store, or
// after a sealed one.
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
	if p.err != nil {
		return p.err
	}
	w.startSegment(p)
	return nil
}

// preallocateSegment creates a file of zeros, durable with its name when it returns. What is left
// of an earlier attempt is removed first, and files are never reused: old batches in a new file
// could pass for its own. Written zeros make the sync of an append half as long, as it changes no
// metadata; where no caller waits for syncs, reserved room is all that is needed.
//
// Where the descriptors of the process are used up, those that only wait for readers are given back
// first.
func (s *Store) preallocateSegment(number uint32, capacity int64) preallocated {
	p := s.makeSegment(segmentName(number), capacity)
	if vfs.IsOutOfFiles(p.err) && s.files.closeIdle() {
		p = s.makeSegment(segmentName(number), capacity)
	}
	return p
}

func (s *Store) makeSegment(name string, capacity int64) preallocated {
	if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return preallocated{err: err}
	}
	file, err := s.dir.Create(name)
	if err != nil {
		return preallocated{err: err}
	}
	if err = s.fillAhead(file, capacity); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = s.dir.Sync()
	}
	if err != nil {
		_ = file.Close()
		_ = s.dir.Remove(name)
		return preallocated{err: err}
	}
	return preallocated{file: file, capacity: capacity}
}

// fillPiece is how much the disk is given at a time: of the zeros of a new file, and of what no
// sync has asked for.
const fillPiece = 1 << 20

// fillAhead writes the zeros in pieces, each synced before the next. The disk does what it is given
// in turn: the sync of an append waits for one piece then, where it would have to wait for the
// whole file, and that takes ten times as long as the rest of a commit. What is reserved first
// spares each piece a change of the size.
func (s *Store) fillAhead(file vfs.File, capacity int64) error {
	if s.options.Sync != SyncAlways {
		return reserve(file, 0, capacity)
	}
	if capacity > fillPiece {
		if err := file.Reserve(0, capacity); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	for at := int64(0); at < capacity; at += fillPiece {
		if err := vfs.WriteZeros(file, at, min(at+fillPiece, capacity)); err != nil {
			return err
		}
		if at+fillPiece < capacity { // the last piece is synced with the name
			if err := file.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// seal ends a segment's file with its footer, and closes it. Nothing depends on it: a footer that
// is missing or torn is rebuilt from the batches, so an error leaves the growing index in use.
//
// It runs beside commits and readers. That is safe as it writes only after the batches, where no
// reader looks, and as the trailer is stored before the index is dropped: a reader that finds no
// index finds the trailer to load one by.
func (s *Store) seal(g *segment, file vfs.File, t wal.Trailer, whole func() (*index.Active, error)) {
	active, err := whole()
	if err == nil {
		err = writeFooter(file, &t, active)
	}
	if closed := file.Close(); err != nil || closed != nil {
		return
	}
	g.trailer.Store(&t)
	g.index.Store(nil)
	_ = s.dir.Remove(idxName(g.number)) // there may be none; what is left is removed by the next opening
	s.rewriteAhead()
}

// scanned makes the index of a segment from its events: runs of an earlier writer do not have their
// texts.
func scanned(g *segment, t *wal.Trailer) (*index.Active, error) {
	sc, err := scanSegment(g, int64(t.DataEnd))
	if err != nil {
		return nil, err
	}
	return sc.active, nil
}

// writeFooter writes index and sides after the batches, then the trailer, and cuts the file to
// size. The trailer is looked for at the end of a file only, so it counts only once the cut is
// done: a crash between the two leaves a file without a footer. What it vouches for is durable
// before it is written: else a power cut could keep the trailer and tear the index, which looks
// like damage.
func writeFooter(file vfs.File, t *wal.Trailer, active *index.Active) error {
	idx, sides := active.Footer()
	t.IndexLen, t.IndexSum = uint32(len(idx)), index.SumOf(idx)
	t.SidesLen, t.SidesSum = uint32(len(sides)), wal.Checksum(sides)
	tables := append(idx, sides...)
	end := int64(t.DataEnd) + int64(len(tables))
	if _, err := file.WriteAt(tables, int64(t.DataEnd)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if _, err := file.WriteAt(wal.AppendTrailer(nil, t), end); err != nil {
		return err
	}
	if err := file.Truncate(end + wal.TrailerSize); err != nil {
		return err
	}
	return file.Sync()
}
