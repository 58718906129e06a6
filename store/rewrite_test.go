package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// usedBytes is the size of all segments of a directory, but for what is filled ahead.
func usedBytes(t *testing.T, s *Store) (n int64) {
	t.Helper()
	for _, g := range *s.segments.Load() {
		if g.trailer.Load() == nil {
			n += g.end.Load()
			continue
		}
		size, err := g.size()
		require.NoError(t, err)
		n += size
	}
	return n
}

// generations of the segments that a store knows.
func generations(s *Store) (all []uint32) {
	for _, g := range *s.segments.Load() {
		all = append(all, g.generation)
	}
	return all
}

// checkpoints commits n side values of so many keys.
func checkpoints(t *testing.T, s *Store, from, n, keys, size int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		value := append(fmt.Appendf(nil, "%d:", i), bytes.Repeat([]byte{byte(i)}, size)...)
		_, err := s.Commit(t.Context(), Batch{Lazy: true, Sides: []SideWrite{{Key: fmt.Sprintf("key/%d", i%keys), Value: value}}})
		require.NoError(t, err)
	}
}

func TestEndlessCheckpointingTakesABoundedDisk(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		s, err := open(vfs.NewMemory(), logDir, Options{Sync: mode, SegmentBytes: minSegmentBytes}, true)
		require.NoError(t, err)
		first := write(t, s, Batch{IdempotencyKey: "first", Events: eventsOf("a", "b")})
		before := all(t, s, Region{})
		checkpoints(t, s, 0, 20_000, 10, 1000)
		require.Greater(t, s.Stats().Segment, uint32(300))
		require.LessOrEqual(t, s.Stats().Segments, 3)
		require.Less(t, usedBytes(t, s), int64(2*minSegmentBytes), "%v", mode)
		require.Equal(t, before, all(t, s, Region{}))

		s = reopen(t, s)
		require.Equal(t, before, all(t, s, Region{}))
		require.Equal(t, 10, s.Stats().SideValues)
		for i := range 10 {
			require.True(t, strings.HasPrefix(sideText(s, fmt.Sprintf("key/%d", i)), fmt.Sprintf("%d:", 19_990+i)))
		}
		again := write(t, s, Batch{IdempotencyKey: "first", Events: eventsOf("a", "b")})
		require.True(t, again.Duplicate)
		require.Equal(t, first.Events, again.Events)
		require.NoError(t, s.Close())
	}
}

// What most checkpoints take is the header of their batch.
func TestEndlessCheckpointingOfSmallValuesTakesABoundedDisk(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a", "b")})
	for i := range 20_000 {
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k", Value: fmt.Append(nil, i)}}})
	}
	require.Greater(t, s.Stats().Segment, uint32(20))
	require.LessOrEqual(t, s.Stats().Segments, 3)
	require.Less(t, usedBytes(t, s), int64(2*minSegmentBytes))
	require.NoError(t, s.Close())
	s, err = open(disk, logDir, s.options, true)
	require.NoError(t, err)
	require.Equal(t, "19999", sideText(s, "k"))
	require.Len(t, all(t, s, Region{}), 2)

	// Small values that stay are next to nothing, too, once they lie side by side.
	for i := range 2000 {
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: fmt.Sprint(i), Value: []byte("x")}}})
	}
	before := generations(s)
	s.rewriteAll()
	require.Equal(t, before, generations(s), "and then there is no more to save")
	require.Equal(t, 2001, reopen(t, s).Stats().SideValues)
}

func TestEventsAndKeysOfARewrittenSegmentAreTheSameBytes(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	var want []Event
	for i := range 60 {
		write(t, s, Batch{IdempotencyKey: fmt.Sprint(i), Events: eventsOf("a", fmt.Sprint(i))})
		checkpoints(t, s, 10*i, 10, 3, 500)
		want = all(t, s, Region{})
	}
	require.Greater(t, slices.Max(generations(s)), uint32(1))
	s = reopen(t, s)
	got := all(t, s, Region{})
	require.Len(t, got, len(want))
	for i := range got {
		require.Equal(t, want[i].record, got[i].record, "event %d", i+1)
	}
	requireChains(t, got)
	for i := range 60 {
		require.True(t, write(t, s, Batch{IdempotencyKey: fmt.Sprint(i), Events: eventsOf("a", fmt.Sprint(i))}).Duplicate)
	}
	require.NoError(t, s.Close())
}

func TestADeletionStaysAsLongAsAnOlderSegmentHasTheKey(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	// The first segment is full of values that stay, so that it is not rewritten.
	for i := range 60 {
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprintf("stays/%d", i), Value: make([]byte, 900)}}})
	}
	write(t, s, Batch{Sides: []SideWrite{{Key: "gone", Value: []byte("old")}}})
	checkpoints(t, s, 0, 100, 1, 500)
	write(t, s, Batch{Sides: []SideWrite{{Key: "gone", Delete: true}, {Key: "brief", Value: []byte("x")}}})
	write(t, s, Batch{Sides: []SideWrite{{Key: "brief", Delete: true}}})
	checkpoints(t, s, 0, 2000, 1, 500)
	require.Zero(t, generations(s)[0])
	require.Positive(t, slices.Max(generations(s)))
	deletions := func() (keys []string) {
		for _, g := range *s.segments.Load() {
			if g.trailer.Load() != nil {
				sc, err := scanSegment(g, g.end.Load())
				require.NoError(t, err)
				for _, side := range sc.sides {
					if side.Deleted {
						keys = append(keys, side.Key())
					}
				}
			}
		}
		return keys
	}
	require.Equal(t, []string{"gone"}, deletions(), "it hides a value, the other hides none")
	s = reopen(t, s)
	require.Equal(t, "-", sideText(s, "gone"))
	require.Equal(t, "-", sideText(s, "brief"))
	require.NoError(t, s.Close())
}

func TestAFooterOfARewrittenSegmentIsRebuiltFromItsBatches(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a", "b", "c")})
	checkpoints(t, s, 0, 400, 2, 500)
	want, sequence := all(t, s, Region{}), s.Stats().Sequence
	generation := generations(s)[0]
	require.Greater(t, generation, uint32(1))
	require.NoError(t, s.Close())

	name := segmentPath(logDir, 1)
	content := disk.Bytes(name)
	cut := replaced(t, disk, name, content[:len(content)-wal.TrailerSize])
	for range 2 {
		r, err := open(cut, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		require.Equal(t, want, all(t, r, Region{}))
		require.NoError(t, r.Close())
		s, err = open(cut, logDir, Options{SegmentBytes: minSegmentBytes}, true)
		require.NoError(t, err)
		require.Equal(t, want, all(t, s, Region{}))
		require.Equal(t, sequence, s.Stats().Sequence)
		require.Equal(t, generation, generations(s)[0])
		require.NoError(t, s.Close())
	}
	// A batch that is damaged is damage, with a footer and without.
	for _, size := range []int{len(content), len(content) - wal.TrailerSize} {
		bad := bytes.Clone(content[:size])
		bad[wal.SegmentHeaderSize+200] ^= 1
		s, err = open(replaced(t, disk, name, bad), logDir, Options{SegmentBytes: minSegmentBytes}, true)
		if err == nil {
			_, err = s.GetAt(t.Context(), 1)
		}
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestAReaderBesideAWriterGoesOnOverSegmentsThatAreRewritten(t *testing.T) {
	for _, own := range []int{maxOpenFiles, 1} { // files that the reader keeps open
		disk := vfs.NewMemory()
		s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
		require.NoError(t, err)
		write(t, s, Batch{IdempotencyKey: "k", Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "large", Value: make([]byte, 5000)}}})
		readers := make([]*Store, 3)
		for i := range readers {
			readers[i], err = open(disk, logDir, Options{ReadOnly: true}, true)
			require.NoError(t, err)
		}
		rewritten := uint32(0)
		for round := range 30 {
			r := write(t, s, Batch{
				Events: eventsOf("a", fmt.Sprint(round)),
				Sides:  []SideWrite{{Key: "mark", Value: append(fmt.Appendf(nil, "%d ", s.Head()+2), make([]byte, 300)...)}},
			})
			checkpoints(t, s, 100*round, 60, 3, 900)
			rewritten = max(rewritten, slices.Max(generations(s)))
			for i, reader := range readers {
				if round%(5*i+1) > 0 { // some are behind
					continue
				}
				require.NoError(t, keepOpen(reader, own))
				requireSameLog(t, s, reader)
				for _, key := range []string{"mark", "large", "key/0", "key/1", "key/2"} {
					want, _, err := s.Side(key)
					require.NoError(t, err)
					got, found, err := reader.Side(key)
					require.NoError(t, err)
					require.True(t, found)
					require.Equal(t, want, got)
				}
				e, err := reader.GetAt(t.Context(), r.Position())
				require.NoError(t, err)
				require.Equal(t, r.Events[len(r.Events)-1].ID, e.ID)
				n, err := reader.Version(t.Context(), "a")
				require.NoError(t, err)
				require.Equal(t, version(t, s, "a"), n)
			}
		}
		require.Positive(t, rewritten)
		for _, reader := range readers {
			require.LessOrEqual(t, len(reader.files.open), maxOpenFiles)
			require.NoError(t, reader.Close())
		}
		require.NoError(t, s.Close())
	}
}

// keepOpen closes all files but so many that a store has open for readers.
func keepOpen(s *Store, n int) error {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	for len(s.files.open) > n-1 {
		s.files.dropAt(0)
	}
	return nil
}

func requireSameLog(t *testing.T, want, got *Store) {
	t.Helper()
	a, b := all(t, want, Region{}), all(t, got, Region{})
	require.Len(t, b, len(a))
	for i := range a {
		require.Equal(t, a[i].record, b[i].record)
	}
}

func TestRewritingBesideCommitsReadersAndCloseLosesNothing(t *testing.T) {
	for range 4 {
		dir := t.TempDir()
		s, err := Open(dir, Options{Sync: SyncNever, SegmentBytes: minSegmentBytes})
		require.NoError(t, err)
		write(t, s, Batch{Events: eventsOf("a", "b")})
		r, err := Open(dir, Options{ReadOnly: true})
		require.NoError(t, err)
		var work sync.WaitGroup
		stop := make(chan struct{})
		for _, reader := range []*Store{s, r} {
			work.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					for _, err := range reader.Sides("key/") {
						require.NoError(t, err)
					}
					for _, err := range reader.Read(t.Context(), Region{}, Beginning()) {
						require.NoError(t, err)
					}
				}
			})
		}
		for i := range 20 {
			checkpoints(t, s, 100*i, 100, 5, 900)
			write(t, s, Batch{Events: eventsOf("a")})
		}
		close(stop)
		work.Wait()
		want := all(t, s, Region{})
		require.NoError(t, s.Close()) // maybe during a rewriting
		require.NoError(t, r.Close())
		s, err = Open(dir, Options{SegmentBytes: minSegmentBytes})
		require.NoError(t, err)
		require.Equal(t, want, all(t, s, Region{}))
		for i := range 5 {
			require.True(t, strings.HasPrefix(sideText(s, fmt.Sprintf("key/%d", i)), fmt.Sprintf("%d:", 1995+i)))
		}
		require.NoError(t, s.Close())
	}
}

func TestAValueWhosePlaceIsNotMovedYetIsReadWhenItIs(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	checkpoints(t, s, 0, 1, 1, 10)
	write(t, s, Batch{Sides: []SideWrite{{Key: "large", Value: make([]byte, 5000)}}})
	old := (*s.segments.Load())[0]
	was, _ := s.sides.get("large")
	checkpoints(t, s, 0, 100, 2, 900)
	g := (*s.segments.Load())[0]
	is, _ := s.sides.get("large")
	require.NotEqual(t, was.Offset, is.Offset)

	s.renewing.Lock()
	g.former.Store(old)
	s.sides.move(&was)
	got := make(chan error)
	go func() {
		value, _, err := s.Side("large")
		if err == nil && len(value.Value) != 5000 {
			err = errors.New("another value")
		}
		got <- err
	}()
	s.sides.move(&is)
	g.former.Store(nil)
	s.renewing.Unlock()
	require.NoError(t, <-got)

	g.former.Store(old)
	s.sides.move(&was)
	_, err = s.sides.valueAt(&was)
	require.True(t, isReplaced(err), "%v", err)
	require.NoError(t, s.Close())
}

func TestAReaderWhoseValueWasRewrittenAwayFindsTheLaterOne(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	checkpoints(t, s, 0, 100, 2, 900)
	r, err := open(disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	checkpoints(t, s, 100, 300, 2, 900)
	require.NoError(t, keepOpen(r, 1))
	value, found, err := r.sides.read("key/1") // without a look at what the writer has written since
	require.NoError(t, err)
	require.True(t, found)
	require.True(t, strings.HasPrefix(string(value.Value), "399:"))
	require.NoError(t, r.Close())
	require.NoError(t, s.Close())
}

func TestFilesOfDifferentTimesAreNoStoreWhereOneWasRewritten(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	for i := range 60 { // so that the first segment is not rewritten soon
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprintf("stays/%d", i), Value: make([]byte, 900)}}})
	}
	checkpoints(t, s, 0, 200, 2, 900)
	require.Equal(t, uint32(0), generations(s)[0])
	early := disk.Image(vfs.KeepAll)
	for i := range 40 { // what is left is too much to be merged with what follows
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprintf("stays/%d", i), Delete: true}}})
	}
	checkpoints(t, s, 200, 300, 2, 900)
	require.Equal(t, uint32(1), generations(s)[0])
	require.NoError(t, s.Close())
	tryBoth := func(disk *vfs.Memory) {
		t.Helper()
		for _, readOnly := range []bool{true, false} {
			_, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes, ReadOnly: readOnly}, true)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, "rewritten")
		}
	}
	first := segmentPath(logDir, 1)
	tryBoth(replaced(t, disk, first, early.Bytes(first))) // its values would come back
	tryBoth(replaced(t, early, first, disk.Bytes(first))) // they would be gone before they were deleted
	s, err = open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// The value in the first segment is hidden by the deletion in the second. When that one is
// rewritten the key has a value again, in the third, where it is deleted as well: a deletion that
// the third may leave out only because of the one in the second.
func TestADeletionStaysThoughALaterValueSupersedesIt(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	side := func(w SideWrite) { write(t, s, Batch{Sides: []SideWrite{w}}) }
	for i := range 60 { // of a segment that is not rewritten
		side(SideWrite{Key: fmt.Sprintf("stays/%d", i), Value: make([]byte, 900)})
	}
	side(SideWrite{Key: "key", Value: []byte("old")})
	for len(*s.segments.Load()) < 2 {
		checkpoints(t, s, 0, 1, 1, 500)
	}
	side(SideWrite{Key: "key", Delete: true})
	fill := 0
	for ; len(*s.segments.Load()) < 3; fill++ {
		side(SideWrite{Key: fmt.Sprintf("fill/%d", fill), Value: make([]byte, 900)})
	}
	side(SideWrite{Key: "key", Value: []byte("new")})
	for i := range fill {
		side(SideWrite{Key: fmt.Sprintf("fill/%d", i), Value: make([]byte, 10)})
	}
	s.rewriteAll()
	require.Equal(t, []uint32{0, 1, 0}, generations(s))
	side(SideWrite{Key: "key", Delete: true})
	for s.numbered(3).generation == 0 {
		checkpoints(t, s, 0, 1, 1, 500)
	}
	s = reopen(t, s)
	require.Equal(t, "-", sideText(s, "key"))
	require.NoError(t, s.Close())
}

// A segment may have a hundred thousand of them.
func TestGoingThroughTheBatchesOfASegmentAllocatesNothingForEach(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for s.Stats().Segment < 2 {
		write(t, s, Batch{Events: eventsOf("a")})
	}
	r, batches := &rewriting{store: s}, 0
	allocated := testing.AllocsPerRun(1, func() {
		batches = 0
		err = r.each((*s.segments.Load())[0], func(*wal.BatchHeader, []byte) error {
			batches++
			return nil
		})
	})
	require.NoError(t, err)
	require.Greater(t, batches, 100)
	require.Less(t, allocated, 50.0)
}
