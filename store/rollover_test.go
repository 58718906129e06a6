package store

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"

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
