package store

import (
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// hookedFS opens directories that call what a test has to say.
type hookedFS struct {
	vfs.FS
	hooks *hookedDir
}

func (f hookedFS) OpenDir(path string, mode fs.FileMode) (vfs.Dir, error) {
	dir, err := f.FS.OpenDir(path, mode)
	f.hooks.Dir = dir
	return f.hooks, err
}

// The opening mark of a writer may find no room, and then the segment before is sealed. What is
// worth rewriting in it has to wait for the committer, by which that is made durable.
func TestNothingIsRewrittenBeforeTheStoreIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMemory()
		s, err := open(disk, logDir, smallSegments(SyncNever), true)
		require.NoError(t, err)
		w := s.committer.writer
		room := func() int64 { return w.capacity - w.next.Offset }
		for room() > 4000 {
			checkpoints(t, s, 0, 1, 1, 900)
		}
		empty := wal.BatchHeaderSize + wal.SideSize(len("key"), 0)
		write(t, s, Batch{Sides: []SideWrite{{Key: "key", Value: make([]byte, int(room())-empty-wal.BatchHeaderSize/2)}}})
		require.Less(t, room(), int64(wal.BatchHeaderSize))
		require.Equal(t, 1, s.Stats().Segments)
		killStore(s)

		var opened atomic.Bool
		var waited atomic.Int32
		hooks := &hookedDir{synced: func(name string) {
			if !opened.Load() && name == segmentName(2) {
				synctest.Wait() // what was begun beside has nothing left to do
				waited.Add(1)
			}
		}}
		s, err = open(hookedFS{disk, hooks}, logDir, smallSegments(SyncNever), false)
		opened.Store(true)
		require.NoError(t, err)
		require.Positive(t, waited.Load())
		s.tasks.Wait()
		require.Positive(t, generations(s)[0], "it is rewritten then")
		require.NoError(t, s.Close())
	})
}
