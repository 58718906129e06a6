package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// follower keeps a read-only store up to date with a writer in another process. It has no
// goroutine: a caller that queries the head or waits for it takes in what is new.
//
// The rules by which it believes what it reads:
//
//   - How far the log may be shown, with a writer and without, is for limit to say.
//   - Whether there is a writer is looked at before reading, and again before what was read without
//     one is shown: one that started in between may have changed what was being read.
//   - A bad batch below what the beacon vouches for is damage; anywhere else it is a batch that is
//     being written, and is looked at again the next time.
//   - The beacon vouches only if it was written since the machine was started. After a power cut it
//     may be older or newer than the log.
//   - A beacon that is as it was at first, or when there was no writer, vouches for nothing: the
//     writer may not have written its own yet, and in a copy the one that lies there may speak of
//     more than was copied.
//
// Ownership: all fields but failed belong to the holder of mu, who also is the one that advances
// the head, the segments and the side values of the Store. mu is held during I/O; readers take it
// only to catch up. failed is set once, under mu, and read by all; withheld is set under mu.
type follower struct {
	mu   sync.Mutex
	tail *scan // of the last segment, nil when that is sealed
	// sealing are segments before the tail, read whole and not known to be sealed: their indexes are
	// still the growing ones.
	sealing []*segment
	chain   wal.Expected // what the next batch or segment must continue
	fences  fenceTable   // as of chain
	idle    beacon       // as it was at the opening, or later without a writer
	failed  atomic.Pointer[error]
	whole   bool // the last look came to the end of what may be read; guarded by mu
	erases  bool // side values of erasures are to be read again; guarded by mu
	// withheld: the files hold more than may be shown, and no writer that could say more.
	withheld atomic.Bool
	// stuck is why the last look at the log found no more than it did, nil where there was no more: it
	// may be gone the next time. catchUp stores it, any goroutine reads it.
	stuck atomic.Pointer[error]
}

// openReadOnly loads what is there, without a lock and without a change, and again where a writer
// began meanwhile: it may have changed what was being read, and what it has written need not be
// durable. The next time its beacon says how far to look. It looks for a writer only where there is
// a store, so that a program which waits for one to be made does not look at a lock in the making.
func (s *Store) openReadOnly() error {
	if numbers, err := s.segmentNumbers(); err != nil {
		return err
	} else if len(numbers) == 0 {
		return s.notStore()
	}
	if _, err := s.copied(); err != nil {
		return err
	}
	var loaded error
	for try := range openingRetries {
		before, err := s.limit()
		if err != nil {
			return err
		}
		loaded = s.loadReadOnly(before)
		after, err := s.limit()
		if err != nil {
			return err
		}
		// A file that was made ahead may be gone, and a segment may have been rewritten. One that was
		// renamed while the directory was read may be missing in the list.
		passing := errors.Is(loaded, fs.ErrNotExist) || isReplaced(loaded) ||
			before.writer && try == 0 && errors.Is(loaded, ErrCorrupt)
		if !passing && !before.outlived(after) {
			if loaded == nil {
				s.follower.idle = before.said
			}
			return loaded
		}
		s.files.closeIdle()
		s.segments.Store(&[]*segment{})
		s.sides.reset()
	}
	return errors.Join(fmt.Errorf("%w: each time that the log was read a writer began, or had not said yet how far", ErrBusy), loaded)
}

func (s *Store) loadReadOnly(l limit) error {
	r := &recovery{store: s, readOnly: true, limit: l}
	if err := r.load(); err != nil {
		return err
	}
	if len(*s.segments.Load()) == 0 {
		return s.notStore()
	}
	if err := r.loadSides(); err != nil {
		return err
	}
	ended := r.chain.WriterEpoch
	if !l.writer && !r.withheld { // there is no more, and will be none by the writers up to here
		ended++
	}
	fences, err := s.loadFences(ended)
	if err != nil {
		return err
	}
	if err := s.loadErasures(); err != nil {
		return err
	}
	s.clock.observe(r.lastTime)
	s.origin.Incarnation = r.incarnation
	s.sequence.Store(r.chain.Sequence)
	s.follower = &follower{tail: r.tail, chain: r.chain, fences: fences}
	s.head.Store(uint64(s.follower.fence(s)))
	s.follower.withheld.Store(r.withheld)
	return nil
}

// catchUp takes in what a writer added since the last call. A store that writes is always up to
// date.
func (s *Store) catchUp() {
	f := s.follower
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed.Load() || f.failed.Load() != nil {
		return
	}
	err := f.follow(s)
	if isReplaced(err) {
		err = f.reload(s)
	}
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewerFormat) { // any other may be gone the next time
		f.failed.Store(&err)
		s.announce()
	}
	f.stuck.Store(nil)
	if err != nil {
		f.stuck.Store(&err)
	}
}

// obstacle returns why the last look at the log failed, nil where it did not.
func (f *follower) obstacle() error {
	if err := f.stuck.Load(); err != nil {
		return *err
	}
	return nil
}

// follow reads to the end of what may be read, over segment changes. An error of the log itself is
// final; any other may be gone the next time.
func (f *follower) follow(s *Store) error {
	l, err := s.limit()
	if err != nil {
		return err
	}
	if l.said == f.idle {
		l.vouched, l.still = false, !l.writer && f.whole
	}
	f.whole = false
	for {
		if f.tail != nil {
			if sure, err := f.extend(s, l); err != nil || !sure {
				return err
			}
		}
		if more, err := f.nextSegment(s, l); err != nil {
			return err
		} else if !more {
			f.whole = true
			return errors.Join(f.damage(l), f.endFences(s, l))
		}
	}
}

// damage reports that the log ends before the place up to which its writer made it visible: a bad
// batch there was not torn by a write under way, and nothing after it will ever be reached.
func (f *follower) damage(l limit) error {
	at, offset, said := f.chain.Segment, f.chain.Offset, &l.said
	if !l.believed || !l.vouched || at > said.segment || (at == said.segment && offset >= said.visible) {
		return nil
	}
	if at == said.segment && f.tail == nil { // sealed, so whole
		return nil
	}
	if at+1 == said.segment && said.visible <= wal.SegmentHeaderSize { // the next is active, and has no batch yet
		return nil
	}
	return &CorruptError{Segment: at, Offset: offset, Reason: "batch is bad, and the writer says that the log continues"}
}

// dropIndexes lets the segments before the tail change to the indexes in their footers, which are
// loaded and dropped as needed. One that the writer is still sealing waits for the next time. As in
// the writer, the trailer is stored before the index is dropped.
func (f *follower) dropIndexes() {
	f.sealing = slices.DeleteFunc(f.sealing, func(g *segment) bool {
		size, err := g.size()
		if err != nil {
			return isReplaced(err) // readers of it find that out, too
		}
		t, ok := readTrailer(g, size)
		if !ok || int64(t.DataEnd) != g.end.Load() {
			return false
		}
		g.trailer.Store(&t)
		g.index.Store(nil)
		return true
	})
}

// extend takes in the new batches of the last segment and publishes them, unless a writer has
// started that does not vouch for them. What was read and is not published yet stays in the scan,
// out of sight of readers, and is published by a later call. So it may be done again where the
// writer has cut the file to size meanwhile, as it seals it: what was cut off has no batch.
func (f *follower) extend(s *Store, l limit) (sure bool, err error) {
	sure, err = f.readOn(s, l)
	if errors.Is(err, io.EOF) {
		sure, err = f.readOn(s, l)
	}
	return sure, err
}

func (f *follower) readOn(s *Store, l limit) (sure bool, err error) {
	g := f.tail.segment
	f.tail.publish(Position(s.assigned.Load()) + 1)
	end, err := f.shown(s, l)
	if err != nil {
		return false, err
	}
	for p := g.pieces(end); ; {
		h, batch, err := p.Next(&f.tail.next)
		if err != nil {
			return false, err
		}
		if batch == nil || l.believed && h.WriterEpoch > l.said.writerEpoch { // by a writer that has not spoken
			break
		}
		if err := f.tail.add(&h, batch); err != nil {
			return false, err
		}
	}
	if f.tail.next.Offset > end {
		return false, nil
	}
	if !l.writer {
		if began, err := s.dir.Locked(lockName); err != nil || began {
			return false, err
		}
		f.idle = l.said
	}
	if err := f.publish(s); err != nil {
		return false, err
	}
	return true, nil
}

// publish shows what the scan has taken in.
func (f *follower) publish(s *Store) error {
	f.tail.segment.end.Store(f.tail.next.Offset)
	if err := f.takeFences(); err != nil {
		return err
	}
	f.chain = f.tail.chain()
	s.sequence.Store(f.chain.Sequence)
	head := f.fence(s)
	moves := uint64(head) != s.head.Load()
	if moves {
		s.clock.observe(f.tail.lastTime)
	}
	if f.tail.sides = s.sides.publish(f.tail.sides, &s.head, head); moves {
		s.announce()
	}
	return f.takeErasures(s)
}

// takeErasures takes in what is not finished of erasures. Should that not be readable now, it is
// tried again by the next look. One that is finished shows in the files alone: those that are open
// are what it has replaced, so they are opened again.
func (f *follower) takeErasures(s *Store) error {
	f.erases, f.tail.erases = f.erases || f.tail.erases, false
	if !f.erases {
		return nil
	}
	for _, g := range *s.segments.Load() {
		s.files.forget(g)
	}
	err := s.loadErasures()
	f.erases = err != nil
	return err
}

// gone reports whether a file that is not there was: one before it stands for it.
func (s *Store) gone(number uint32, l limit) (bool, error) {
	if l.believed || l.still { // what may be looked at is there
		return l.believed, nil
	}
	numbers, err := s.segmentNumbers()
	return len(numbers) > 0 && numbers[len(numbers)-1] > number, err
}

// nextSegment continues with the next file once it is started, that is, once its header is there
// and continues what was read: a header is written only after the segment before is durable.
func (f *follower) nextSegment(s *Store, l limit) (more bool, err error) {
	number := f.chain.Segment + 1
	if _, readable := l.of(number); !readable {
		return false, nil
	}
	g := newSegment(number, &s.files)
	b, err := g.bytes(0, wal.SegmentHeaderSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if gone, err := s.gone(number, l); gone || err != nil {
			return false, errors.Join(&replacedError{g}, err)
		}
		return false, nil
	case err != nil && !errors.Is(err, io.EOF): // it says nothing of what is there
		s.files.forget(g)
		return false, err
	}
	if err == nil {
		var h wal.SegmentHeader
		if h, err = wal.ParseSegmentHeader(b); err == nil && h.FirstPosition == f.chain.Position &&
			h.FirstSequence == f.chain.Sequence && h.Previous == f.chain.Previous && h.Store == s.origin.Store {
			if h.Generation > 0 {
				s.files.forget(g)
				return false, &replacedError{g}
			}
			g.first, g.generation = Position(h.FirstPosition), h.Generation
			g.end.Store(wal.SegmentHeaderSize)
			if f.tail != nil {
				f.sealing = append(f.sealing, f.tail.segment)
				f.dropIndexes()
			}
			f.tail = newScan(g, &h)
			f.tail.next.WriterEpoch = f.chain.WriterEpoch
			f.chain = f.tail.next
			g.setActive(f.tail.active)
			s.addSegment(g)
			return true, nil
		}
	}
	s.files.forget(g)
	if errors.Is(err, wal.ErrNewer) {
		return false, fmt.Errorf("segment %d: %w", number, ErrNewerFormat)
	}
	return false, nil // made ahead, not started
}
