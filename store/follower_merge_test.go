package store

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// mergedBeyond returns a writer and a reader that knows no more of its log than a part of what is
// in one file by now, but for the active segment. Where they stay, so do the files that it stands
// for: a reader may have them open on a system where that counts, or the writer has not come to
// remove them.
func mergedBeyond(t *testing.T, stay bool) (s, r *Store) {
	t.Helper()
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	s.rewriter.stop.Store(true)
	write(t, s, Batch{Events: eventsOf("a", "b")})
	for i := range 16 {
		checkpoints(t, s, 20*i, 20, 2, 900)
		write(t, s, Batch{Events: eventsOf("a"), Sides: []SideWrite{{Key: fmt.Sprint("stays/", i), Value: make([]byte, 300)}}})
		if i == 6 {
			r, err = open(disk, logDir, Options{ReadOnly: true}, true)
			require.NoError(t, err)
		}
	}
	before := segmentFiles(t, disk)
	if stay {
		hook(s).removes = func(name string) error {
			if slices.Contains(before, name) {
				return syscall.EACCES
			}
			return nil
		}
	}
	s.rewriter.stop.Store(false)
	checkpoints(t, s, 500, 100, 2, 900)
	require.Greater(t, (*s.segments.Load())[0].last, (*r.segments.Load())[len(*r.segments.Load())-1].number)
	require.Equal(t, stay, slices.Contains(segmentFiles(t, disk), before[1]))
	t.Cleanup(func() { _, _ = s.Close(), r.Close() })
	return s, r
}

// What the reader has not taken in yet is in the file that it opens again, and in files that are
// there no longer, or will not be: it must not go on with those.
func TestAReaderThatOpensMoreThanItKnowsTakesInAllOfIt(t *testing.T) {
	for _, stay := range []bool{false, true} {
		s, r := mergedBeyond(t, stay)
		r.files.closeIdle()
		e, err := r.eventAt(1) // before it looks whether there is more
		require.NoError(t, err)
		require.Equal(t, "a", e.Coordinate.Entity)
		last, err := r.lastOfEntity("a", &r.head)
		require.NoError(t, err)
		require.LessOrEqual(t, last.Position, Position(r.head.Load()))
		require.Equal(t, digest(s), digest(r), "files stay: %v", stay)
		known := *r.segments.Load()
		for i, g := range known[1:] {
			require.Equal(t, known[i].last+1, g.number)
		}
	}
}

func TestAReaderThatIsClosedMeanwhileLoadsNothing(t *testing.T) {
	_, r := mergedBeyond(t, false)
	first := (*r.segments.Load())[0]
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.follower.loadAgain(r, first), ErrClosed)
}

// The writer has ended, and so has what kept the reader from loading the log again: nothing but
// another look at the files tells that there is more.
func TestAReaderThatCouldNotLoadTheLogAgainTriesOnceMore(t *testing.T) {
	s, r := mergedBeyond(t, false)
	want, head := digest(s), s.Head()
	require.NoError(t, s.Close())
	d := hook(r)
	d.opens = func(name string) error {
		if name == segmentName(1) {
			return syscall.EIO
		}
		return nil
	}
	for range 3 {
		require.Less(t, r.Head(), head)
		require.ErrorIs(t, r.follower.obstacle(), syscall.EIO)
	}
	d.opens = nil
	require.Equal(t, head, r.Head())
	require.NoError(t, r.follower.obstacle())
	require.Equal(t, want, digest(r))
}

// listingDir leaves a file out of its second list: the first one only tells that there is a store.
type listingDir struct {
	vfs.Dir
	without string
	lists   int
}

func (d *listingDir) List() ([]string, error) {
	names, err := d.Dir.List()
	d.lists++
	return slices.DeleteFunc(names, func(name string) bool { return name == d.without && d.lists == 2 }), err
}

// A system may or may not list a file that is renamed while it reads the directory.
func TestAFileThatAListLeavesOutBesideAWriterIsNoDamage(t *testing.T) {
	s, r := mergedBeyond(t, false)
	d := &listingDir{r.dir, segmentName(1), 0}
	r.dir, r.files.dir = d, d
	require.Equal(t, s.Head(), r.Head())
	require.Greater(t, d.lists, 2)
	require.Equal(t, digest(s), digest(r))
}
