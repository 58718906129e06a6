package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// closedStore makes a store of some segments and closes it.
func closedStore(t *testing.T, dir string) Position {
	t.Helper()
	s := diskLog(t, dir, smallSegments(SyncAlways))
	grow(t, s, 4)
	require.NoError(t, s.Close())
	return s.Head()
}

// requireHead opens a store and requires that it is whole.
func requireHead(t *testing.T, dir string, head Position) {
	t.Helper()
	s := diskLog(t, dir, smallSegments(SyncAlways))
	require.Equal(t, head, s.Head())
	requireChains(t, all(t, s, Region{}))
	require.NoError(t, s.Close())
}

func TestAStoreStaysInItsDirectoryWhateverLiesAtItsPathLater(t *testing.T) {
	type place struct{ opened, mine, theirs string } // the path given to Open, and the paths of both stores in the end
	for name, prepare := range map[string]func(t *testing.T, top string) (p place, change func(t *testing.T)){
		"the process changes its working directory": func(t *testing.T, top string) (place, func(t *testing.T)) {
			first, second := filepath.Join(top, "first"), filepath.Join(top, "second")
			require.NoError(t, os.Mkdir(first, 0o700))
			require.NoError(t, os.Mkdir(second, 0o700))
			t.Chdir(first)
			return place{"data", filepath.Join(first, "data"), filepath.Join(second, "data")},
				func(t *testing.T) { t.Helper(); t.Chdir(second) }
		},
		"the directory is renamed and another takes its place": func(_ *testing.T, top string) (place, func(t *testing.T)) {
			data, old, other := filepath.Join(top, "data"), filepath.Join(top, "old"), filepath.Join(top, "other")
			return place{data, old, other}, func(t *testing.T) {
				t.Helper()
				require.NoError(t, os.Rename(data, old))
				require.NoError(t, os.Rename(other, data))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				return // there a directory that is in use keeps its path
			}
			p, change := prepare(t, t.TempDir())
			others := closedStore(t, p.theirs)
			s := diskLog(t, p.opened, smallSegments(SyncAlways))
			put(t, s, "mine")
			r := diskLog(t, p.opened, Options{ReadOnly: true})
			change(t)

			grow(t, s, 6)
			require.Equal(t, s.Head(), r.Head(), "a reader follows its writer")
			require.Equal(t, digest(s), digest(r))
			require.NoError(t, s.Close())
			require.NoFileExists(t, filepath.Join(p.mine, ownerName))
			requireHead(t, p.mine, s.Head())
			theirs := p.theirs
			if _, err := os.Stat(theirs); err != nil {
				theirs = p.opened
			}
			requireHead(t, theirs, others)
		})
	}
}

func TestAPowerCutAfterTheDirectoryWasMovedLosesNothing(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "before")
	disk.MoveDir(logDir, "moved")
	grow(t, s, 5)
	image := disk.Image(vfs.KeepNothing)
	image.MoveDir("moved", logDir)
	require.Equal(t, digest(s), digest(openLog(t, image, s.options)))
}

func TestRemovingTheLockFileLetsNoSecondWriterIn(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there the file cannot be removed
	}
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncAlways))
	put(t, s, "a")
	require.NoError(t, os.Remove(filepath.Join(dir, lockName)))
	for range 2 {
		require.Equal(t, os.Getpid(), requireLocked(t, dir).PID)
		_, first := start(t, "writer", dir)
		require.Equal(t, "locked", first)
	}
	r := diskLog(t, dir, Options{ReadOnly: true})
	put(t, s, "b")
	require.Equal(t, Position(2), r.Head())
	require.NoError(t, s.Close())
	requireHead(t, dir, 2)
}

func TestNoNumberOfReadersKeepsAWriterOut(t *testing.T) {
	const readers, openings = 64 / min(thinning, 4), 8
	dir := t.TempDir()
	closedStore(t, dir)
	done := make(chan struct{})
	var reading sync.WaitGroup
	for i := range readers {
		r := diskLog(t, dir, Options{ReadOnly: true})
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := r.ReadPage(t.Context(), Region{}, 0, 0, 1); err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
			}
		})
	}
	for i := range openings {
		s, err := Open(dir, smallSegments(SyncAlways))
		if !assertNoError(t, err, fmt.Sprint("opening ", i)) {
			break
		}
		put(t, s, "a")
		require.NoError(t, s.Close())
	}
	close(done)
	reading.Wait()
}

// assertNoError fails without ending the test, whose goroutines have to be ended first.
func assertNoError(t *testing.T, err error, what string) bool {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

// beginning lets a writer begin at the moment between a reader's look at the lock and its reading.
type beginning struct {
	vfs.FS
	begin func()
}

type beginningDir struct {
	vfs.Dir
	fs *beginning
}

func (b *beginning) OpenDir(dir string, perm os.FileMode) (vfs.Dir, error) {
	d, err := b.FS.OpenDir(dir, perm)
	return beginningDir{d, b}, err
}

func (d beginningDir) Locked(name string) (bool, error) {
	locked, err := d.Dir.Locked(name)
	if begin := d.fs.begin; begin != nil {
		d.fs.begin = nil
		begin()
	}
	return locked, err
}

func TestAReaderThatOpensWhileAWriterBeginsSeesNothingUnsynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, smallSegments(SyncAlways))
		put(t, s, "a")
		require.NoError(t, s.Close())
		var unsynced <-chan answer
		beside := &beginning{FS: gate.disk(), begin: func() {
			s = openLog(t, gate, smallSegments(SyncAlways))
			gate.shut.Store(true)
			t.Cleanup(gate.open)
			unsynced = async(t.Context(), s, Batch{Events: eventsOf("b"), Sides: []SideWrite{{Key: "k"}}})
			synctest.Wait()
		}}
		r := openLog(t, beside, Options{ReadOnly: true})
		require.Equal(t, Position(1), r.Head())
		require.Equal(t, []string{"a"}, entities(all(t, r, Region{})))
		require.Equal(t, "-", sideText(r, "k"))
		gate.open()
		require.NoError(t, (<-unsynced).err)
		require.Equal(t, Position(2), r.Head())
		require.Equal(t, digest(s), digest(r))
	})
}
