package store

import (
	"io/fs"
	"time"
)

// Stats describes a store.
type Stats struct {
	Head Position
	// Segments is the number of files that the log is in, and Segment the number of the last one: it
	// grows each time one is begun, while files that were rewritten become one.
	Segments int
	Segment  uint32
	// Sequence of the last commit, side-only commits included, and what sequences leaped over since.
	Sequence uint64
	// SideValues that exist.
	SideValues int
	// IndexBytes is the memory of indexes of sealed segments that cannot be used where they lie:
	// damaged ones, and those of an older format where nothing can be written.
	IndexBytes int64
	// Exposed is the permissions that segments grant beyond Options.FileMode, as Open found them: to
	// the group of the directory or to all users, as far as they may enter it. 0 when there are none.
	// Open changes no permissions, as others may rely on them.
	Exposed fs.FileMode
	// ClockAhead is how far Store.Now is ahead of the clock of the machine, and with it the times of
	// new events: since that was set back, or an event was written while it was ahead, for example in
	// 2100 by mistake. Negative, it is how far the clock is ahead of Now, which does not believe it:
	// open the store again if the clock is right. To the millisecond; 0 in good order.
	ClockAhead time.Duration
	// Rewriting is why a segment that is worth it could not be rewritten yet, the last such error; nil
	// in good order. Nothing but room on the disk depends on it.
	Rewriting error
	// Fences that are open, the oldest first: the head waits for them. What is staged in them, and
	// what others have appended after it, is not visible yet.
	Fences []FenceStats
	// Poisoned says that a write failed and that the store takes no more commits.
	Poisoned bool
}

// Stats returns a description of the store as it is now. Each figure is right by itself; they are
// read one after the other beside commits, so they need not be of one moment.
func (s *Store) Stats() Stats {
	s.catchUp()
	t := Stats{
		Head:     Position(s.head.Load()),
		Segments: len(*s.segments.Load()),
		Segment:  s.lastSegment(),
		Sequence: s.sequence.Load() - 1,
		Exposed:  s.exposed,
		Poisoned: s.committer != nil && s.committer.writer.poisoned() != nil,
	}
	if failed := s.rewriter.failed.Load(); failed != nil {
		t.Rewriting = *failed
	}
	t.Fences = s.openFences()
	_, ahead := s.clock.now()
	t.ClockAhead = ahead.Truncate(time.Millisecond)
	t.SideValues = s.sides.len()
	s.indexes.mu.Lock()
	t.IndexBytes = s.indexes.bytes
	s.indexes.mu.Unlock()
	return t
}

// lastSegment is the number of the segment that is written.
func (s *Store) lastSegment() uint32 {
	segments := *s.segments.Load()
	if len(segments) == 0 {
		return 0
	}
	return segments[len(segments)-1].last
}
