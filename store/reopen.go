package store

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// checkLoss finds out whether acknowledged events are gone. The status file proves it when it speaks of more than there is;
// it proves the contrary when the machine was not restarted. In a mode that acknowledges before the sync, an unclean end
// without that proof has to be taken for a loss.
func (r *recovery) checkLoss() {
	if len(*r.store.segments.Load()) == 0 {
		return
	}
	t, ok := r.store.readStatus()
	ok = ok && t.store == r.store.origin.Store
	if ok && t.incarnation >= r.incarnation && uint64(t.head) >= r.chain.Position { // an older history's loss was noticed then
		r.lost = true
		return
	}
	weak, clean := r.flags&wal.FlagWeak != 0, r.flags&wal.FlagClosed != 0
	sameBoot := ok && t.boot != [16]byte{} && t.boot == r.store.boot
	r.lost = weak && !clean && !sameBoot
}

// rewriteTail makes durable what was read: the page cache may hold bytes that the disk does not, and after a failed sync
// it will never write them on its own.
func (r *recovery) rewriteTail() error {
	file, from, end := r.tail.segment.file, r.tail.durable, r.tail.next.Offset
	// Without a mark the header is not known durable either, and from is 0.
	if _, err := file.WriteAt(r.rewrite[from:end], from); err != nil {
		return err
	}
	if r.tail.flags&wal.FlagClosed == 0 {
		if err := fillZeros(file, end, r.tailSize); err != nil {
			return err
		}
	}
	return file.Sync()
}

// loadSides collects the side values of all segments, from the newest on, so that damage to one that was superseded since
// hurts nobody.
func (r *recovery) loadSides() error {
	values := make(map[string]SideValue)
	for _, g := range slices.Backward(*r.store.segments.Load()) {
		if g.trailer.Load() == nil {
			if err := r.scanSides(g, values); err != nil {
				return err
			}
			continue
		}
		sides, err := readSides(g)
		if err != nil {
			return err
		}
		for _, side := range sides {
			if _, newer := values[side.Key]; newer {
				continue
			}
			rec, err := g.record(int64(side.Offset))
			if err != nil {
				return err
			}
			parsed, err := wal.ParseSide(rec)
			if err != nil {
				return g.corrupt(int64(side.Offset), "not a side value")
			}
			values[side.Key] = sideValue(side.Key, &parsed)
		}
	}
	r.store.sides.merge(values)
	return nil
}

// scanSides adds the side values of a segment without a footer: the last one, or, for a reader, one that its writer has
// not sealed yet.
func (r *recovery) scanSides(g *segment, values map[string]SideValue) error {
	sc := r.tail
	if sc == nil || sc.segment != g {
		var err error
		if sc, err = scanSegment(g, g.end.Load()); err != nil {
			return err
		}
	}
	for key, value := range sc.sides {
		if _, newer := values[key]; !newer {
			values[key] = value
		}
	}
	return nil
}

// start makes the writer and writes its opening mark.
func (r *recovery) start() (*writer, error) {
	s := r.store
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	w := &writer{
		store:        s,
		next:         r.chain,
		lastTime:     r.lastTime,
		entities:     make(map[string]entityState),
		pendingSides: make(map[string]SideValue),
		random:       mathrand.NewChaCha8(seed),
	}
	w.next.WriterEpoch++
	if s.origin.Incarnation = r.incarnation; r.lost || r.incarnation == 0 {
		s.origin.Incarnation++
	}
	s.sequence.Store(w.next.Sequence)
	s.head.Store(w.next.Position - 1)
	if r.tail != nil {
		w.segment, w.active, w.capacity = r.tail.segment, r.tail.active, r.tailSize
		w.durable, w.entities = r.tail.next.Offset, r.tail.entities
	} else if err := r.firstSegment(w); err != nil {
		return nil, err
	}
	w.next.Seed = wal.Seed(s.origin.Store)
	if err := w.mark(wal.FlagOpened); err != nil {
		return nil, err
	}
	return w, nil
}

// firstSegment begins a segment where there is none to go on with: in a new store, or behind a sealed one.
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
	w.writeStatus()
	return nil
}

// end is the last thing a writer does: a closing mark, and no trace of a segment that was made ahead.
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
