package store

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// A sync of an append waits for what the disk was given before: it must never be a whole file.
func TestAFileThatIsMadeAheadIsSyncedPieceByPiece(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	ops := disk.Ops()
	p := s.preallocateSegment(7, 2*fillPiece+4096)
	require.NoError(t, p.err)
	require.NoError(t, p.file.Close())
	unsynced, size := int64(0), int64(0)
	for _, op := range disk.Trace()[ops:] {
		var at, n int64
		switch {
		case op == "sync "+segmentName(7):
			unsynced = 0
		case scans(op, "write "+segmentName(7)+" %d+%d", &at, &n):
			require.Equal(t, size, at, "each byte once, in order")
			unsynced, size = unsynced+n, size+n
			require.LessOrEqual(t, unsynced, int64(fillPiece))
		}
	}
	require.Equal(t, int64(2*fillPiece+4096), size)
	require.Zero(t, unsynced)
}

func scans(s, format string, into ...any) bool {
	n, err := fmt.Sscanf(s, format, into...)
	return err == nil && n == len(into)
}

func TestAFileThatCannotBeMadeAheadLeavesNothing(t *testing.T) {
	for failing, done := 1, false; !done; failing++ {
		disk := vfs.NewMemory()
		s := openLog(t, disk, Options{})
		disk.FailAt(disk.Ops()+failing, syscall.ENOSPC)
		p := s.preallocateSegment(7, 2*fillPiece)
		if done = p.err == nil; done {
			require.NoError(t, p.file.Close())
			require.Greater(t, failing, 5)
			continue
		}
		require.ErrorIs(t, p.err, syscall.ENOSPC)
		_, err := s.dir.Open(segmentName(7), true)
		require.ErrorIs(t, err, fs.ErrNotExist)
		put(t, s, "later")
	}
}

// Else all commits would wait for the whole segment, where it ends.
func TestASyncFindsAtMostAPieceThatTheSystemWasNotToldToWriteOut(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			disk := &flushed{FS: vfs.NewMemory().Untraced()}
			s, err := open(disk, logDir, Options{Sync: mode, SyncEvery: time.Hour}, true) // tasks in their place
			require.NoError(t, err)
			defer s.Close()
			large := raw(Raw{Type: "x", Data: make([]byte, fillPiece/5)})
			for s.Stats().Segments < 2 {
				write(t, s, large)
			}
			if mode == SyncAlways {
				require.Zero(t, disk.flushes, "commits wait for syncs in any case")
				return
			}
			require.Equal(t, firstSegmentBytes/fillPiece-1, disk.flushes)
			require.Less(t, disk.most, int64(fillPiece))
			require.Greater(t, disk.most, int64(fillPiece/2))
		})
	}
}

// flushed is a file system that counts what the files it creates are told to write out.
type flushed struct {
	vfs.FS
	flushes int
	most    int64 // that a sync has found and no flush
}

func (d *flushed) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	opened, err := d.FS.OpenDir(dir, perm)
	return flushedDir{opened, d}, err
}

type flushedDir struct {
	vfs.Dir
	disk *flushed
}

func (d flushedDir) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	return &flushedFile{File: f, disk: d.disk}, err
}

type flushedFile struct {
	vfs.File
	disk             *flushed
	flushed, written int64 // ends of what was
}

func (f *flushedFile) WriteAt(b []byte, off int64) (int, error) {
	f.written = off + int64(len(b))
	return f.File.WriteAt(b, off)
}

func (f *flushedFile) Flush(from, to int64) {
	f.disk.flushes++
	if from <= f.flushed {
		f.flushed = to
	}
}

func (f *flushedFile) Sync() error {
	f.disk.most = max(f.disk.most, f.written-f.flushed)
	f.flushed = max(f.flushed, f.written)
	return f.File.Sync()
}
