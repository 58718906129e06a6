package store

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// backedUp makes a backup and requires that it works.
func backedUp(t *testing.T, s *Store, dst string) CopyReport {
	t.Helper()
	report, err := Backup(t.Context(), s, dst, BackupOptions{})
	require.NoError(t, err)
	return report
}

// onDisk restores to a directory of a disk in memory.
func onDisk(disk *vfs.Memory) RestoreOptions {
	return RestoreOptions{Store: Options{SegmentBytes: minSegmentBytes, Device: &vfs.Device{FS: disk}}}
}

// restored makes a store of a backup and opens it.
func restored(t *testing.T, disk *vfs.Memory, src, dst string) *Store {
	t.Helper()
	_, err := Restore(t.Context(), src, dst, onDisk(disk))
	require.NoError(t, err)
	s, err := open(disk, dst, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// copyOf opens a backup as a store.
func copyOf(t *testing.T, disk *vfs.Memory, dir string) *Store {
	t.Helper()
	s, err := open(disk, dir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// compare returns the first difference between a store of any kind and the oracle, which is not to
// have fewer commits than floor.
func (o *crashOracle) compare(st *Store, floor int) error {
	k := survivors(st)
	if k < floor || k > len(o.commits) {
		return fmt.Errorf("%d commits, want %d to %d", k, floor, len(o.commits))
	}
	want := o.replay(k)
	if err := o.verifyEvents(st, &want); err != nil {
		return err
	}
	return o.verifySides(st, &want)
}

// unfinishedFiles are those of a directory that no copy is to leave.
func unfinishedFiles(t *testing.T, disk *vfs.Memory, dir string) (names []string) {
	t.Helper()
	all, err := disk.List(dir)
	require.NoError(t, err)
	for _, name := range all {
		if strings.HasSuffix(name, copiedSuffix) || strings.HasSuffix(name, rewrittenSuffix) {
			names = append(names, name)
		}
	}
	return names
}

// someLog is a log of some segments, one of them rewritten.
func someLog(t *testing.T, disk *vfs.Memory) *Store {
	t.Helper()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	someMore(t, s)
	return s
}

func someMore(t *testing.T, s *Store) {
	t.Helper()
	write(t, s, Batch{Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "stays", Value: make([]byte, 300)}}})
	checkpoints(t, s, 0, 150, 5, 900)
	grow(t, s, s.Stats().Segments+2)
	checkpoints(t, s, 150, 10, 5, 900)
	put(t, s, "last")
}

// endedBy is a context that a callback ends.
func endedBy(t *testing.T) (context.Context, BackupOptions) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	return ctx, BackupOptions{Progress: func(p CopyProgress) {
		if p.Segments > 0 {
			cancel()
		}
	}}
}
