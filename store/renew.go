package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// A sealed segment may be rewritten, by the writer in this process or in another one: its file is
// replaced by one of the next generation, which has the same events at other offsets. A segment as
// readers know it is always of one generation. As long as its file is open, they read what was
// there; once it is opened again, the header tells, and the store makes another segment of what is
// there now and puts it in the place of the former one. What failed is then tried again. So nothing
// that is read is ever of two generations, and a file that was replaced never looks like damage.

// anyGeneration is that of a segment whose header was not read yet.
const anyGeneration = math.MaxUint32

// newSegment is a segment of which no more than the number is known.
func newSegment(number uint32, files *fileCache) *segment {
	return &segment{number: number, files: files, generation: anyGeneration}
}

// replacedError is the error of a read from a segment whose file was replaced. It is never the
// caller's: see again.
type replacedError struct{ segment *segment }

func (e *replacedError) Error() string {
	return fmt.Sprintf("store: segment %d was rewritten", e.segment.number)
}

// isOf reports whether a file is the one that the segment was made of. One without a good header
// says nothing: it is that of a segment which is not started yet, or damaged.
func (g *segment) isOf(file vfs.File) bool {
	if g.generation == anyGeneration {
		return true
	}
	b := make([]byte, wal.SegmentHeaderSize)
	if n, _ := file.ReadAt(b, 0); n < len(b) {
		return true
	}
	h, err := wal.ParseSegmentHeader(b)
	return err != nil || h.Generation == g.generation
}

// again reports whether what failed with err has to be tried again, with the segments as they are
// now. It may replace err by the reason why they cannot be known.
func (s *Store) again(err *error) bool {
	var replaced *replacedError
	if *err == nil || !errors.As(*err, &replaced) {
		return false
	}
	if failed := s.renew(replaced.segment); failed != nil && !errors.As(failed, &replaced) {
		*err = failed
		return false
	}
	return true
}

// renew puts a segment of what is in the file now in the place of old, unless that was done.
func (s *Store) renew(old *segment) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	if s.numbered(old.number) != old {
		return nil
	}
	g, err := s.reopened(old)
	if err != nil {
		s.files.forget(g)
		return err
	}
	places, err := g.places()
	if err != nil {
		s.files.forget(g)
		return err
	}
	g.former.Store(old)
	s.exchange(old, g)
	for i := range places {
		s.sides.move(&places[i])
	}
	g.former.Store(nil)
	s.files.forget(old)
	s.files.mappings.forget(old) // else it keeps the room of the file that is gone
	s.indexes.forget(old)
	return nil
}

// places returns where the side values of a sealed segment lie.
func (g *segment) places() (places []index.Side, err error) {
	err = g.eachSide(func(side index.Side) {
		if !side.Deleted {
			places = append(places, side)
		}
	})
	if err == nil || isReplaced(err) {
		return places, err
	}
	sc, err := scanSegment(g, g.end.Load())
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Values(sc.sides)), nil
}

// numbered returns the segment with a number as readers know it, nil if there is none.
func (s *Store) numbered(number uint32) *segment {
	segments := *s.segments.Load()
	if len(segments) == 0 || number < segments[0].number || int(number-segments[0].number) >= len(segments) {
		return nil
	}
	return segments[number-segments[0].number]
}

// reopened makes a segment of the file that has replaced that of old. It must be the same part of
// the same log.
func (s *Store) reopened(old *segment) (*segment, error) {
	g := newSegment(old.number, old.files)
	b, err := g.bytes(0, wal.SegmentHeaderSize)
	if err != nil {
		return g, err
	}
	h, err := wal.ParseSegmentHeader(b)
	if errors.Is(err, wal.ErrNewer) {
		return g, fmt.Errorf("segment %d: %w", g.number, ErrNewerFormat)
	}
	if err != nil || h.Store != s.origin.Store || h.Segment != g.number || Position(h.FirstPosition) != old.first {
		return g, g.corrupt(0, "header of a file that was rewritten is that of another")
	}
	g.generation, g.first = h.Generation, old.first
	size, err := g.size()
	if err != nil {
		return g, err
	}
	t, ok := readTrailer(g, size)
	if was := old.trailer.Load(); !ok || was != nil && (t.NextPosition != was.NextPosition || t.NextSequence != was.NextSequence) {
		return g, g.corrupt(size, "footer of a file that was rewritten is not good")
	}
	g.end.Store(int64(t.DataEnd))
	g.trailer.Store(&t)
	return g, nil
}
