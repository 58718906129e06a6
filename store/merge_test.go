package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// segmentFiles names the segment files of a directory.
func segmentFiles(t *testing.T, disk *vfs.Memory) (names []string) {
	t.Helper()
	all, err := disk.List(logDir)
	require.NoError(t, err)
	for _, name := range all {
		if _, ok := segmentNumber(name); ok {
			names = append(names, name)
		}
	}
	return names
}

func TestEndlessCheckpointingLeavesAFewFiles(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	most := 0
	for round := range 40 {
		checkpoints(t, s, 400*round, 400, 20, 900) // so that some segments have values that are present
		write(t, s, Batch{Events: eventsOf("a"), Sides: []SideWrite{{Key: fmt.Sprint("stays/", round), Value: make([]byte, 100)}}})
		most = max(most, len(segmentFiles(t, disk)))
	}
	require.Greater(t, s.Stats().Segment, uint32(200))
	require.LessOrEqual(t, most, 6)
	require.Less(t, usedBytes(t, s), int64(3*minSegmentBytes))
	require.Less(t, len(s.files.open), 10)
	s = reopen(t, s)
	require.Equal(t, 60, s.Stats().SideValues)
	require.Len(t, all(t, s, Region{}), 40)
	require.LessOrEqual(t, len(segmentFiles(t, disk)), 6)
}

// A segment that each writer leaves has its mark in it: of those that wrote nothing else that is
// still needed nothing is left.
func TestWritersThatLeftNothingTakeNoRoom(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	for round := range 150 {
		if round%2 == 0 {
			killStore(s)
		} else {
			require.NoError(t, s.Close())
		}
		s, err = open(s.fs, logDir, s.options, true)
		require.NoError(t, err)
		checkpoints(t, s, round, 10, 1, 4000)
	}
	sequence := s.Stats().Sequence
	first := (*s.segments.Load())[0]
	require.Greater(t, first.last, uint32(50))
	require.Less(t, first.trailer.Load().DataEnd, uint64(5000)) // one value
	sc, err := scanSegment(first, first.end.Load())
	require.NoError(t, err)
	require.Equal(t, first.trailer.Load().NextSequence, sc.next.Sequence)
	s = reopen(t, s)
	require.GreaterOrEqual(t, s.Stats().Sequence, sequence)
	require.True(t, strings.HasPrefix(sideText(s, "key/0"), "158:"))
}

func TestADeletionGoesOnceNoSegmentBeforeHasAValueOfItsKey(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	for i := range 500 {
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprint("brief/", i), Value: []byte("x")}}})
		checkpoints(t, s, i, 5, 1, 5000)
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprint("brief/", i), Delete: true}}})
	}
	for _, g := range *s.segments.Load() {
		if g.trailer.Load() != nil {
			require.NoError(t, g.eachSide(func(side index.Side) { require.False(t, side.Deleted, side.Key()) }))
		}
	}
	s = reopen(t, s)
	require.Equal(t, 1, s.Stats().SideValues)
}

// Of the deletions of a key in a row only the first one hides the value.
func TestOneDeletionIsEnoughToHideAValue(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	side := func(w SideWrite) { write(t, s, Batch{Sides: []SideWrite{w}}) }
	fillSides(t, s, "stays", 60, 900) // of a segment that is not rewritten
	side(SideWrite{Key: "key", Value: []byte("old")})
	deletions := 0
	for i := range 6 { // segments that are too large to be merged
		side(SideWrite{Key: "key", Delete: true})
		fillSides(t, s, fmt.Sprint("more/", i), 22, 900)
		for begun := s.Stats().Segment; s.Stats().Segment == begun; {
			checkpoints(t, s, 0, 1, 1, 3000)
		}
		side(SideWrite{Key: "key", Value: []byte("new")})
	}
	side(SideWrite{Key: "key", Delete: true})
	checkpoints(t, s, 0, 100, 1, 3000)
	for _, g := range *s.segments.Load() {
		if g.trailer.Load() != nil {
			require.NoError(t, g.eachSide(func(side index.Side) {
				if side.Deleted {
					deletions++
				}
			}))
		}
	}
	require.Greater(t, s.Stats().Segments, 5)
	require.Equal(t, 1, deletions)
	s = reopen(t, s)
	require.Equal(t, "-", sideText(s, "key"))
}

// Between the rename and the last removal there are files that another one stands for.
func TestFilesThatAnotherStandsForAreRemovedAtTheNextOpening(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a", "b")})
	var left []*vfs.Memory
	hook(s).renamed = func() {
		if len(segmentFiles(t, disk)) > 3 {
			left = append(left, disk.Image(vfs.KeepAll))
		}
	}
	s.rewriter.stop.Store(true)
	checkpoints(t, s, 0, 300, 3, 900)
	s.rewriter.stop.Store(false)
	checkpoints(t, s, 300, 100, 3, 900)
	require.NoError(t, s.Close())
	require.NotEmpty(t, left)
	for _, disk := range left {
		before := segmentFiles(t, disk)
		r, err := open(disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		found, of := digest(r), r.Stats()
		require.Less(t, of.Segments, len(before))
		require.NoError(t, r.Close())
		require.Equal(t, before, segmentFiles(t, disk), "a reader changes nothing")

		w, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
		require.NoError(t, err)
		require.Equal(t, found, digest(w))
		require.NoError(t, w.Close())
		for i, name := range segmentFiles(t, disk) {
			require.Equal(t, segmentName((*w.segments.Load())[i].number), name)
		}
	}
}

func TestAFileThatCannotBeRemovedIsLeftToTheNextOpening(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a", "b")})
	hook(s).removes = func(name string) error {
		if slices.Contains(segmentFiles(t, disk), name) {
			return syscall.EACCES
		}
		return nil
	}
	checkpoints(t, s, 0, 250, 3, 900)
	for range 6 { // segments of events, which are not merged: files are left on both sides of one that is
		write(t, s, Batch{Events: raw(Raw{Type: "large", Data: make([]byte, 25_000)}).Events})
	}
	checkpoints(t, s, 250, 250, 3, 900)
	want := digest(s)
	merged := 0
	for _, g := range *s.segments.Load() {
		if g.last > g.number {
			merged++
		}
	}
	require.Equal(t, 2, merged)
	require.Greater(t, len(segmentFiles(t, disk)), s.Stats().Segments+3)
	require.NoError(t, s.Close())
	s, err = open(disk, logDir, s.options, true)
	require.NoError(t, err)
	require.Equal(t, want, digest(s))
	require.Len(t, segmentFiles(t, disk), s.Stats().Segments)
	require.NoError(t, s.Close())
}

func TestFilesOfDifferentTimesAreNoStoreWhereSomeWereMerged(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	s.rewriter.stop.Store(true)
	checkpoints(t, s, 0, 400, 2, 900)
	early := disk.Image(vfs.KeepAll)
	s.rewriter.stop.Store(false)
	checkpoints(t, s, 400, 200, 2, 900)
	require.NoError(t, s.Close())
	require.Less(t, len(segmentFiles(t, disk)), len(segmentFiles(t, early)))
	first := segmentPath(logDir, 1)
	older := replaced(t, disk, first, early.Bytes(first)) // what it does not stand for is gone
	var corrupt *CorruptError
	for _, readOnly := range []bool{true, false} {
		_, err := open(older, logDir, Options{SegmentBytes: minSegmentBytes, ReadOnly: readOnly}, true)
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, uint32(2), corrupt.Segment)
	}
	// What it stands for is not looked at, whatever it is.
	rest := early
	for _, name := range segmentFiles(t, early)[:3] {
		rest = replaced(t, rest, filepath.Join(logDir, name), disk.Bytes(first))
	}
	_, err = open(rest, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
}

// A reader has the end of the log open, and what comes after it is in a file that stands for all.
func TestAReaderGoesOnWhereItsLastSegmentWasMerged(t *testing.T) {
	for _, ended := range []bool{false, true} { // the writer, before the reader looks again
		for _, own := range []int{maxOpenFiles, 1} { // files that the reader keeps open
			disk := vfs.NewMemory()
			s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
			require.NoError(t, err)
			write(t, s, Batch{Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "large", Value: make([]byte, 5000)}}})
			s.rewriter.stop.Store(true)
			checkpoints(t, s, 0, 200, 2, 900)
			r, err := open(disk, logDir, Options{ReadOnly: true}, true)
			require.NoError(t, err)
			tail := s.Stats().Segment
			_ = digest(r)
			s.rewriter.stop.Store(false)
			for i := range 20 {
				checkpoints(t, s, 200+20*i, 20, 2, 900)
				write(t, s, Batch{Events: eventsOf("a")})
			}
			require.Greater(t, (*s.segments.Load())[0].last, tail)
			want := digest(s)
			if ended {
				require.NoError(t, s.Close())
			}
			require.NoError(t, keepOpen(r, own))
			if own == 1 { // what it knows is read before it looks whether there is more
				require.NoError(t, keepOpen(r, 1))
				e, err := r.eventAt(1)
				require.NoError(t, err)
				require.Equal(t, "a", e.Coordinate.Entity)
			}
			require.Equal(t, want, digest(r), "writer ended %v, files %d", ended, own)
			require.Equal(t, uint64(22), version(t, r, "a")+version(t, r, "b"))
			require.NoError(t, r.Close())
			_ = s.Close()
		}
	}
}

// A history in which files are rewritten and merged now and then, or not at all, is the same to all
// who read it: events to the byte, side values, keys.
func TestMergingChangesNothingThatCanBeRead(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d", seed)
	merged := uint32(0)
	for history := range uint64(2) {
		h := &mergedHistory{Rand: rand.New(rand.NewPCG(seed, history)), t: t, sides: map[string]string{}}
		h.open(vfs.NewMemory())
		for range 15 {
			h.round()
		}
		for _, g := range *h.s.segments.Load() {
			merged += g.last - g.number
		}
		h.check(h.s)
		require.NoError(t, h.s.Close())
	}
	require.Greater(t, merged, uint32(8))
}

type mergedHistory struct {
	*rand.Rand
	t     *testing.T
	disk  *vfs.Memory
	s     *Store
	sides map[string]string
	keys  []Batch
	ids   []Event
}

func (h *mergedHistory) open(disk *vfs.Memory) {
	var err error
	h.disk = disk
	h.s, err = open(disk, logDir, Options{SegmentBytes: minSegmentBytes, sidesOnDisk: h.IntN(2) == 0}, true)
	require.NoError(h.t, err)
}

// round commits beside a reader that is there from its beginning, with rewriting or without, and
// may end with another opening.
func (h *mergedHistory) round() {
	r, err := open(h.disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(h.t, err)
	h.s.rewriter.stop.Store(h.IntN(3) > 0)
	for range 10 + h.IntN(60) {
		h.commit()
	}
	h.s.rewriter.stop.Store(false)
	if h.IntN(2) == 0 {
		require.NoError(h.t, keepOpen(r, 1+h.IntN(3)))
	}
	h.check(r)
	switch h.IntN(4) {
	case 0:
		h.check(h.s)
		require.NoError(h.t, h.s.Close())
		h.open(h.disk)
	case 1:
		killStore(h.s)
		h.open(h.disk.Image(vfs.KeepAll))
	}
	h.check(h.s)
	require.NoError(h.t, r.Close())
}

func (h *mergedHistory) commit() {
	b := Batch{}
	for range 1 + h.IntN(3) {
		w := SideWrite{Key: fmt.Sprint("key/", h.IntN(12))}
		if slices.ContainsFunc(b.Sides, func(other SideWrite) bool { return other.Key == w.Key }) {
			continue
		}
		if h.IntN(5) == 0 {
			w.Delete = true
			delete(h.sides, w.Key)
		} else {
			w.Value = bytes.Repeat([]byte{byte(h.IntN(256))}, []int{10, 700, 3000}[h.IntN(3)])
			h.sides[w.Key] = string(w.Value)
		}
		b.Sides = append(b.Sides, w)
	}
	if h.IntN(4) == 0 {
		b.Events = eventsOf(fmt.Sprint("e:", h.IntN(5)), fmt.Sprint("e:", h.IntN(5)))
	}
	if len(b.Events) > 0 && h.IntN(2) == 0 {
		b.IdempotencyKey = fmt.Sprint("k", len(h.keys))
	}
	receipt := write(h.t, h.s, b)
	if b.IdempotencyKey != "" {
		b.Sides = nil
		h.keys = append(h.keys, b)
	}
	if len(b.Events) > 0 {
		for p := receipt.Position() - 1; p <= receipt.Position(); p++ {
			e, err := h.s.GetAt(h.t.Context(), p)
			require.NoError(h.t, err)
			h.ids = append(h.ids, e)
		}
	}
}

// check compares all that a store has.
func (h *mergedHistory) check(s *Store) {
	h.t.Helper()
	found := map[string]string{}
	for v, err := range s.Sides("") {
		require.NoError(h.t, err)
		found[v.Key] = string(v.Value)
	}
	require.Equal(h.t, len(h.sides), len(found))
	for key, value := range h.sides {
		require.True(h.t, found[key] == value && sideText(s, key) == value, key)
	}
	events := all(h.t, s, Region{})
	require.Len(h.t, events, len(h.ids))
	for i := range events {
		require.Equal(h.t, h.ids[i].record, events[i].record)
	}
	if s == h.s && len(h.keys) > 0 {
		b := h.keys[h.IntN(len(h.keys))]
		require.True(h.t, write(h.t, s, b).Duplicate)
	}
	of := fmt.Sprint("e:", h.IntN(5))
	require.Len(h.t, all(h.t, s, Region{Entity: of}), int(version(h.t, s, of)))
}

// tiers is a store of sealed segments that exist in their trailers alone.
func tiers(sizes ...int64) *Store {
	s := newStore(vfs.NewMemory(), logDir, Options{SegmentBytes: 1 << 20}, true)
	for i, size := range sizes {
		g := newSegment(uint32(i+1), &s.files)
		g.generation = 1
		g.trailer.Store(&wal.Trailer{Version: wal.Version, DataEnd: uint64(size)})
		s.addSegment(g)
	}
	return s
}

func TestSegmentsOfLikeSizeAreMerged(t *testing.T) {
	for _, c := range []struct {
		sizes    []int64
		from, to int // numbers; 0 for none
	}{
		{[]int64{500}, 0, 0},
		{[]int64{500, 500}, 1, 2},
		{[]int64{2000, 500}, 0, 0},
		{[]int64{1000, 500}, 1, 2},
		{[]int64{500, 1 << 18}, 1, 2},
		{[]int64{8000, 4000, 2000, 1000}, 1, 4},
		{[]int64{9000, 1000, 100, 100}, 3, 4},
		{[]int64{1 << 18, 1 << 18, 1 << 18}, 2, 3}, // half a segment at most
		{[]int64{1 << 18, 1 << 18, 1000}, 1, 2},
		{[]int64{1 << 19, 1 << 19}, 0, 0},
	} {
		parts := tiers(c.sizes...).nextRewriting()
		from, to := 0, 0
		if parts != nil {
			from, to = int(parts[0].number), int(parts[len(parts)-1].number)
		}
		require.Equal(t, [2]int{c.from, c.to}, [2]int{from, to}, "%v", c.sizes)
	}
	s := tiers(500, 500, 500)
	(*s.segments.Load())[1].generation = 0 // full of events
	require.Nil(t, s.nextRewriting())
}

// Deletions seem superseded, and all of them may have to stay: offsets in a file have 32 bits, and
// the next opening refuses one that is larger than a segment can be.
func TestSegmentsAreNotMergedIntoOneThatMayBeTooLarge(t *testing.T) {
	s := tiers(300<<20, 300<<20, 300<<20, 300<<20, 300<<20)
	for _, g := range *s.segments.Load() {
		g.trailer.Load().SideBytes = 300 << 20
	}
	require.Len(t, s.nextRewriting(), 3)
}

// Whatever comes, in whatever order, is written some log2 times, and stays in few files.
func TestMergingIsAmortized(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i int) int64{
		"alike":       func(int) int64 { return 1000 },
		"random":      func(int) int64 { return 200 + random.Int64N(20_000) },
		"alternating": func(i int) int64 { return []int64{200, 100_000}[i%2] },
		"rare":        func(i int) int64 { return []int64{200, 400_000}[min(1, i%50/49)] },
	} {
		s, total, moved := tiers(), int64(0), int64(0)
		for i := range 2000 {
			g := newSegment(uint32(i+1), &s.files)
			g.generation = 1
			size := next(i)
			total += size
			g.trailer.Store(&wal.Trailer{Version: wal.Version, DataEnd: uint64(size)})
			s.addSegment(g)
			for parts := s.nextRewriting(); parts != nil; parts = s.nextRewriting() {
				sum := int64(0)
				for _, part := range parts {
					sum += int64(part.trailer.Load().DataEnd)
				}
				one := newSegment(parts[0].number, &s.files)
				one.generation, one.last = 1, parts[len(parts)-1].last
				one.trailer.Store(&wal.Trailer{Version: wal.Version, DataEnd: uint64(sum)})
				s.exchange(parts, one)
				moved += sum
			}
		}
		large := total / (s.options.SegmentBytes / 2)
		require.Less(t, int64(len(*s.segments.Load())), 4*large+20, name)
		require.Less(t, moved, 12*total, name)
		t.Logf("%s: %d files, %.1f times", name, len(*s.segments.Load()), float64(moved)/float64(total))
	}
}

// failingFile cannot be read after its header.
type failingFile struct {
	vfs.File
	times *int
}

func (f failingFile) ReadAt(b []byte, off int64) (int, error) {
	if off > 0 && off < 30<<10 {
		*f.times++
		return 0, syscall.EIO
	}
	return f.File.ReadAt(b, off)
}

func TestASegmentThatCannotBeReadKeepsNoOtherWaitingAndIsTriedAgain(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	s.rewriter.stop.Store(true)
	checkpoints(t, s, 0, 400, 2, 900)
	s.rewriter.stop.Store(false)
	tries := 0
	d := hook(s)
	d.opened = func(name string, f vfs.File) vfs.File {
		if name == segmentName(3) {
			return failingFile{f, &tries}
		}
		return f
	}
	s.files.closeIdle()
	s.rewriteAll() // one pass
	require.Positive(t, s.numbered(1).generation)
	require.Positive(t, s.numbered(4).generation)
	checkpoints(t, s, 400, 2000, 2, 900)
	require.Zero(t, s.numbered(3).generation)
	require.Positive(t, s.numbered(1).generation)
	require.LessOrEqual(t, s.Stats().Segments, 5)
	require.ErrorIs(t, s.Stats().Rewriting, syscall.EIO)
	require.Greater(t, tries, 2)
	require.Less(t, tries, 8, "less and less often")

	d.opened = nil
	s.files.closeIdle()
	checkpoints(t, s, 2400, 3000, 2, 900)
	require.Positive(t, s.numbered(3).generation)
	require.NoError(t, s.Stats().Rewriting)
	require.Equal(t, 2, reopen(t, s).Stats().SideValues)
}

func TestAFileThatCannotBeReplacedKeepsNoOtherWaiting(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	fillSides(t, s, "stays", 20, 900)
	d := hook(s)
	d.renames = func(to string) error {
		if to == segmentName(1) { // a reader has it open, on a system where that counts
			return &fs.PathError{Op: "rename", Path: to, Err: syscall.EACCES}
		}
		return nil
	}
	checkpoints(t, s, 0, 1000, 2, 900)
	require.Zero(t, generations(s)[0])
	require.Positive(t, generations(s)[1])
	require.LessOrEqual(t, s.Stats().Segments, 5)
	require.ErrorIs(t, s.Stats().Rewriting, syscall.EACCES)
	d.renames = nil
	checkpoints(t, s, 1000, 4000, 2, 900)
	require.Positive(t, generations(s)[0])
	require.NoError(t, s.Stats().Rewriting)
	s = reopen(t, s)
	require.Equal(t, 22, s.Stats().SideValues)
}

// The number of commits of one batch has 32 bits, and endless checkpointing has more.
func TestABatchCountsNoMoreCommitsThanItCan(t *testing.T) {
	disk := vfs.NewMemory()
	require.NoError(t, disk.MkdirAll(logDir, ownerOnly))
	out, err := disk.Create(filepath.Join(logDir, "x"))
	require.NoError(t, err)
	h := wal.SegmentHeader{Version: wal.Version, Segment: 1, Last: 1, FirstPosition: 1, FirstSequence: 1}
	g := newSegment(1, nil)
	r := &rewriting{out: out, from: g, scan: newScan(g, &h)}
	for i := range uint64(4) {
		batch := wal.BatchHeader{Segment: 1, FirstSequence: 1 + i*(math.MaxUint32/2), FirstPosition: 1, Commits: math.MaxUint32 / 2, Flags: wal.FlagRewritten}
		require.NoError(t, r.add(&batch, make([]byte, wal.BatchHeaderSize)))
	}
	require.NoError(t, r.flush())
	require.Equal(t, int64(wal.SegmentHeaderSize+2*wal.BatchHeaderSize), r.scan.next.Offset)
	require.Equal(t, uint64(1+4*(math.MaxUint32/2)), r.scan.next.Sequence)
}

func TestASegmentThatIsGoneAndThatNoneStandsForIsDamage(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncNever))
	grow(t, s, 4)
	r, err := open(disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	require.NoError(t, disk.Remove(segmentPath(logDir, 2)))
	require.NoError(t, keepOpen(r, 1))
	var corrupt *CorruptError
	_, err = r.GetAt(t.Context(), (*r.segments.Load())[1].first)
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, uint32(2), corrupt.Segment)
	require.False(t, errors.Is(err, ErrNotFound))
	require.NoError(t, r.Close())
}

// A process dies between the rename and the sync of the directory, and the power fails while the
// next one opens: the files that go must not go before the one that stands for them is there.
func TestAPowerCutWhileFilesAreRemovedThatAnotherStandsFor(t *testing.T) {
	for cut, done := 1, false; !done; cut++ {
		disk := vfs.NewMemory()
		s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
		require.NoError(t, err)
		write(t, s, Batch{Events: eventsOf("a", "b")})
		s.rewriter.stop.Store(true)
		checkpoints(t, s, 0, 200, 2, 900)
		s.rewriter.stop.Store(false)
		d := hook(s)
		d.renamed = func() { d.syncs = syscall.EIO }
		for d.syncs == nil {
			checkpoints(t, s, 200, 1, 2, 900)
		}
		write(t, s, Batch{Events: eventsOf("c")})
		want := digest(s)
		killStore(s)
		require.Greater(t, len(segmentFiles(t, disk)), s.Stats().Segments)
		at := disk.Ops() + cut
		disk.CutAt(at)
		if s, err = open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true); err == nil {
			killStore(s)
		}
		done = disk.Ops() < at
		for seed := range uint64(8) {
			s, err := open(disk.Image(seed), logDir, Options{SegmentBytes: minSegmentBytes}, true)
			require.NoError(t, err, "operation %d, image %d", cut, seed)
			require.Equal(t, want, digest(s))
			require.NoError(t, s.Close())
		}
	}
}
