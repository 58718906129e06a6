package store

import (
	"errors"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// What a writer rewrites lacks side values that were superseded later. So a read-only store that
// takes in such a segment, and not yet what came later, would show side values of another time than
// the events beside them: older ones, and ones that were deleted. It never does. One that opens
// takes in files of one time alone (checkRewritten); one that follows a writer, and meets a segment
// that was rewritten before it was read to its end, loads the log from the start and shows all of
// it at once (reload). That is rare: a writer rewrites what is sealed.

func isReplaced(err error) bool {
	var replaced *replacedError
	return errors.As(err, &replaced)
}

// loadAgain is reload for a reader that has found another file than that of a segment, unless the
// segment is known no more.
func (f *follower) loadAgain(s *Store, old *segment) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	if s.numbered(old.number) != old {
		return nil
	}
	return f.reload(s)
}

// reload loads the log from the start and puts it in the place of what is known. mu is held, as
// for all that advances the log.
func (f *follower) reload(s *Store) error {
	fresh := newStore(s.fs, s.path, s.options, s.inline)
	fresh.dir, fresh.files.dir, fresh.boot = s.dir, s.dir, s.boot
	defer fresh.files.close()
	if err := fresh.openReadOnly(); err != nil {
		return err
	}
	fresh.follower.fences.end(f.fences.ended) // what was seen to be cancelled stays so
	fresh.head.Store(uint64(fresh.follower.fence(fresh)))
	if fresh.origin.Store != s.origin.Store || fresh.head.Load() < s.head.Load() {
		return &CorruptError{
			Segment: fresh.follower.chain.Segment, Offset: wal.SegmentHeaderSize, Reason: "the log is not the one that was read before",
		}
	}
	fresh.files.closeIdle()
	for _, g := range *fresh.segments.Load() {
		g.files = &s.files
	}
	f.tail, f.sealing, f.chain, f.fences = fresh.follower.tail, nil, fresh.follower.chain, fresh.follower.fences
	f.withheld.Store(fresh.follower.withheld.Load())
	f.adopt(s, fresh)
	return nil
}

// adopt shows the log as fresh has loaded it. The segments come first: a reader that finds a head
// finds those below it, and each place of a side value is one in them. A reader may be opening one
// of the former segments again: what it found must not come after this.
func (f *follower) adopt(s, fresh *Store) {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	former := s.segments.Swap(fresh.segments.Load())
	for _, g := range *former {
		s.files.forget(g)
		s.files.mappings.forget(g)
		s.indexes.forget(g)
	}
	s.lost.Store(fresh.lost.Load())
	s.hide(fresh.cancelled())
	s.erasing.show(fresh.erasing.pending())
	s.assigned.Store(fresh.assigned.Load())
	s.sides.mu.Lock()
	s.sides.tree, s.sides.live = fresh.sides.tree, fresh.sides.live
	moves := s.head.Swap(fresh.head.Load()) != fresh.head.Load()
	s.sides.mu.Unlock()
	s.sequence.Store(f.chain.Sequence)
	if moves {
		s.clock.observe(fresh.lastTime())
		s.announce()
	}
}

// lastTime is the hybrid time of the last event of a store that was just loaded.
func (s *Store) lastTime() uint64 {
	if tail := s.follower.tail; tail != nil {
		return tail.lastTime
	}
	segments := *s.segments.Load()
	return segments[len(segments)-1].trailer.Load().LastTime
}
