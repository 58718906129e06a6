package store

import (
	"context"
	"sort"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Bytes returns how many bytes of the log lie after event after, up to and including event upTo (0
// or beyond the head: the head); 0 when after is not below it. It measures, on disk, from the first
// byte of the event that follows after to the last byte of upTo: exactly what a reader of every
// event has to get through. What lies between counts, whatever it is: side values, idempotency
// keys, headers and padding of batches, events that no region of the reader matches. Headers and
// indexes of segments do not, nor does anything after upTo, or before the first event that the log
// has.
//
// It costs the indexes of the first and the last segment that it touches, a few bytes of the record
// of upTo and one addition for each segment between, whatever the number of events. Errors: ctx's
// error, [ErrClosed], [CorruptError] for damage to what it reads.
func (s *Store) Bytes(ctx context.Context, after, upTo Position) (int64, error) {
	if err := s.readable(ctx); err != nil {
		return 0, err
	}
	head := s.Head()
	if upTo == 0 || upTo > head {
		upTo = head
	}
	if after >= upTo {
		return 0, nil
	}
	for {
		n, err := s.bytesBetween(after+1, upTo)
		if !s.again(&err) {
			return n, s.readError(err)
		}
	}
}

// bytesBetween measures from the first byte of one event to the last byte of another.
func (s *Store) bytesBetween(first, last Position) (int64, error) {
	segments := *s.segments.Load()
	if first = max(first, firstOf(segments)); first > last {
		return 0, nil
	}
	segmentOf := func(p Position) int {
		return sort.Search(len(segments), func(i int) bool { return segments[i].first > p }) - 1
	}
	i, j := segmentOf(first), segmentOf(last)
	start, _, err := s.extent(segments[i], first)
	if err != nil {
		return 0, err
	}
	end, err := s.recordEnd(segments[j], last)
	if err != nil {
		return 0, err
	}
	n := end - start
	for _, g := range segments[i:j] { // whole by now: the log continues after it
		n += g.end.Load() - wal.SegmentHeaderSize
	}
	return n, nil
}

// extent returns the offset of an event's record in its segment, and a place that the record does
// not reach beyond.
func (s *Store) extent(g *segment, p Position) (start, bound int64, err error) {
	idx, err := s.indexOf(g)
	if err != nil {
		return 0, 0, err
	}
	extents, err := idx.Extents([]uint32{uint32(p - g.first)}, nil)
	if err != nil {
		return 0, 0, err
	}
	x := extents[0]
	if bound = g.end.Load(); x.Next != 0 {
		bound = min(bound, int64(x.Next))
	}
	return int64(x.Start), bound, nil
}

// lengthBytes at the start of a record contain its length.
const lengthBytes = 16

// recordEnd returns the offset after an event's record. It reads the length that the record claims,
// and not the record.
func (s *Store) recordEnd(g *segment, p Position) (int64, error) {
	start, bound, err := s.extent(g, p)
	if err != nil {
		return 0, err
	}
	b, err := g.bytes(start, min(bound, start+lengthBytes))
	if err != nil {
		return 0, err
	}
	if _, n, _ := wal.ParseRecord(b); n > 0 && start+int64(n) <= bound {
		return start + int64(n), nil
	}
	return 0, g.corrupt(start, "record has an impossible length")
}
