package store

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// segment is one file of the log as readers see it. A position p of the segment has the ordinal
// p - first.
//
// Ownership: number, last, generation, first, dropped, lastEvent and files are set before readers
// know the segment and never change. file is what files keeps open of it; former belongs to the
// holder of Store.renewing. The other three atomic fields are written by one goroutine at a time
// (the holder of the committer's role while the segment is active, then the task that seals it,
// then the holder of indexCache.mu for index; in a read-only store the holder of follower.mu) and
// read by all. There is no lock between a reader and the writer, for these reasons:
//
//   - bytes before end are never written again, so what a reader finds there stays; only Open,
//     which has no readers yet, writes again what is there already;
//   - end grows only after the bytes are written, and the head of the store only after end;
//   - the index may know events after the head, so a reader asks it below the head only;
//   - trailer is stored before index becomes nil, so one of the two is always there to answer from,
//     and both lead to the same answers. A reader that still holds the index it loaded before may
//     continue with it: indexes of finished segments do not change.
//
// A reader that runs into Store.release gets fs.ErrClosed, which becomes ErrClosed.
type segment struct {
	number     uint32
	last       uint32 // number of the last segment that it stands for: its own, but where some were merged
	generation uint32 // of its file; anyGeneration until its header is read
	first      Position
	dropped    bool      // its events were, by retention: it has what stays of them
	lastEvent  uuid.UUID // that was dropped, zero where there was none
	files      *fileCache
	file       atomic.Pointer[openFile] // nil while it is not open for readers
	end        atomic.Int64             // readers may look at the bytes before it

	// mapping belongs to mappingCache, nil while the file is not mapped; sparse counts the small
	// reads meanwhile.
	mapping atomic.Pointer[mapping]
	sparse  atomic.Int32

	// index is the growing index of the active segment, or the index of a sealed one; nil while it
	// is not open.
	index atomic.Pointer[loadedIndex]
	// former is set while side values are looked up that lie at other places in this file than in the
	// one of former, which it has replaced.
	former atomic.Pointer[segment]
	// trailer is set when the segment is sealed, before index is dropped.
	trailer atomic.Pointer[wal.Trailer]
}

const segmentSuffix = ".seg"

func segmentName(number uint32) string { return fmt.Sprintf("%010d%s", number, segmentSuffix) }

// standingFor returns the one of some segments that a number belongs to, nil if there is none.
func standingFor(segments []*segment, number uint32) *segment {
	i := sort.Search(len(segments), func(i int) bool { return segments[i].last >= number })
	if i == len(segments) || segments[i].number > number {
		return nil
	}
	return segments[i]
}

// segmentNumber is the reverse of segmentName.
func segmentNumber(name string) (uint32, bool) {
	digits, isSegment := strings.CutSuffix(name, segmentSuffix)
	if !isSegment || len(digits) != 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && n > 0
}

// is takes in what the header of its file says of a segment.
func (g *segment) is(h *wal.SegmentHeader) {
	g.generation, g.last, g.first, g.dropped, g.lastEvent = h.Generation, h.Last, Position(h.FirstPosition), h.Dropped, h.LastEvent
}

func (g *segment) corrupt(offset int64, reason string) error {
	return &CorruptError{Segment: g.number, Offset: offset, Reason: reason}
}

// bytes reads [from, to) of the file into fresh memory, which its caller may hand out: payloads of
// events point into it and keep it alive.
func (g *segment) bytes(from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	if err := g.read(b, from); err != nil {
		return nil, err
	}
	return b, nil
}

// read fills b from an offset of the file on.
func (g *segment) read(b []byte, from int64) error {
	_, err := g.ReadAt(b, from)
	if errors.Is(err, io.EOF) && from+int64(len(b)) <= g.end.Load() {
		return g.corrupt(from, "file ends before what was written")
	}
	return err
}

// ReadAt fills b from an offset of the file on. Fewer bytes are an error that names the segment.
func (g *segment) ReadAt(b []byte, from int64) (int, error) {
	if m := g.mappingFor(len(b)); m != nil && from+int64(len(b)) <= g.end.Load() {
		if n, err := m.ReadAt(b, from); err == nil {
			return n, nil
		}
		g.files.mappings.forget(g) // what is wrong with it the file itself says
	}
	file, err := g.hold()
	if err != nil {
		return 0, err
	}
	defer file.drop()
	n, err := file.ReadAt(b, from)
	if n < len(b) {
		return n, fmt.Errorf("store: read segment %d at %d: %w", g.number, from, err)
	}
	return n, nil
}

// pieces shows the first size bytes of the file.
func (g *segment) pieces(size int64) *wal.Pieces { return wal.NewPieces(g, size) }

// size is that of the file.
func (g *segment) size() (int64, error) {
	file, err := g.hold()
	if err != nil {
		return 0, err
	}
	defer file.drop()
	return file.Size()
}

// firstRecordBytes is read of a record whose length is not known yet.
const firstRecordBytes = 512

// record reads and checks the record at an offset. It reads no more than end allows, so a length
// that was damaged into a large one costs no more memory than the segment.
func (g *segment) record(offset int64) ([]byte, error) {
	end := g.end.Load()
	if offset < wal.SegmentHeaderSize || offset >= end {
		return nil, g.corrupt(offset, "no record here")
	}
	b, err := g.bytes(offset, min(end, offset+firstRecordBytes))
	if err != nil {
		return nil, err
	}
	rec, n, err := wal.ParseRecord(b)
	if err == nil {
		return rec, nil
	}
	if n > len(b) && int64(n) <= end-offset {
		if b, err = g.bytes(offset, offset+int64(n)); err != nil {
			return nil, err
		}
		if rec, _, err = wal.ParseRecord(b); err == nil {
			return rec, nil
		}
	}
	return nil, g.corrupt(offset, "record does not match its checksum")
}

// setActive returns the segment its growing index.
func (g *segment) setActive(a index.Index) { g.index.Store(&loadedIndex{Index: a}) }
