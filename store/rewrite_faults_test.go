package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// hookedDir calls what a test has to say before operations of a store on its directory.
type hookedDir struct {
	vfs.Dir
	opens   func(name string) error
	opened  func(name string, f vfs.File) vfs.File
	removes func(name string) error
	renames func(to string) error
	renamed func()
	syncs   error // of the directory
	synced  func(name string)
}

func (d *hookedDir) Sync() error {
	if d.syncs != nil {
		return d.syncs
	}
	return d.Dir.Sync()
}

func (d *hookedDir) Remove(name string) error {
	if d.removes != nil && strings.HasSuffix(name, segmentSuffix) {
		if err := d.removes(name); err != nil {
			return err
		}
	}
	return d.Dir.Remove(name)
}

func (d *hookedDir) Open(name string, readOnly bool) (vfs.File, error) {
	if d.opens != nil {
		if err := d.opens(name); err != nil {
			return nil, err
		}
	}
	file, err := d.Dir.Open(name, readOnly)
	if err == nil && d.opened != nil {
		file = d.opened(name, file)
	}
	return file, err
}

func (d *hookedDir) Rename(from, to string) error {
	if d.renames != nil {
		if err := d.renames(to); err != nil {
			return err
		}
	}
	err := d.Dir.Rename(from, to)
	if d.renamed != nil {
		d.renamed()
	}
	return err
}

func (d *hookedDir) Create(name string) (vfs.File, error) {
	file, err := d.Dir.Create(name)
	return &hookedFile{file, d, name}, err
}

type hookedFile struct {
	vfs.File
	dir  *hookedDir
	name string
}

func (f *hookedFile) Sync() error {
	err := f.File.Sync()
	if f.dir.synced != nil {
		f.dir.synced(f.name)
	}
	return err
}

// hook has a store use such a directory, once no background task uses the one that it has.
func hook(s *Store) *hookedDir {
	s.tasks.Wait()
	d := &hookedDir{Dir: s.dir}
	s.dir, s.files.dir = d, d
	return d
}

// fillSides commits one value for each of so many keys.
func fillSides(t *testing.T, s *Store, prefix string, n, size int) {
	t.Helper()
	for i := range n {
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprintf("%s/%d", prefix, i), Value: make([]byte, size)}}})
	}
}

func TestASegmentThatCannotBeOpenedAfterItsRewritingIsCounted(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	fillSides(t, s, "first", 60, 900)
	for len(*s.segments.Load()) < 2 {
		fillSides(t, s, "more", 1, 900)
	}
	d := hook(s)
	d.renamed = func() {
		d.renamed = nil
		d.opens = func(name string) error {
			if strings.HasSuffix(name, segmentSuffix) {
				return syscall.EMFILE
			}
			return nil
		}
	}
	for d.opens == nil {
		checkpoints(t, s, 0, 10, 1, 900)
	}
	d.opens = nil
	require.Zero(t, slices.Max(generations(s)), "the store does not know yet")
	fillSides(t, s, "first", 60, 10) // the first segment is worth rewriting now
	checkpoints(t, s, 0, 200, 1, 900)
	require.Positive(t, generations(s)[0])
	s = reopen(t, s)
	require.Equal(t, 62, s.Stats().SideValues)
}

func TestARewritingThatCloseEndsLeavesNoFile(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	hook(s).synced = func(name string) {
		if strings.HasSuffix(name, rewrittenSuffix) {
			s.rewriter.stop.Store(true)
		}
	}
	checkpoints(t, s, 0, 100, 1, 900)
	require.True(t, s.rewriter.stop.Load())
	require.NoError(t, s.Close())
	require.Zero(t, slices.Max(generations(s)))
	names, err := disk.List(logDir)
	require.NoError(t, err)
	require.NotContains(t, names, segmentName(1)+rewrittenSuffix)
}

func TestTheLastSegmentIsNotContinuedWhenItWasRewritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no lazy sync meets the roll
		disk := vfs.NewMemory()
		s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
		require.NoError(t, err)
		write(t, s, Batch{Events: eventsOf("a", "b")})
		checkpoints(t, s, 0, 50, 1, 900)
		require.NoError(t, s.committer.writer.roll(minSegmentBytes)) // and the next has no header
		require.Equal(t, []uint32{1, 0}, generations(s))
		sequence := s.sequence.Load()
		killStore(s)
		for _, cut := range []int{0, 1} {
			content := disk.Bytes(segmentPath(logDir, 1))
			now := replaced(t, disk, segmentPath(logDir, 1), content[:len(content)-cut])
			for round := range 3 {
				s, err = open(now, logDir, Options{SegmentBytes: minSegmentBytes}, true)
				require.NoError(t, err, "footer cut by %d, round %d", cut, round)
				require.GreaterOrEqual(t, s.sequence.Load(), sequence)
				require.Len(t, all(t, s, Region{}), 2+round)
				write(t, s, Batch{Events: eventsOf("c")})
				r, err := open(now, logDir, Options{ReadOnly: true}, true)
				require.NoError(t, err)
				require.Len(t, all(t, r, Region{}), 3+round)
				require.NoError(t, r.Close())
				killStore(s)
			}
		}
	})
}

func TestAReaderLoadsTheLogAgainWhileItOpensASegmentAgain(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "large", Value: make([]byte, 5000)}}})
	fillSides(t, s, "fill", 55, 900)
	grow(t, s, 4) // events, so that no file stands for all that the reader knows
	r, err := open(disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	fillSides(t, s, "fill", 55, 10)
	checkpoints(t, s, 0, 300, 1, 900)
	require.Positive(t, generations(s)[0])
	require.NoError(t, keepOpen(r, 1))

	old := (*r.segments.Load())[0]
	d := hook(r)
	done := make(chan struct{})
	d.opens = func(string) error {
		d.opens = nil
		go func() {
			defer close(done)
			r.follower.mu.Lock()
			defer r.follower.mu.Unlock()
			_ = r.follower.reload(r)
		}()
		select {
		case <-done:
		case <-time.After(50 * time.Millisecond): // it waits, which cannot be seen
		}
		return nil
	}
	require.NoError(t, r.renew(old))
	<-done
	requireSameLog(t, s, r)
	for value, err := range r.Sides("") {
		require.NoError(t, err, value.Key)
	}
	require.NoError(t, r.Close())
	require.NoError(t, s.Close())
}

func TestADamagedSegmentKeepsNoOtherFromBeingRewritten(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	for len(*s.segments.Load()) < 2 {
		fillSides(t, s, "first", 60, 900)
	}
	require.NoError(t, s.Close())
	content := disk.Bytes(segmentPath(logDir, 1))
	content[5000] ^= 1
	disk = replaced(t, disk, segmentPath(logDir, 1), content)
	s, err = open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	fillSides(t, s, "first", 60, 10)
	checkpoints(t, s, 0, 300, 1, 900)
	require.Zero(t, generations(s)[0])
	require.Positive(t, slices.Max(generations(s)))
	require.Less(t, usedBytes(t, s), int64(4*minSegmentBytes))
	s = reopen(t, s)
	require.Equal(t, 61, s.Stats().SideValues)
}

// After a power cut the beacon may be older than the log, and until the next writer speaks that
// shows less than what was rewritten rests on.
func TestAReaderOfARewrittenLogIsBusyUntilTheWriterHasSpoken(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	fillSides(t, s, "stays", 30, 900) // so that the first segment is too large to be merged with others
	fillSides(t, s, "first", 20, 900)
	status := filepath.Join(logDir, beaconName)
	early := disk.Bytes(status)
	fillSides(t, s, "first", 80, 900)
	fillSides(t, s, "first", 80, 10)
	checkpoints(t, s, 50, 200, 1, 900)
	require.Positive(t, generations(s)[0])
	require.Equal(t, uint32(1), (*s.segments.Load())[0].last)
	killStore(s)
	disk = replaced(t, disk, status, early)
	dir, err := disk.OpenDir(logDir, 0o600)
	require.NoError(t, err)
	lock, err := dir.Lock(lockName)
	require.NoError(t, err)
	_, err = open(disk, logDir, Options{ReadOnly: true}, true)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, lock.Close())
	r, err := open(disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

func TestAnIndexThatACrashLeftHalfWrittenIsRemoved(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{}, true)
	require.NoError(t, err)
	file, err := s.dir.Create(idxName(1) + rewrittenSuffix)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	s = reopen(t, s)
	names, err := s.dir.List()
	require.NoError(t, err)
	require.NotContains(t, names, idxName(1)+rewrittenSuffix)
}

// viewedDir is a directory of files that can be mapped, and during is called meanwhile.
type viewedDir struct {
	vfs.Dir
	during func()
}

type viewedFile struct {
	vfs.File
	during func()
}

func (d viewedDir) Open(name string, readOnly bool) (vfs.File, error) {
	file, err := d.Dir.Open(name, readOnly)
	return viewedFile{file, d.during}, err
}

func (f viewedFile) View(from int64, size int) (b []byte, unmap func() error, err error) {
	f.during()
	b = make([]byte, size)
	_, err = f.ReadAt(b, from)
	return b, func() error { return nil }, err
}

func TestAFileThatIsReplacedWhileItIsMappedStaysUnmapped(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	grow(t, s, 3)
	g := (*s.segments.Load())[0]
	for _, replaced := range []bool{false, true} {
		s.files.forget(g)
		s.files.dir = viewedDir{s.dir, func() {
			if replaced {
				s.files.forget(g)
				s.files.mappings.forget(g)
			}
		}}
		s.files.mappings.add(g)
		require.Equal(t, replaced, g.mapping.Load() == nil)
	}
	require.Empty(t, s.files.mappings.mapped)
}
