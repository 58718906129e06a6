package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// requireLocked opens a directory that is locked and returns the error.
func requireLocked(t *testing.T, dir string) *LockedError {
	t.Helper()
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	return locked
}

func requireNoOwner(t *testing.T, dir string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(dir, ownerName))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestALockedDirectoryNamesTheProcessThatHasItOpen(t *testing.T) {
	dir, before := t.TempDir(), time.Now().Truncate(time.Second)
	s := diskLog(t, dir, Options{})
	executable, err := os.Executable()
	require.NoError(t, err)
	owner := requireLocked(t, dir)
	require.Equal(t, os.Getpid(), owner.PID)
	require.Equal(t, executable, owner.Program)
	require.WithinRange(t, owner.Started, before, time.Now())
	_, err = Open(dir, Options{})
	require.ErrorContains(t, err, fmt.Sprintf("process %d (%s), since ", os.Getpid(), executable))
	require.NoError(t, s.Close())
	requireNoOwner(t, dir)

	other, first := start(t, "writer", dir)
	require.Equal(t, "open 0", first)
	owner = requireLocked(t, dir)
	require.Equal(t, other.cmd.Process.Pid, owner.PID)
	require.Equal(t, executable, owner.Program)
	other.ask("close")
	requireNoOwner(t, dir)
}

func TestAReaderIsNoOwner(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, diskLog(t, dir, Options{}).Close())
	diskLog(t, dir, Options{ReadOnly: true})
	requireNoOwner(t, dir)
	require.NoError(t, diskLog(t, dir, Options{}).Close(), "nothing is locked")
}

func TestAStaleOwnerFileIsHarmless(t *testing.T) {
	dir := t.TempDir()
	killed, _ := start(t, "writer", dir)
	killed.ask("append 1")
	killed.kill()
	stale, err := os.ReadFile(filepath.Join(dir, ownerName))
	require.NoError(t, err)
	require.Contains(t, string(stale), fmt.Sprintf(`"pid":%d,`, killed.cmd.Process.Pid))

	s := diskLog(t, dir, Options{})
	require.Equal(t, os.Getpid(), requireLocked(t, dir).PID)
	require.NoError(t, s.Close())
	requireNoOwner(t, dir)
}

func TestAnUnreadableOwnerFileIsAnUnknownOwner(t *testing.T) {
	dir := t.TempDir()
	diskLog(t, dir, Options{})
	name := filepath.Join(dir, ownerName)
	for _, content := range []string{
		"", "{", "\x00\x00\x00", "[]", `{"pid":"1"}`, `{"pid":0}`, `{"pid":-1}`, `{"program":"x"}`,
		`{"pid":1,"program":"` + strings.Repeat("x", maxOwnerBytes) + `"}`,
	} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		require.Zero(t, *requireLocked(t, dir), "%q", content)
	}
	_, err := Open(dir, Options{})
	require.ErrorContains(t, err, "another writer: unknown process")
	require.NoError(t, os.WriteFile(name, []byte(`{"pid":7,"admin":"unix:/run/x","started":"2026-01-02T03:04:05Z"}`), 0o600))
	require.EqualError(t, requireLocked(t, dir),
		"store: directory is locked by another writer: process 7, since 2026-01-02T03:04:05Z", "other members are for later versions")
	require.NoError(t, os.Remove(name))
	require.Zero(t, *requireLocked(t, dir))
}

func TestNoErrorWithTheOwnerFileKeepsAStoreFromOpening(t *testing.T) {
	written := vfs.NewMemory()
	s := openLog(t, written, Options{})
	put(t, s, "a")
	stale := written.Image(vfs.KeepAll) // as a killed process leaves it
	require.NoError(t, s.Close())
	for name, disk := range map[string]*vfs.Memory{"none": written.Image(vfs.KeepAll), "stale": stale} {
		probe := disk.Image(vfs.KeepAll)
		s := openLog(t, probe, Options{})
		put(t, s, "a")
		require.NoError(t, s.Close())
		failed := 0
		for i, op := range probe.Trace() {
			if !strings.Contains(op, ownerName) {
				continue
			}
			failed++
			full := disk.Image(vfs.KeepAll)
			full.FailAt(i+1, syscall.ENOSPC)
			s := openLog(t, full, Options{})
			require.Equal(t, Position(1), s.Head(), "%s, %s", name, op)
			put(t, s, "a")
			require.NoError(t, s.Close())
		}
		require.GreaterOrEqual(t, failed, 4, "%s: removed, created, written, removed", name)
	}
}

func TestAStoreThatMustExistIsNotCreated(t *testing.T) {
	top := t.TempDir()
	empty, locked, alien := filepath.Join(top, "empty"), filepath.Join(top, "locked"), filepath.Join(top, "alien")
	for _, dir := range []string{empty, locked, alien} {
		require.NoError(t, os.Mkdir(dir, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(locked, lockName), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(alien, "1.seg"), []byte("x"), 0o600))
	missing := filepath.Join(top, "missing")
	everything := func() (all []any) {
		_, err := os.Stat(missing)
		return append(all, err, contents(t, empty), contents(t, locked), contents(t, alien))
	}
	for _, dir := range []string{empty, locked, alien, missing} {
		before := everything()
		_, err := Open(dir, Options{MustExist: true})
		require.ErrorIs(t, err, ErrNotStore)
		require.ErrorContains(t, err, strconv.Quote(dir))
		require.Equal(t, before, everything())
	}
	require.NoError(t, diskLog(t, empty, Options{}).Close())
	require.NoError(t, diskLog(t, empty, Options{MustExist: true}).Close())
}

func TestAStoreWhoseCreationWasCutOffDoesNotExistYet(t *testing.T) {
	pieces := Options{SegmentBytes: 2 * fillPiece} // of zeros that are written in turn: more are as two
	existing := pieces
	existing.MustExist = true
	for cut := 1; ; cut++ {
		disk := vfs.NewMemory()
		disk.CutAt(cut)
		s, err := open(disk, logDir, pieces, true)
		if err == nil {
			require.NoError(t, err)
			disk = disk.Image(vfs.KeepNothing)
			_ = s.Close()
			s, err = open(disk, logDir, existing, true)
			require.NoError(t, err, "Open has returned once")
			require.NoError(t, s.Close())
			return
		}
		for seed := range uint64(4) {
			img := disk.Image(seed)
			if s, err = open(img, logDir, existing, true); err == nil { // its opening mark was kept
				require.NoError(t, s.Close())
				continue
			}
			require.ErrorIs(t, err, ErrNotStore, "cut at %d", cut)
			s, err = open(img, logDir, pieces, true)
			require.NoError(t, err, "cut at %d", cut)
			require.NoError(t, s.Close())
		}
	}
}

func TestAnOwnerAnnouncesWhereItCanBeAsked(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, Options{})
	put(t, s, "a")
	of := func() *Owner {
		o, err := OwnerOf(dir)
		require.NoError(t, err)
		return o
	}
	require.Equal(t, os.Getpid(), of().PID)
	require.Empty(t, of().Admin)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ownerNew), []byte("half"), 0o600))
	require.NoError(t, Announce(s, "unix:/run/shop"))
	require.Equal(t, "unix:/run/shop", of().Admin)
	require.Equal(t, os.Getpid(), requireLocked(t, dir).PID)
	require.NoError(t, Announce(s, ""))
	require.Equal(t, Owner{PID: of().PID, Program: of().Program, Started: of().Started}, *of())

	require.ErrorIs(t, Announce(s, strings.Repeat("x", maxAdminBytes+1)), ErrInvalid)
	require.NoError(t, s.Close())
	require.Nil(t, of())
	require.ErrorIs(t, Announce(s, "x"), ErrClosed)
	requireNoOwner(t, dir)
	require.ErrorIs(t, Announce(diskLog(t, dir, Options{ReadOnly: true}), "x"), ErrReadOnly)
}

func TestTheOwnerOfADirectoryWithoutAStoreIsAnError(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{top, filepath.Join(top, "missing")} {
		_, err := OwnerOf(dir)
		require.ErrorIs(t, err, ErrNotStore)
	}
	_, err := OwnerOf("")
	require.ErrorIs(t, err, ErrInvalid)
	entries, err := os.ReadDir(top)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing was made")
}

func TestAnAnnouncementThatFailsLeavesTheOneBefore(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	put(t, s, "a")
	require.NoError(t, Announce(s, "old"))
	for _, op := range []int{2, 3, 4} { // created, written, renamed; first what a crash left is removed
		disk.FailAt(disk.Ops()+op, syscall.ENOSPC)
		require.ErrorIs(t, Announce(s, "new"), syscall.ENOSPC)
		require.Equal(t, "old", readOwner(s.dir).Admin)
		require.Equal(t, "old", s.owner.Admin)
	}
	require.NoError(t, Announce(s, "new"))
	require.Equal(t, "new", readOwner(s.dir).Admin)
	require.NoError(t, s.Close())
}
