package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// unsyncedDisk is the machine's file system without syncs, for what no crash will meet.
type unsyncedDisk struct{ vfs.FS }

type unsyncedDir struct{ vfs.Dir }

type unsyncedFile struct{ vfs.File }

func (d unsyncedDisk) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	opened, err := d.FS.OpenDir(dir, perm)
	return unsyncedDir{opened}, err
}

func (d unsyncedDir) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	return unsyncedFile{f}, err
}

func (unsyncedDir) Sync() error { return nil }

func (unsyncedFile) Sync() error { return nil }

// manySegments makes a store of so many segments, with an event in each, by rolling over early.
func manySegments(t *testing.T, dir string, segments int) {
	t.Helper()
	s, err := open(unsyncedDisk{vfs.OS()}, dir, Options{Sync: SyncNever, SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	for i := range segments {
		if i > 0 {
			require.NoError(t, s.committer.writer.roll(1<<10))
		}
		_, err := s.Append(t.Context(), At(fmt.Sprint("e:", i%7), "test"), Any, note{})
		require.NoError(t, err)
	}
	require.Equal(t, segments, s.Stats().Segments)
	require.NoError(t, s.Close())
}

// frugal opens the store of a directory, in this process, which may have few descriptors, and uses
// all of it. It says what it found.
func frugal(dir string, readOnly bool) string {
	s, err := Open(dir, Options{ReadOnly: readOnly, SegmentBytes: minSegmentBytes, Sync: SyncNever})
	if err != nil {
		return err.Error()
	}
	failures := make(chan error, 1000)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for p := Position(1); p <= s.Head(); p += 13 {
				if _, err := s.GetAt(context.Background(), p); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	for i := 0; i < 40 && !readOnly; i++ { // of 8 KiB, so that there are more segments
		if _, err := s.Append(context.Background(), At("new", "test"), Any, Raw{Type: "x", Data: make([]byte, 8<<10)}); err != nil {
			return err.Error()
		}
	}
	readers.Wait()
	if len(failures) > 0 {
		return (<-failures).Error()
	}
	found := digest(s)
	if err := s.Close(); err != nil {
		return err.Error()
	}
	return found
}

func TestAStoreOfThreeThousandSegmentsNeedsFewDescriptors(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there is no limit to set
	}
	dir := t.TempDir()
	manySegments(t, dir, 3000/thinning)
	for _, role := range []string{"frugal writer", "frugal reader"} {
		_, found := start(t, role, dir)
		s := diskLog(t, dir, Options{ReadOnly: true})
		require.Equal(t, digest(s), found, role)
		require.NoError(t, s.Close())
	}
}

func TestReadersShareABoundedNumberOfOpenFiles(t *testing.T) {
	disk := &countingDisk{FS: vfs.NewMemory()}
	s := openLog(t, disk, smallSegments(SyncNever))
	for range 3 * maxOpenFiles {
		require.NoError(t, s.committer.writer.roll(1<<10))
		put(t, s, "a")
	}
	s = reopen(t, s)
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for p := range s.Head() {
				if _, err := s.GetAt(t.Context(), 1+(p*Position(2*i+1))%s.Head()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Wait()
	require.Len(t, all(t, s, Region{}), int(s.Head()))
	const readersAndWriter = 8 + 4 // STATUS, the active segment, the next, and the one that is being sealed
	require.LessOrEqual(t, disk.most.Load(), int64(maxOpenFiles+readersAndWriter))
	require.LessOrEqual(t, disk.open.Load(), int64(maxOpenFiles+readersAndWriter))
	require.NoError(t, s.Close())
	require.Zero(t, disk.open.Load(), "all are closed in the end")
}

// countingDisk counts the files that are open, and has no descriptor left while it is starved.
type countingDisk struct {
	vfs.FS
	open, most atomic.Int64
	starved    atomic.Bool
}

type countingDir struct {
	vfs.Dir
	disk *countingDisk
}

type countedFile struct {
	vfs.File
	disk *countingDisk
}

func (d *countingDisk) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	opened, err := d.FS.OpenDir(dir, perm)
	return countingDir{opened, d}, err
}

func (d countingDir) Create(name string) (vfs.File, error) {
	return d.disk.count(name, func() (vfs.File, error) { return d.Dir.Create(name) })
}

func (d countingDir) Open(name string, readOnly bool) (vfs.File, error) {
	return d.disk.count(name, func() (vfs.File, error) { return d.Dir.Open(name, readOnly) })
}

func (d *countingDisk) count(name string, open func() (vfs.File, error)) (vfs.File, error) {
	if d.starved.Load() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	now := d.open.Add(1)
	for most := d.most.Load(); now > most && !d.most.CompareAndSwap(most, now); most = d.most.Load() {
	}
	return countedFile{f, d}, nil
}

func (f countedFile) Close() error {
	f.disk.open.Add(-1)
	return f.File.Close()
}

func TestWantOfDescriptorsIsRefusedAndPassesWithoutATrace(t *testing.T) {
	disk := &countingDisk{FS: vfs.NewMemory()}
	s := openLog(t, disk, smallSegments(SyncAlways))
	grow(t, s, 4)
	first := all(t, s, Region{})[:1]
	s = reopen(t, s)
	head := s.Head()

	disk.starved.Store(true)
	s.files.closeIdle()
	_, err := s.GetAt(t.Context(), 1)
	require.ErrorIs(t, err, ErrBusy)
	require.ErrorIs(t, err, syscall.EMFILE)
	for range 3 {
		untouched(t, s, func() {
			_, err = s.Append(t.Context(), At("a", "test"), Any, Raw{Type: "large", Data: make([]byte, 2*minSegmentBytes)})
			require.ErrorIs(t, err, ErrBusy)
			require.NotErrorIs(t, err, ErrPoisoned)
			require.NotErrorIs(t, err, ErrDiskFull)
		})
	}
	require.False(t, s.Stats().Poisoned)
	for _, o := range []Options{{ReadOnly: true}, {}} {
		_, err = open(disk, logDir, o, false)
		require.Error(t, err)
		if o.ReadOnly {
			require.ErrorIs(t, err, ErrBusy)
		}
	}
	disk.starved.Store(false)
	require.Equal(t, first, all(t, s, Region{})[:1])
	_, err = s.Append(t.Context(), At("a", "test"), Any, Raw{Type: "large", Data: make([]byte, 2*minSegmentBytes)})
	require.NoError(t, err)
	require.Equal(t, head+1, s.Head())
}

func TestAQuotaThatIsUsedUpIsAFullDisk(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		r := afterAFewCommits(t, mode)
		for i := range 20 { // whatever making a segment begins with
			r.disk.FailAt(r.disk.Ops()+1+i, syscall.EDQUOT)
		}
		before := r.st.Stats()
		_, err := r.st.Append(t.Context(), At("a", "test"), Any, Raw{Type: "large", Data: make([]byte, 2*minSegmentBytes)})
		require.ErrorIs(t, err, ErrDiskFull)
		require.ErrorIs(t, err, syscall.EDQUOT)
		now := r.st.Stats()
		require.Equal(t, before.Refused+1, now.Refused)
		before.Refused, before.Writes = now.Refused, now.Writes
		require.Equal(t, before, now)
	}
}

// unreserving is a disk whose file system reserves no room, but by writing.
type unreserving struct{ vfs.FS }

type unreservingDir struct{ vfs.Dir }

type unreservingFile struct{ vfs.File }

func (d unreserving) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	opened, err := d.FS.OpenDir(dir, perm)
	return unreservingDir{opened}, err
}

func (d unreservingDir) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	return unreservingFile{f}, err
}

func (d unreservingDir) Open(name string, readOnly bool) (vfs.File, error) {
	f, err := d.Dir.Open(name, readOnly)
	return unreservingFile{f}, err
}

func (unreservingFile) Reserve(int64, int64) error { return errors.ErrUnsupported }

// A copy of a store may have holes where the store had zeros.
func TestAFullDiskIsNoPoisonForAFileWithHoles(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, ending := range []string{"clean", "killed"} {
			for _, room := range []int64{0, 1 << 10, 16 << 10} {
				t.Run(fmt.Sprint(mode, " ", ending, " ", room), func(t *testing.T) {
					disk := vfs.NewMemory()
					sparseFile(t, disk, mode, ending, disk, room)
				})
				t.Run(fmt.Sprint(mode, " ", ending, " ", room, ", without reserving"), func(t *testing.T) {
					disk := vfs.NewMemory()
					sparseFile(t, disk, mode, ending, unreserving{disk}, room)
				})
			}
		}
	}
}

func sparseFile(t *testing.T, disk *vfs.Memory, mode SyncMode, ending string, through vfs.FS, room int64) {
	t.Helper()
	s, err := open(disk, logDir, smallSegments(mode), false)
	require.NoError(t, err)
	put(t, s, "a")
	if ending == "clean" {
		require.NoError(t, s.Close())
	} else {
		killStore(s)
	}
	name := segmentPath(logDir, 1)
	end := s.committer.writer.next.Offset
	require.NoError(t, disk.Sparsen(name, end))
	disk.SetCapacity(end + int64(len(disk.Bytes(filepath.Join(logDir, beaconName)))) + room)

	s, err = open(through, logDir, smallSegments(mode), true)
	if room == 0 {
		require.ErrorIs(t, err, ErrDiskFull)
	} else {
		require.NoError(t, err)
		untouched(t, s, func() {
			_, err = s.Append(t.Context(), At("b", "test"), Any, Raw{Type: "large", Data: make([]byte, 30<<10)})
			require.ErrorIs(t, err, ErrDiskFull)
			require.NotErrorIs(t, err, ErrPoisoned)
		})
		require.Len(t, all(t, s, Region{}), 1)
		require.NoError(t, s.Close())
	}
	disk.SetCapacity(math.MaxInt64)
	s = openLog(t, disk, smallSegments(mode))
	put(t, s, "b")
	require.Equal(t, Position(2), s.Head())
}
