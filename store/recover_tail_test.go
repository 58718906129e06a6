package store

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// watched is a disk that tells of reads and writes of segments.
type watched struct {
	vfs.FS
	read  func(name string, b []byte, off int64) // after a read, whose bytes it may change
	wrote func(n int)
}

func (w watched) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := w.FS.OpenDir(dir, perm)
	return watchedDir{d, w}, err
}

type watchedDir struct {
	vfs.Dir
	watched watched
}

func (d watchedDir) Open(name string, readOnly bool) (vfs.File, error) {
	f, err := d.Dir.Open(name, readOnly)
	if err != nil || !strings.HasSuffix(name, segmentSuffix) {
		return f, err
	}
	return watchedFile{f, d.watched, name}, nil
}

type watchedFile struct {
	vfs.File
	watched watched
	name    string
}

func (f watchedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.watched.read(f.name, b[:n], off)
	return n, err
}

func (f watchedFile) WriteAt(b []byte, off int64) (int, error) {
	f.watched.wrote(len(b))
	return f.File.WriteAt(b, off)
}

// killedLog is what a kill left of a store whose last segment has 8 MiB and few commits, and where
// its log ends.
func killedLog(t *testing.T, mode SyncMode) (disk *vfs.Memory, end int64) {
	t.Helper()
	disk = vfs.NewMemory()
	big := Raw{Type: "large", Data: make([]byte, 100<<10)}
	s, err := open(disk, logDir, Options{Sync: mode, SegmentBytes: 8 << 20}, true)
	require.NoError(t, err)
	for s.Stats().Segments < 2 {
		_, err := s.Append(t.Context(), At("a", "test"), Any, big)
		require.NoError(t, err)
	}
	require.NoError(t, s.Close()) // its mark begins the last segment, or follows in it
	s, err = open(disk, logDir, Options{Sync: mode, SegmentBytes: 8 << 20}, true)
	require.NoError(t, err)
	put(t, s, "a")
	killStore(s)
	return disk, s.committer.writer.next.Offset
}

func TestOpeningAfterAKillWritesNoZerosWhereThereAreZeros(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		disk, end := killedLog(t, mode)
		name := filepath.Join(logDir, segmentName(2))
		require.Len(t, disk.Bytes(name), 8<<20)
		written := 0
		w := watched{disk, func(string, []byte, int64) {}, func(n int) { written += n }}
		s := openLog(t, w, Options{Sync: mode})
		require.Less(t, written, int(end)+4096, mode)
		require.Len(t, disk.Bytes(name), 8<<20)
		require.NoError(t, s.Close())

		dirty := replaced(t, disk, name, append(disk.Bytes(name)[:6<<20], append([]byte{1}, make([]byte, 2<<20-1)...)...))
		put(t, openLog(t, dirty, Options{Sync: mode}), "b")
		require.Zero(t, dirty.Bytes(name)[6<<20], "what is left there is erased")
	}
}

func TestOpeningALargeSegmentTakesLittleMemory(t *testing.T) {
	disk, _ := killedLog(t, SyncAlways)
	var before, after runtime.MemStats
	largest := 0
	w := watched{disk, func(_ string, b []byte, _ int64) { largest = max(largest, len(b)) }, func(int) {}}
	runtime.ReadMemStats(&before)
	s := openLog(t, w, Options{})
	runtime.ReadMemStats(&after)
	require.Less(t, largest, 1<<20)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
	require.NoError(t, s.Close())
}

func TestABatchThatChangesBetweenTwoReadsOfAnOpeningIsDamage(t *testing.T) {
	disk, end := killedLog(t, SyncNever)
	reads := map[int64]int{}
	w := watched{disk, nil, func(int) {}}
	w.read = func(_ string, b []byte, off int64) {
		if at := end - 8 - off; at >= 0 && at < int64(len(b)) {
			if reads[end]++; reads[end] == 2 {
				b[at] ^= 1
			}
		}
	}
	_, err := open(w, logDir, Options{Sync: SyncNever}, true)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt, fmt.Sprint(reads))
	require.Equal(t, uint32(2), corrupt.Segment)
	require.Contains(t, corrupt.Reason, "changes")
}
