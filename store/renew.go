package store

import (
	"errors"
	"fmt"
	"io/fs"
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
//
// A file may also stand for several segments that follow each other, and has the number of the
// first then; the files of the others are gone. A reader that does not find one of them looks at
// those before.

// anyGeneration is that of a segment whose header was not read yet.
const anyGeneration = math.MaxUint32

// newSegment is a segment of which no more than the number is known.
func newSegment(number uint32, files *fileCache) *segment {
	return &segment{number: number, last: number, files: files, generation: anyGeneration}
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
	failed := s.renew(replaced.segment)
	if errors.Is(failed, errAhead) {
		*err = s.follower.loadAgain(s, replaced.segment)
		return *err == nil
	}
	if failed != nil && !isReplaced(failed) {
		*err = failed
		return false
	}
	return true
}

// errAhead is that a file stands for the last segment that a follower knows, and so maybe for what
// it has not taken in yet. Side values that it took in later would be looked for at the places of
// files that are gone, and events would be found after the head: so it loads the log again.
var errAhead = errors.New("store: the file of a segment has more of the log than is known")

// renew puts a segment of what is in the file now in the place of old, and of those that the file
// stands for, too, unless that was done.
func (s *Store) renew(old *segment) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	if s.numbered(old.number) != old {
		return nil
	}
	g, all, err := s.reopened(old)
	if segments := *s.segments.Load(); err == nil && s.follower != nil && g.last >= segments[len(segments)-1].number {
		err = errAhead
	}
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
	s.exchange(all, g)
	for i := range places {
		s.sides.move(&places[i])
	}
	g.former.Store(nil)
	for _, old := range all {
		s.files.forget(old)
		s.files.mappings.forget(old) // else it keeps the room of the file that is gone
		s.indexes.forget(old)
	}
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

// numbered returns the segment as readers know it that a number belongs to, nil if there is none.
func (s *Store) numbered(number uint32) *segment { return standingFor(*s.segments.Load(), number) }

// reopened makes a segment of the file that has replaced that of old, and returns all known
// segments that it stands for. It must be the same part of the same log. A store that follows a
// writer may not know all of it yet, see errAhead.
func (s *Store) reopened(old *segment) (g *segment, all []*segment, err error) {
	segments := *s.segments.Load()
	at := slices.Index(segments, old)
	var h wal.SegmentHeader
	for ; ; at-- {
		g = newSegment(segments[at].number, old.files)
		if h, err = g.header(); at == 0 || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return g, nil, err
	}
	if h.Store != s.origin.Store || h.Segment != g.number || Position(h.FirstPosition) != segments[at].first {
		return g, nil, g.corrupt(0, "header of a file that was rewritten is that of another")
	}
	if h.Last < old.number {
		return g, nil, old.corrupt(0, "segment file is missing")
	}
	g.is(&h)
	for _, old := range segments[at:] {
		if old.number <= g.last {
			all = append(all, old)
		}
	}
	return g, all, g.load(all[len(all)-1])
}

// load takes in the trailer of a file that was replaced. was is the last segment that is known of
// what is in it.
func (g *segment) load(was *segment) error {
	size, err := g.size()
	if err != nil {
		return err
	}
	t, ok := readTrailer(g, size)
	if ok && was.last == g.last {
		old := was.trailer.Load()
		ok = old == nil || t.NextPosition == old.NextPosition && t.NextSequence == old.NextSequence
	}
	if !ok {
		return g.corrupt(size, "footer of a file that was rewritten is not good")
	}
	g.end.Store(int64(t.DataEnd))
	g.trailer.Store(&t)
	return nil
}

// header reads the header of a segment that was started.
func (g *segment) header() (h wal.SegmentHeader, err error) {
	b, err := g.bytes(0, wal.SegmentHeaderSize)
	if err != nil {
		return h, err
	}
	h, err = wal.ParseSegmentHeader(b)
	if errors.Is(err, wal.ErrNewer) {
		return h, fmt.Errorf("segment %d: %w", g.number, ErrNewerFormat)
	}
	if err != nil {
		return h, g.corrupt(0, "segment header: "+err.Error())
	}
	return h, nil
}
