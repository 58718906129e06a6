package store

import (
	"io/fs"
	"time"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Stats describes a store.
type Stats struct {
	// First is the position of the first event that the log has, see [First], and Head that of the
	// last one that is visible.
	First, Head Position
	// Segments is the number of files that the log is in, and Segment the number of the last one: it
	// grows each time one is begun, while files that were rewritten become one.
	Segments int
	Segment  uint32
	// Sequence of the last commit, side-only commits included, and what sequences leaped over since.
	Sequence uint64
	// SideValues that exist.
	SideValues int
	// What the log takes on the disk, in bytes: LogBytes are its events and side values, IndexBytes
	// the indexes at the ends of sealed segments. ReservedBytes are those of a writer that are made
	// ahead of use: nothing has to be found for them when the disk fills up.
	LogBytes, IndexBytes, ReservedBytes int64
	// CarriedBytes is the part of LogBytes and IndexBytes that has what stays of events which [Retain]
	// has dropped.
	CarriedBytes int64
	// SideBytes is the part of LogBytes that side values which exist take, SupersededBytes about what
	// those take that were overwritten or deleted: rewriting gives it back, where it is worth it.
	SideBytes, SupersededBytes int64
	// FreeBytes is what the file system has left for this user, -1 where that cannot be told.
	FreeBytes int64
	// IndexMemory is the memory of indexes of sealed segments that cannot be used where they lie:
	// damaged ones, and those of an older format where nothing can be written.
	IndexMemory int64
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
	// Erasing is why an erasure that has begun is not finished, nil in good order and while it is
	// under way. Readers see its events as erased; files have them still. See [Erase].
	Erasing error
	// Fences that are open, the oldest first: the head waits for them. What is staged in them, and
	// what others have appended after it, is not visible yet.
	Fences []FenceStats
	// Poisoned says that a write failed and that the store takes no more commits.
	Poisoned bool

	// What this writer has done since it was opened; zero of a store that only reads. Groups are
	// commits that were written and synced together: the fewer there are for the Commits, the more
	// did share. Refused are calls to commit that were answered with an error by the committer: what
	// does not reach it, as it breaks a limit or is denied by a gate, is not counted, nor is an
	// idempotency key that was stored before.
	Commits, Events, Groups, Refused uint64
	// Syncs is how long each sync of the log took.
	Syncs Histogram
	// Writes is how long each group took, from when it was taken from the queue until its callers
	// could be answered. A commit that comes while another group is written waits for that one first.
	// Of groups without a sync every 16th is measured, and counted for all.
	Writes Histogram
}

// tally is what the holder of the committer's role counts. A copy of it is under committer.mu.
type tally struct {
	commits, events, groups uint64
	sides, reserved         int64 // bytes: of side values in the active segment; made ahead of use
}

// count takes in a group that was written.
func count(w *writer, b *openBatch) {
	t := &w.tally
	t.commits += uint64(b.commits)
	t.events += uint64(b.events)
	if b.commits > 0 {
		t.groups++
	}
	t.sides, t.reserved = int64(w.sideBytes), w.capacity-w.next.Offset
	if w.preallocated != nil {
		t.reserved += nextCapacity(w.capacity, w.store.options.SegmentBytes)
	}
}

// Stats returns a description of the store as it is now. Each figure is right by itself; they are
// read one after the other beside commits, so they need not be of one moment. It costs some
// microseconds, and a few nanoseconds for each segment, and asks the file system for its free room.
func (s *Store) Stats() Stats {
	s.catchUp()
	t := Stats{
		First:    s.first(),
		Head:     Position(s.head.Load()),
		Segments: len(*s.segments.Load()),
		Segment:  LastSegment(s),
		Sequence: s.sequence.Load() - 1,
		Exposed:  s.exposed,
	}
	if failed := s.rewriter.failed.Load(); failed != nil {
		t.Rewriting = *failed
	}
	t.Erasing = s.erasing.failed()
	t.Fences = s.openFences()
	_, ahead := s.clock.now()
	t.ClockAhead = ahead.Truncate(time.Millisecond)
	s.indexes.mu.Lock()
	t.IndexMemory = s.indexes.bytes
	s.indexes.mu.Unlock()
	if s.committer != nil {
		s.committer.describe(&t)
	}
	s.measure(&t)
	return t
}

// describe adds what the committer has counted.
func (c *committer) describe(t *Stats) {
	t.Poisoned = c.writer.poisoned() != nil
	t.Syncs, t.Writes = c.writer.syncs.value(), c.writes.value()
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Commits, t.Events, t.Groups, t.Refused = c.tally.commits, c.tally.events, c.tally.groups, c.refused
	t.SupersededBytes, t.ReservedBytes = c.tally.sides, c.tally.reserved
}

// measure adds what the log takes on the disk. SupersededBytes is that of all side values in the
// active segment.
func (s *Store) measure(t *Stats) {
	for _, g := range *s.segments.Load() {
		t.LogBytes += g.end.Load()
		if g.dropped {
			t.CarriedBytes += g.fileBytes()
		}
		if trailer := g.trailer.Load(); trailer != nil {
			t.IndexBytes += int64(trailer.IndexLen) + int64(trailer.SidesLen) + wal.TrailerSize
			t.SupersededBytes += int64(trailer.SideBytes)
		}
	}
	t.SideValues, t.SideBytes = s.sides.size()
	t.SupersededBytes = max(0, t.SupersededBytes-t.SideBytes)
	var err error
	if t.FreeBytes, err = s.dir.Room(); err != nil {
		t.FreeBytes = -1
	}
}

// LastSegment returns Stats.Segment, for callers that ask for it often.
func LastSegment(s *Store) uint32 {
	segments := *s.segments.Load()
	if len(segments) == 0 {
		return 0
	}
	return segments[len(segments)-1].last
}
