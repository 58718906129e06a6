package store

import (
	"errors"
	"io"
	"io/fs"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// limit is how far a read-only store may look into the log. What it shows may be kept elsewhere, as
// a row of a database or as an answer to a caller on another machine, so it must outlive a power
// cut as far as the sync mode of the writer says:
//
//	a writer that has spoken       what its beacon says
//	a writer that is opening       what is known durable: up to the highest mark of any batch
//	no writer                      what recovery would accept, after a sync of this process; where
//	                               it cannot sync, what is known durable
//	the last writer had failed     what that one had shown, or what is known durable
//
// A segment that another one continues was synced before that one began, and counts whole.
//
// A beacon is believed for the batches of the writer that wrote it and of those before. That of a
// former writer may lie there while the next one is opening, and after a power cut it may speak of
// more than was left, where the next one is adding by now: whose batches are not shown by it.
//
// A failed sync is why a sync of this process is not enough after a writer that had failed: the
// system may take pages for clean that it could not write, and report success the next time.
type limit struct {
	said     beacon // zero where none can be read
	writer   bool   // the writer's lock is held
	believed bool   // said says how far
	vouched  bool   // what lies before it was written since the machine was started, so it must be there
	still    bool   // there was no writer since the last look, which came to the end of the log
}

// of returns how far the file of a segment may be read, and false if not at all.
func (l limit) of(segment uint32) (end int64, readable bool) {
	switch {
	case !l.believed || segment < l.said.segment:
		return 1<<62 - 1, true
	case segment == l.said.segment:
		return l.said.visible, true
	default:
		return 0, false
	}
}

// outlived reports whether a writer began, or another one, between two looks.
func (l limit) outlived(after limit) bool {
	return after.writer && !l.writer || l.said.writerEpoch != after.said.writerEpoch ||
		!l.writer && !after.writer && l.said != after.said // it has ended, too
}

// limit looks whether there is a writer, and what the beacon says. One that stays unreadable counts
// as none.
func (s *Store) limit() (l limit, err error) {
	if l.writer, err = s.dir.Locked(lockName); err != nil {
		return limit{}, err
	}
	for range beaconRetries {
		t, ok, err := s.readBeacon()
		if err != nil {
			return limit{}, err
		}
		if ok {
			l.said = t
			break
		}
		if !l.writer {
			return l, nil
		}
	}
	l.believed = l.writer && l.said.store != uuid.Nil &&
		(s.origin.Store == uuid.Nil || l.said.store == s.origin.Store)
	l.vouched = l.believed && l.said.boot == s.boot && s.boot != [16]byte{}
	return l, nil
}

// survey is what the batches of a segment say of themselves, from the first that is not shown yet.
type survey struct {
	next     wal.Expected // after the last good batch
	durable  int64        // the highest mark of a batch
	promised int64        // the end of the last batch that holds a commit
}

func (v *survey) add(h *wal.BatchHeader) {
	v.durable = max(v.durable, int64(h.Durable))
	v.next.Advance(h)
	if h.Commits > 0 {
		v.promised = v.next.Offset
	}
}

// settled returns the end up to which the segment of a survey may be shown although no writer says
// so.
func (s *Store) settled(g *segment, v *survey, l limit) (end int64, err error) {
	whole := v.next.Offset
	if v.durable > 0 && v.promised <= v.durable { // as after a clean end: the rest are marks
		return whole, nil
	}
	continued, err := s.continued(g, v)
	if continued || err != nil {
		return whole, err
	}
	t := &l.said
	switch {
	case l.writer:
		return v.durable, nil
	case t.failed && t.store == s.origin.Store && t.boot == s.boot && t.segment == g.number:
		return max(v.durable, min(whole, t.visible)), nil
	case s.syncSegment(g):
		return whole, nil
	}
	return v.durable, nil
}

// continued reports whether the next segment was started and continues a survey of this one.
func (s *Store) continued(g *segment, v *survey) (bool, error) {
	h, err := s.peekHeader(g.last + 1)
	if h == nil || err != nil {
		return false, err
	}
	return h.Store == s.origin.Store && h.Previous == v.next.Previous && h.FirstPosition == v.next.Position, nil
}

// peekHeader reads the header of a segment before its turn, nil when there is none or it is not
// good.
func (s *Store) peekHeader(number uint32) (*wal.SegmentHeader, error) {
	g := newSegment(number, &s.files)
	defer s.files.forget(g)
	b, err := g.bytes(0, wal.SegmentHeaderSize)
	if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) { // a short file is a bad header
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	h, err := wal.ParseSegmentHeader(b)
	if err != nil {
		return nil, nil //nolint:nilnil // a file that was made ahead has no header yet
	}
	return &h, nil
}

// syncSegment makes durable what was read of a segment, and reports whether that worked. It changes
// nothing that can be read. A file that is open for reading can be synced, but on windows; there it
// is opened for writing, if this user may.
func (s *Store) syncSegment(g *segment) bool {
	file, err := g.hold()
	if err != nil {
		return false
	}
	defer file.drop()
	if err = file.Sync(); errors.Is(err, fs.ErrPermission) {
		err = s.syncForWriting(g)
	}
	return err == nil || vfs.NothingToSync(err)
}

func (s *Store) syncForWriting(g *segment) error {
	file, err := s.dir.Open(segmentName(g.number), false)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// shown returns how far the last segment may be shown, and notes whether it holds more.
func (f *follower) shown(s *Store, l limit) (end int64, err error) {
	g := f.tail.segment
	size, err := g.size()
	if err != nil {
		return 0, err
	}
	if l.believed {
		f.withheld.Store(false)
		end, _ := l.of(g.number)
		return min(end, size), nil
	}
	v := survey{next: f.tail.next, durable: f.tail.durable, promised: f.tail.next.Offset}
	for p := g.pieces(size); ; {
		h, batch, err := p.Next(&v.next)
		if err != nil {
			return 0, err
		}
		if batch == nil {
			break
		}
		v.add(&h)
	}
	if end = v.next.Offset; end > g.end.Load() {
		end, err = s.settled(g, &v, l)
	}
	f.withheld.Store(end < v.next.Offset)
	return end, err
}

// shown returns how much may be shown of a segment without a footer that was read to the end of its
// batches, the highest mark in it being durable.
func (r *recovery) shown(sc *scan, durable int64) (end int64, err error) {
	g, whole := sc.segment, sc.next.Offset
	if whole > wal.SegmentHeaderSize && r.limit.believed && sc.next.WriterEpoch > r.limit.said.writerEpoch {
		r.limit.believed = false // it has batches of a writer that has not spoken
	}
	if r.limit.believed {
		return whole, nil
	}
	v := survey{next: sc.chain(), durable: durable, promised: sc.promised}
	if end, err = r.store.settled(g, &v, r.limit); end == 0 && err == nil && g.number == 1 {
		err = r.store.notStore() // not even its id is durable
	}
	r.withheld = end < whole
	return end, err
}
