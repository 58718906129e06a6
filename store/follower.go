package store

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// follower keeps a read-only store up to date with a writer in another process. It has no goroutine: whoever asks for the
// head or waits for it takes in what is new. While the writer's lock is held, its status file says how far the log may be
// read; without a writer the recovery rules say so, and nothing is changed.
type follower struct {
	mu     sync.Mutex
	tail   *scan        // of the last segment, nil when that is sealed
	chain  wal.Expected // what the next segment must continue
	failed atomic.Pointer[error]
}

// limit is how far a reader may look: whole segments below segment, and that one up to offset. unbounded when there is no
// writer whose word could be taken.
type limit struct {
	segment   uint32
	offset    int64
	unbounded bool
}

func (l limit) of(segment uint32) (end int64, readable bool) {
	switch {
	case l.unbounded || segment < l.segment:
		return 1<<62 - 1, true
	case segment == l.segment:
		return l.offset, true
	default:
		return 0, false
	}
}

// statusRetries is how often a torn status file is read again.
const statusRetries = 100

// limit asks the writer, if there is one.
func (s *Store) limit() (limit, error) {
	locked, err := s.fs.Locked(s.path(lockName))
	if err != nil || !locked {
		return limit{unbounded: true}, err
	}
	for range statusRetries {
		if t, ok := s.readStatus(); ok {
			return limit{segment: t.segment, offset: t.visible}, nil
		}
	}
	return limit{unbounded: true}, nil
}

// openReadOnly loads what is there, without a lock and without a change.
func (s *Store) openReadOnly() error {
	l, err := s.limit()
	if err != nil {
		return err
	}
	r := &recovery{store: s, readOnly: true, limit: l}
	if err := r.load(); errors.Is(err, fs.ErrNotExist) {
		return ErrNotStore
	} else if err != nil {
		return err
	}
	if len(*s.segments.Load()) == 0 {
		return ErrNotStore
	}
	if err := r.loadSides(); err != nil {
		return err
	}
	s.history.Incarnation = r.history
	s.sequence.Store(r.chain.Sequence)
	s.head.Store(r.chain.Position - 1)
	s.follower = &follower{tail: r.tail, chain: r.chain}
	return nil
}

// catchUp takes in what a writer added since the last call. A store that writes is always up to date.
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
	if err := f.follow(s); err != nil {
		f.failed.Store(&err)
		s.announce()
	}
}

// follow reads to the end of what may be read, over segment changes. An error is final: the log is damaged or gone.
func (f *follower) follow(s *Store) error {
	l, err := s.limit()
	if err != nil {
		return err
	}
	for {
		if f.tail != nil {
			if err := f.extend(s, l); err != nil {
				return err
			}
		}
		if more, err := f.nextSegment(s, l); err != nil || !more {
			return err
		}
	}
}

// extend takes in the new batches of the last segment and publishes them.
func (f *follower) extend(s *Store, l limit) error {
	g := f.tail.segment
	size, err := g.file.Size()
	if err != nil {
		return err
	}
	end, _ := l.of(g.number)
	for end = min(end, size); ; {
		h, batch, err := batchAt(g, &f.tail.next, end)
		if err != nil {
			return err
		}
		if batch == nil {
			break
		}
		if err := f.tail.add(&h, batch); err != nil {
			return err
		}
	}
	f.chain = f.tail.next
	g.end.Store(f.tail.next.Offset)
	s.sides.merge(f.tail.sides)
	s.sequence.Store(f.chain.Sequence)
	if head := f.chain.Position - 1; head != s.head.Load() {
		s.head.Store(head)
		s.announce()
	}
	return nil
}

// batchAt reads the batch that continues the log, nil when there is none before end.
func batchAt(g *segment, x *wal.Expected, end int64) (h wal.BatchHeader, batch []byte, err error) {
	if x.Offset+wal.BatchHeaderSize > end {
		return h, nil, nil
	}
	b, err := g.bytes(x.Offset, x.Offset+wal.BatchHeaderSize)
	if err != nil {
		return h, nil, err
	}
	n := wal.BatchLength(b)
	if n == 0 || x.Offset+int64(n) > end {
		return h, nil, nil
	}
	if b, err = g.bytes(x.Offset, x.Offset+int64(n)); err != nil {
		return h, nil, err
	}
	h, batch, err = wal.ParseBatch(b, x.Segment, x.Offset)
	if err != nil || !x.Follows(&h) {
		return h, nil, nil //nolint:nilerr // not written yet, or torn: the log ends here for now
	}
	return h, batch, nil
}

// nextSegment goes on to the next file when it was begun.
func (f *follower) nextSegment(s *Store, l limit) (more bool, err error) {
	number := f.chain.Segment + 1
	if _, readable := l.of(number); !readable {
		return false, nil
	}
	file, err := s.fs.Open(s.segmentPath(number), true)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	g := &segment{number: number, file: file}
	b, err := g.bytes(0, wal.SegmentHeaderSize)
	if err == nil {
		var h wal.SegmentHeader
		if h, err = wal.ParseSegmentHeader(b); err == nil && h.FirstPosition == f.chain.Position &&
			h.FirstSequence == f.chain.Sequence && h.Previous == f.chain.Previous && h.Store == s.history.Store {
			g.first = Position(h.FirstPosition)
			g.end.Store(wal.SegmentHeaderSize)
			f.tail = newScan(g, &h)
			f.tail.next.Incarnation = f.chain.Incarnation
			f.chain = f.tail.next
			g.setActive(f.tail.active)
			s.addSegment(g)
			return true, nil
		}
	}
	_ = file.Close()
	if errors.Is(err, wal.ErrNewer) {
		return false, fmt.Errorf("segment %d: %w", number, ErrNewerFormat)
	}
	return false, nil // made ahead, not begun
}
