package store

import (
	"time"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// mark writes and syncs a batch without commits.
func (w *writer) mark(flags uint16) error {
	if w.next.Offset+wal.BatchHeaderSize > w.capacity {
		if err := w.roll(nextCapacity(w.capacity, w.store.options.SegmentBytes)); err != nil {
			return err
		}
	}
	g := w.begin()
	if err := w.writeBatch(&g, flags, time.Now()); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	w.segment.end.Store(w.next.Offset)
	w.writeBeacon()
	return nil
}

// end is the last thing a writer does: a closing mark, and no trace of a segment that was made
// ahead.
func (w *writer) end() error {
	if w.preallocated != nil {
		if p := <-w.preallocated; p.err == nil {
			_ = p.file.Close()
			_ = w.store.fs.Remove(w.store.segmentPath(w.next.Segment + 1))
		}
		w.preallocated = nil
	}
	if failed := w.poison.Load(); failed != nil {
		return *failed // a sync in the background that failed has told nobody yet
	}
	if !w.unsyncedSince.IsZero() { // so that the mark tells damage from a torn write for everything before it
		if err := w.sync(); err != nil {
			return err
		}
	}
	if err := w.mark(wal.FlagClosed); err != nil {
		return err
	}
	w.store.tasks.Wait() // the mark may have rolled over
	return nil
}
