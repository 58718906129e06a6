package store

import (
	"github.com/penstock-io/penstock/store/internal/wal"
)

// A mark is a batch without commits. Each writer begins and, if it gets to it, ends with one.
//
// The opening mark makes the writer's epoch durable before the writer acknowledges anything. From
// then on no batch of an earlier writer, which a disk may still hold beyond the end of the log, can
// be taken for one that continues it.
//
// After an end that was not clean it leaps over the sequences that the former writer may have given
// to commits that a power cut took: an owner of a side value that was told such a revision must not
// find it on a value that it did not write.
//
// The closing mark says that the end was clean. In the modes that acknowledge before the sync that
// is the proof that nothing acknowledged was lost; without it the next opening has to assume a
// loss.

// mark writes and syncs a batch without commits. It publishes no head, as it moves none, but tells
// readers in other processes how far they may read now. The next sequence is leap higher than it
// would be.
func (w *writer) mark(flags uint16, leap uint64) error {
	if w.next.Offset+wal.BatchHeaderSize > w.capacity {
		if err := w.roll(nextCapacity(w.capacity, w.store.options.SegmentBytes)); err != nil {
			return err
		}
	}
	b := w.begin()
	w.next.Sequence += leap
	if err := w.writeBatch(&b, flags); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	w.segment.end.Store(w.next.Offset)
	w.store.sequence.Store(w.next.Sequence)
	w.writeBeacon(Position(w.next.Position-1), false)
	return nil
}

// end is the last thing a writer does: a closing mark, and no trace of a segment that was made
// ahead. The committer is closed and background tasks have ended, so nothing else uses the writer.
func (w *writer) end() error {
	w.dropPreallocated()
	if failed := w.poison.Load(); failed != nil {
		return *failed // no caller has seen it yet if it was a sync in the background that failed
	}
	if !w.unsyncedSince.IsZero() {
		// The closing mark says that all before it is durable. Were that not so when the mark is
		// written, a power cut could keep the mark and lose a batch before it, and the next opening
		// would call that damage.
		if err := w.sync(); err != nil {
			return err
		}
	}
	if err := w.mark(wal.FlagClosed, 0); err != nil {
		return err
	}
	w.store.tasks.Wait() // the mark may have rolled over, and then the old segment is being sealed
	if w.runs.due(w.store.runBytes()/16, w.next.Offset, w.durable) {
		cutRun(w)() // for less the next opening scans no longer than it takes to write this
	}
	return nil
}
