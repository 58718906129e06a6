package store

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestAFullDiskPutsRewritingOffAndCommitsGoOn(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a")})
	refuse := &refusingFS{FS: disk}
	s.dir = &refusingDir{Dir: s.dir, fs: refuse}
	refuse.on = true
	checkpoints(t, s, 0, 300, 2, 900)
	require.Zero(t, slices.Max(generations(s)))
	require.Positive(t, refuse.times)
	names, err := s.dir.List()
	require.NoError(t, err)
	for _, name := range names {
		require.False(t, strings.HasSuffix(name, rewrittenSuffix), name)
	}
	refuse.on = false
	checkpoints(t, s, 300, 100, 2, 900)
	require.Positive(t, generations(s)[0], "it is tried again")
	require.Less(t, usedBytes(t, s), int64(2*minSegmentBytes))
	require.NoError(t, s.Close())
}

// refusingFS is a disk without room for the files of a rewriting.
type refusingFS struct {
	vfs.FS
	on    bool
	times int
}

type refusingDir struct {
	vfs.Dir
	fs *refusingFS
}

func (d *refusingDir) Create(name string) (vfs.File, error) {
	file, err := d.Dir.Create(name)
	if err == nil && d.fs.on && strings.HasSuffix(name, rewrittenSuffix) {
		return &refusingFile{file, d.fs}, nil
	}
	return file, err
}

type refusingFile struct {
	vfs.File
	fs *refusingFS
}

func (f *refusingFile) WriteAt(b []byte, off int64) (int, error) {
	if off > 0 {
		f.fs.times++
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, off)
}
