package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// rewriter gives the room back that side values take which were superseded. A sealed segment of
// which that is the greater part is written again without them, and replaces the former one:
//
//	read 0000000007.seg, batch by batch      events and keys as they are; of side values those
//	  |                                      that are present, and deletions that hide older ones
//	0000000007.seg.new                       written, synced
//	  |
//	a sync of the active segment             or a power cut could take the later value, and the
//	  |                                      former would be gone too
//	rename, directory synced
//	  |
//	renew                                    readers, and the table of side values, see the new file
//
// A crash at any point leaves one of the two files, which say the same; what is left of the other
// is removed by the next opening. A deletion goes only when no segment before has its key any more,
// and what was rewritten before is durable: so an older value never comes back.
//
// Nothing depends on it. After an error the segment stays as it is, and the next one that is sealed
// has it tried again, or, where it is damaged, the next opening; a disk that is full is one without
// room for a second copy.
//
// One goroutine at a time has it (busy). The fields after stop belong to that one.
type rewriter struct {
	busy   atomic.Bool
	stop   atomic.Bool      // set by Close
	broken bool             // a rename is not known to be durable: no more until the next opening
	moved  *segment         // whose file was replaced, and not opened since: its generation is to be counted
	kept   map[uint32]int64 // bytes that must stay, by segment
}

const rewrittenSuffix = ".new"

// rewriteAhead rewrites, beside the commits, what is worth it.
func (s *Store) rewriteAhead() {
	if s.options.ReadOnly || !s.worthRewriting() || !s.rewriter.busy.CompareAndSwap(false, true) {
		return
	}
	if s.inline {
		defer s.rewriter.busy.Store(false)
		s.rewriteAll()
		return
	}
	s.tasks.Go(func() {
		defer s.rewriter.busy.Store(false)
		s.rewriteAll()
	})
}

func (s *Store) worthRewriting() bool {
	for _, g := range *s.segments.Load() {
		if s.superseded(g) > 0 {
			return true
		}
	}
	return false
}

func (s *Store) rewriteAll() {
	if s.renewMoved() != nil {
		return
	}
	for _, g := range *s.segments.Load() {
		if s.superseded(g)-s.rewriter.kept[g.number] < rewriteBytes {
			continue
		}
		if s.rewriter.broken || s.rewriter.moved != nil || s.rewriter.stop.Load() {
			return
		}
		err := s.rewrite(g)
		if errors.Is(err, ErrCorrupt) { // one that is damaged keeps no other waiting
			s.rewriter.keep(g.number, math.MaxInt64)
		} else if err != nil {
			return
		}
	}
}

// superseded returns how much of a segment are side values that are present no more, 0 where that
// is not worth the work.
func (s *Store) superseded(g *segment) int64 {
	t := g.trailer.Load()
	if t == nil {
		return 0
	}
	bytes := int64(t.SideBytes) - s.sides.liveBytes(g.number)
	if bytes < rewriteBytes || 2*bytes < int64(t.DataEnd) {
		return 0
	}
	return bytes
}

// rewriting is the work on one segment.
type rewriting struct {
	store   *Store
	old     *segment
	trailer wal.Trailer
	hides   map[string]uint32 // offsets of the deletions that must stay
	kept    int64             // their bytes

	out   vfs.File
	scan  *scan           // of what is written
	head  wal.BatchHeader // of the batch that is being made
	batch []byte          // room for the header, and records; empty while there is none
}

// rewrite replaces the file of a segment. Where there was less to save than it seemed, because of
// deletions that must stay, it changes nothing and remembers that.
func (s *Store) rewrite(g *segment) error {
	if err := s.syncNames(); err != nil { // deletions may rest on what was renamed by a process before
		return err
	}
	name := segmentName(g.number) + rewrittenSuffix
	r, err := s.newRewriting(g, name)
	if err != nil {
		return err
	}
	err = errors.Join(r.write(), r.out.Close())
	if err == nil {
		s.rewriter.keep(g.number, r.kept)
		if saved := int64(r.trailer.DataEnd) - r.scan.next.Offset; saved < rewriteBytes {
			return s.dir.Remove(name)
		}
		err = s.settle()
	}
	if err == nil && s.rewriter.stop.Load() {
		err = ErrClosed
	}
	if err == nil {
		s.files.forget(g) // a system may refuse to replace a file that is open
		s.rewriter.moved = g
		err = s.dir.Rename(name, segmentName(g.number))
	}
	if err != nil {
		_ = s.dir.Remove(name)
		return err
	}
	return errors.Join(s.syncNames(), s.renewMoved())
}

// renewMoved opens the segment that was rewritten last, unless that was done. Until it is open
// nothing else is rewritten: headers say how often segments were, and readers that find another
// number refuse the log.
func (s *Store) renewMoved() error {
	if s.rewriter.moved == nil {
		return nil
	}
	err := s.renew(s.rewriter.moved)
	if err == nil {
		s.rewriter.moved = nil
	}
	return err
}

func (r *rewriter) keep(segment uint32, bytes int64) {
	if r.kept == nil {
		r.kept = make(map[uint32]int64)
	}
	r.kept[segment] = bytes
}

// syncNames makes renames durable. After an error it is not known whether they are.
func (s *Store) syncNames() error {
	err := s.dir.Sync()
	s.rewriter.broken = s.rewriter.broken || err != nil
	return err
}

// settle makes durable what has superseded the values that go. In the committer's place the segment
// before is synced, and in the active one nothing is visible.
func (s *Store) settle() error {
	if s.inline {
		return nil
	}
	req := newRequest() // empty: it only syncs
	if err := s.committer.submit(context.Background(), req); err != nil {
		return err
	}
	return req.err
}

func (s *Store) newRewriting(g *segment, name string) (*rewriting, error) {
	b, err := g.bytes(0, wal.SegmentHeaderSize)
	if err != nil {
		return nil, err
	}
	h, err := wal.ParseSegmentHeader(b)
	if err != nil {
		return nil, g.corrupt(0, "segment header: "+err.Error())
	}
	r := &rewriting{store: s, old: g, trailer: *g.trailer.Load()}
	if err := r.findHiding(); err != nil {
		return nil, err
	}
	h.Version, h.Generation, h.LastChecksum = wal.Version, h.Generation+1, r.trailer.LastChecksum
	h.Rewritings = 1
	for _, g := range *s.segments.Load() {
		h.Rewritings += g.generation
	}
	r.scan = newScan(newSegment(g.number, g.files), &h)
	if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r.out, err = s.dir.Create(name)
	return r, err
}

// findHiding finds the deletions that may hide a value in a segment before: those of keys that are
// not present, and that a segment before still has.
func (r *rewriting) findHiding() error {
	s, deleted := r.store, make(map[string]uint32)
	err := r.old.eachSide(func(side index.Side) {
		if _, present := s.sides.get(side.Key()); side.Deleted && !present {
			deleted[side.Key()] = side.Offset
		}
	})
	if err != nil || len(deleted) == 0 {
		return err
	}
	r.hides = make(map[string]uint32)
	for _, g := range *s.segments.Load() {
		if g.number >= r.old.number {
			return nil
		}
		if g.trailer.Load() == nil { // its footer could not be written: it may have any
			r.hides = deleted
			return nil
		}
		err := g.eachSide(func(side index.Side) {
			if offset, ok := deleted[side.Key()]; ok {
				r.hides[side.Key()] = offset
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes the file and syncs it.
func (r *rewriting) write() error {
	x, p := r.scan.next, r.old.pieces(int64(r.trailer.DataEnd))
	for {
		h, batch, err := p.Next(&x)
		if err == nil && r.store.rewriter.stop.Load() {
			err = ErrClosed
		}
		if err != nil {
			return err
		}
		if batch == nil {
			break
		}
		if err := r.add(&h, batch); err != nil {
			return err
		}
		x.Advance(&h)
	}
	if x.Offset != int64(r.trailer.DataEnd) {
		return r.old.corrupt(x.Offset, "batch does not match its checksum or place")
	}
	if err := r.flush(); err != nil {
		return err
	}
	return r.finish()
}

// finish writes header and footer. The table of side values has nothing yet that is after the
// sequence which is loaded here, and settle makes all before it durable.
func (r *rewriting) finish() error {
	r.scan.header.Reached = r.store.sequence.Load() - 1
	if _, err := r.out.WriteAt(wal.AppendSegmentHeader(nil, &r.scan.header), 0); err != nil {
		return err
	}
	t := r.trailer
	if end := &r.scan.next; end.Position != t.NextPosition || end.Sequence != t.NextSequence {
		return r.old.corrupt(int64(t.DataEnd), fmt.Sprintf("segment ends at event %d, its footer says %d", end.Position, t.NextPosition))
	}
	t.Version, t.Generation = wal.Version, r.scan.header.Generation
	t.DataEnd, t.SideBytes = uint64(r.scan.next.Offset), r.scan.sideBytes
	return writeFooter(r.out, &t, r.scan.active)
}

// add takes over what stays of a batch. Small batches become large ones; but each writer's are kept
// apart, and what its opening mark says stays.
func (r *rewriting) add(h *wal.BatchHeader, batch []byte) error {
	joins := len(r.batch) > 0 && len(r.batch) < rewrittenBatchBytes && h.Flags&wal.FlagOpened == 0 &&
		h.WriterEpoch == r.head.WriterEpoch && h.Incarnation == r.head.Incarnation
	if !joins {
		if err := r.flush(); err != nil {
			return err
		}
		r.batch = append(r.batch, make([]byte, wal.BatchHeaderSize)...)
		r.head = wal.BatchHeader{
			Segment: h.Segment, WriterEpoch: h.WriterEpoch, Incarnation: h.Incarnation,
			FirstSequence: h.FirstSequence, FirstPosition: h.FirstPosition, Flags: wal.FlagRewritten,
		}
	}
	r.head.Events += h.Events
	r.head.Commits += h.Commits
	r.head.Flags |= h.Flags
	return wal.Records(h, batch, func(rec []byte, offset int) error {
		stays, err := r.stays(rec, h.Offset+uint32(offset))
		if stays {
			r.batch = append(r.batch, rec...)
		}
		return err
	})
}

// stays reports whether the record at an offset of the segment is still needed.
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
		return present && place.Segment == r.old.number && place.Offset == offset, nil
	}
	at, hides := r.hides[string(side.Key)]
	if hides = hides && at == offset; hides {
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

// removeRewritten removes what a crash has left of a rewriting.
func (s *Store) removeRewritten() error {
	names, err := s.dir.List()
	for _, name := range names {
		segment, ok := strings.CutSuffix(name, rewrittenSuffix)
		if _, isSegment := segmentNumber(segment); ok && isSegment {
			err = errors.Join(err, s.dir.Remove(name))
		}
	}
	return err
}
