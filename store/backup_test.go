package store

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestABackupOpensAsTheStoreThatItWasMadeOf(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	require.Positive(t, slices.Max(generations(s)))
	report := backedUp(t, s, "copy")
	last, err := s.AnchorAt(t.Context(), s.Head())
	require.NoError(t, err)
	require.Equal(t, last, report.Anchor)
	require.Equal(t, s.Origin(), report.Origin)
	require.Equal(t, s.Stats().Sequence, report.Sequence)
	require.Equal(t, report.Segments, report.Copied)
	require.Equal(t, report.Bytes, report.CopiedBytes)
	require.Equal(t, usedBytes(t, s), report.Bytes)

	c := copyOf(t, disk, "copy")
	require.Equal(t, digest(s), digest(c))
	require.Equal(t, s.Origin(), c.Origin())
	require.NoError(t, c.CheckAnchor(t.Context(), report.Anchor))
	require.Empty(t, unfinishedFiles(t, disk, "copy"))
}

func TestTheNextBackupCopiesWhatHasChanged(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	first := backedUp(t, s, "copy")
	again := backedUp(t, s, "copy")
	require.Equal(t, first.Segments, again.Segments)
	require.Equal(t, 1, again.Copied, "the active segment")

	before := generations(s)
	someMore(t, s)
	require.NotEqual(t, before, generations(s)[:len(before)], "rewritten")
	next := backedUp(t, s, "copy")
	require.Greater(t, next.Copied, 2)
	require.Less(t, next.Copied, next.Segments)
	require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")))
	require.Equal(t, digest(s), digest(restored(t, disk, "copy", "back")))

	// One that was made of several takes the place of all of them.
	s.rewriter.stop.Store(false)
	checkpoints(t, s, 500, 300, 5, 900)
	merged := backedUp(t, s, "copy")
	names, err := disk.List("copy")
	require.NoError(t, err)
	require.Len(t, names, merged.Segments+2, "LOCK, BACKUP and the segments")
	require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")))
}

func TestAReaderMakesBackups(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	r, err := open(disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	defer r.Close()
	for range 3 {
		backedUp(t, r, "copy")
		require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")), "beside the writer, whose files it has open")
		someMore(t, s)
		checkpoints(t, s, 500, 100, 5, 900)
	}
	require.NoError(t, s.Close())
	backedUp(t, r, "copy")
	require.Equal(t, digest(r), digest(copyOf(t, disk, "copy")))
	backedUp(t, copyOf(t, disk, "copy"), "copy of the copy")
	require.Equal(t, digest(r), digest(copyOf(t, disk, "copy of the copy")))
}

func TestABackupOfAPoisonedStoreHasWhatWasPublished(t *testing.T) {
	r := afterAFewCommits(t, SyncAlways)
	want := digest(r.st)
	r.disk.FailAt(r.disk.Ops()+2, syscall.EIO) // the sync
	require.ErrorIs(t, commitOne(crashProposal("order:1", 1, 10))(r), ErrPoisoned)
	backedUp(t, r.st, "copy")
	require.Equal(t, want, digest(copyOf(t, r.disk, "copy")))
	require.ErrorIs(t, r.st.Close(), ErrPoisoned)
}

func TestABackupThatFailsLeavesTheFormerOne(t *testing.T) {
	for name, fault := range map[string]func(t *testing.T, disk *vfs.Memory, s *Store) error{
		"end of the context": func(t *testing.T, _ *vfs.Memory, s *Store) error {
			t.Helper()
			ctx, o := endedBy(t)
			_, err := Backup(ctx, s, "copy", o)
			require.ErrorIs(t, err, context.Canceled)
			return err
		},
		"closed meanwhile": func(t *testing.T, _ *vfs.Memory, s *Store) error {
			t.Helper()
			_, err := Backup(t.Context(), s, "copy", BackupOptions{Progress: func(CopyProgress) { _ = s.Close() }})
			require.ErrorIs(t, err, ErrClosed)
			return err
		},
		"full disk": func(t *testing.T, disk *vfs.Memory, s *Store) error {
			t.Helper()
			var size int64
			for _, dir := range []string{logDir, "copy"} {
				names, err := disk.List(dir)
				require.NoError(t, err)
				for _, name := range names {
					size += int64(len(disk.Bytes(filepath.Join(dir, name))))
				}
			}
			disk.SetCapacity(size + 100<<10)
			_, err := Backup(t.Context(), s, "copy", BackupOptions{})
			require.ErrorIs(t, err, ErrDiskFull)
			disk.SetCapacity(math.MaxInt64)
			return err
		},
		"damage": func(t *testing.T, disk *vfs.Memory, s *Store) error {
			t.Helper()
			g := (*s.segments.Load())[len(*s.segments.Load())-2]
			require.NoError(t, disk.Corrupt(segmentPath(logDir, g.number), 3000, 1))
			_, err := Backup(t.Context(), s, "copy", BackupOptions{})
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, g.number, corrupt.Segment)
			return err
		},
		"other history": func(t *testing.T, disk *vfs.Memory, s *Store) error {
			t.Helper()
			backedUp(t, s, "older copy")
			put(t, s, "lost")
			backedUp(t, s, "copy")
			r := restored(t, disk, "older copy", "back")
			put(t, r, "instead")
			_, err := Backup(t.Context(), r, "copy", BackupOptions{})
			require.ErrorIs(t, err, ErrForeignHistory)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMemory()
			s := someLog(t, disk)
			backedUp(t, s, "copy")
			someMore(t, s)
			want := digest(copyOf(t, disk, "copy"))
			if name == "other history" {
				want = ""
			}
			require.Error(t, fault(t, disk, s))
			require.Empty(t, unfinishedFiles(t, disk, "copy"))
			if want != "" {
				require.Equal(t, want, digest(copyOf(t, disk, "copy")))
				require.Equal(t, want, digest(restored(t, disk, "copy", "back")))
			}
		})
	}
}

func TestADestinationWithSomethingElseIsNotTouched(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	for _, dst := range []string{logDir, filepath.Join(logDir, "copy"), ""} {
		_, err := Backup(t.Context(), s, dst, BackupOptions{})
		require.ErrorIs(t, err, ErrInvalid, "%q", dst)
	}
	other, err := open(disk, "other", Options{}, true)
	require.NoError(t, err)
	backedUp(t, other, "of another")
	_, err = Backup(t.Context(), s, "of another", BackupOptions{})
	require.ErrorIs(t, err, ErrForeignHistory)
	_, err = Backup(t.Context(), s, "other", BackupOptions{})
	require.ErrorIs(t, err, fs.ErrExist)
	require.NoError(t, other.Close())
	require.NoError(t, disk.MkdirAll("documents", ownerOnly))
	_, err = disk.Create(filepath.Join("documents", "letter"))
	require.NoError(t, err)
	for _, dst := range []string{"other", "documents"} {
		before, err := disk.List(dst)
		require.NoError(t, err)
		_, err = Backup(t.Context(), s, dst, BackupOptions{})
		require.ErrorIs(t, err, fs.ErrExist, dst)
		backedUp(t, s, "copy")
		_, err = Restore(t.Context(), "copy", dst, onDisk(disk))
		require.ErrorIs(t, err, fs.ErrExist, dst)
		after, err := disk.List(dst)
		require.NoError(t, err)
		require.Equal(t, before, after, "no lock either")
	}
	_, err = Restore(t.Context(), "copy", "of another", onDisk(disk))
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = Restore(t.Context(), "documents", "new", onDisk(disk))
	require.ErrorIs(t, err, ErrNotBackup)
	_, err = Restore(t.Context(), "nowhere", "new", onDisk(disk))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Restore(t.Context(), "copy", filepath.Join("copy", "back"), onDisk(disk))
	require.ErrorIs(t, err, ErrInvalid)
}

func TestTwoBackupsDoNotMeetInOneDirectory(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	var second, restoring, opening error
	_, err := Backup(t.Context(), s, "copy", BackupOptions{Progress: func(CopyProgress) {
		_, second = Backup(t.Context(), s, "copy", BackupOptions{})
		_, restoring = Restore(t.Context(), "copy", "back", onDisk(disk))
		_, opening = open(disk, "copy", Options{}, true)
	}})
	require.NoError(t, err)
	require.ErrorIs(t, second, ErrLocked)
	require.ErrorIs(t, restoring, ErrNotBackup, "the first one is not finished")
	require.ErrorIs(t, opening, ErrLocked)
	require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")))
}

func TestABackupThatIsOpenedForWritingIsAStoreOfItsOwn(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	backedUp(t, s, "copy")
	c, err := open(disk, "copy", smallSegments(SyncAlways), true)
	require.NoError(t, err)
	put(t, c, "only here")
	m, err := copyManifest(disk.Image(vfs.KeepNothing))
	require.NoError(t, err)
	require.Equal(t, copyNone, m.State, "a power cut makes no backup of it again")
	require.NoError(t, c.Close())
	_, err = Backup(t.Context(), s, "copy", BackupOptions{})
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = Restore(t.Context(), "copy", "back", onDisk(disk))
	require.ErrorIs(t, err, ErrNotBackup)
	disk = disk.Image(vfs.KeepNothing)
	events := all(t, copyOf(t, disk, "copy"), Region{})
	require.Equal(t, "only here", events[len(events)-1].Coordinate.Entity)
}

func TestADamagedManifestIsNotBelieved(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	backedUp(t, s, "copy")
	name := filepath.Join("copy", manifestName)
	for at := range len(disk.Bytes(name)) {
		if at%(7*min(thinning, 5)) != 0 {
			continue
		}
		require.NoError(t, disk.Corrupt(name, int64(at), 1))
		_, err := Backup(t.Context(), s, "copy", BackupOptions{})
		require.ErrorIs(t, err, ErrCorrupt)
		_, err = Restore(t.Context(), "copy", "back", onDisk(disk))
		require.ErrorIs(t, err, ErrCorrupt)
		_, err = open(disk, "copy", Options{ReadOnly: true}, true)
		require.ErrorIs(t, err, ErrCorrupt)
		require.NoError(t, disk.Corrupt(name, int64(at), 1))
	}
	m := manifest{Format: manifestFormat, State: "lent"}
	_, err := decodeManifest(m.encode())
	require.ErrorIs(t, err, ErrNewerFormat)
}

func TestABackupIsForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "log"), smallSegments(SyncNever))
	require.NoError(t, err)
	defer s.Close()
	someMore(t, s)
	dst, back := filepath.Join(dir, "copies", "daily"), filepath.Join(dir, "back")
	for range 2 {
		backedUp(t, s, dst)
		put(t, s, "a")
	}
	entries, err := os.ReadDir(dst)
	require.NoError(t, err)
	for _, entry := range entries {
		_, isSegment := segmentNumber(entry.Name())
		require.True(t, isSegment || slices.Contains([]string{lockName, manifestName}, entry.Name()), entry.Name())
		info, err := entry.Info()
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Zero(t, info.Mode().Perm()&0o077, entry.Name())
		}
	}
	c, err := Open(dst, Options{ReadOnly: true})
	require.NoError(t, err)
	require.Equal(t, s.Head()-1, c.Head())
	require.NoError(t, c.Close())
	report, err := Restore(t.Context(), dst, back, RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, s.Head()-1, report.Anchor.Position)
	r, err := Open(back, Options{MustExist: true})
	require.NoError(t, err)
	require.Equal(t, report.Origin, r.Origin())
	require.NoError(t, r.Close())
}

func TestProgressEndsWithAllThatThereWasToCopy(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	var seen []CopyProgress
	o := BackupOptions{Progress: func(p CopyProgress) { seen = append(seen, p) }}
	report, err := Backup(t.Context(), s, "copy", o)
	require.NoError(t, err)
	requireProgress(t, seen, report)
	seen = nil
	back := onDisk(disk)
	back.Progress = o.Progress
	report, err = Restore(t.Context(), "copy", "back", back)
	require.NoError(t, err)
	requireProgress(t, seen, report)
}

func requireProgress(t *testing.T, seen []CopyProgress, report CopyReport) {
	t.Helper()
	for i := range seen[1:] {
		require.GreaterOrEqual(t, seen[i+1].Bytes, seen[i].Bytes)
	}
	require.Equal(t, CopyProgress{
		Segments: report.Copied, OfSegments: report.Segments, Bytes: report.CopiedBytes, OfBytes: report.Bytes,
	}, seen[len(seen)-1])
	require.Positive(t, seen[0].OfBytes-seen[0].Bytes)
}

func TestWhoMayContinueOverARestoredStoreIsToldByTheAnchor(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	report := backedUp(t, s, "copy")
	for range 3 {
		put(t, s, "after the backup")
	}
	list, last := anchors(t, s), s.Stats().Sequence
	r := restored(t, disk, "copy", "back")
	require.Equal(t, Origin{Store: s.Origin().Store, Incarnation: s.Origin().Incarnation + 1}, r.Origin())
	require.Greater(t, r.Stats().Sequence, last)
	for range 2 {
		for p, a := range list {
			err := r.CheckAnchor(t.Context(), a)
			require.Equal(t, Position(p) <= report.Anchor.Position, err == nil, "position %d: %v", p, err)
			require.True(t, err == nil || errors.Is(err, ErrForeignHistory))
		}
		for range 5 { // where the log continued, the restored one has other events
			require.Greater(t, put(t, r, "instead").Sequence, last)
		}
	}

	// It is backed up to where the former one was, as that has nothing else.
	backedUp(t, r, "copy")
	require.Equal(t, digest(r), digest(copyOf(t, disk, "copy")))
	require.Equal(t, uint32(3), restored(t, disk, "copy", "once more").Origin().Incarnation)
}
