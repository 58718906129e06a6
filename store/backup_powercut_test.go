package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// A backup at any step of a script has what was acknowledged by then, whatever was sealed,
// rewritten and merged since the one before it.
func TestABackupAtAnyTimeHasAllThatWasCommitted(t *testing.T) {
	for name, live := range map[string]struct {
		mode   SyncMode
		script []crashStep
	}{
		"SyncAlways": {SyncAlways, crashScript(2)}, "SyncNever": {SyncNever, crashScript(2)},
		"rewritten": {SyncAlways, rewritingScript(4)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCrashRun(vfs.NewMemory(), live.mode)
				var kept, replaced int
				for i, step := range live.script[:len(live.script)-1] {
					require.NoError(t, step(r), "step %d", i)
					report := backedUp(t, r.st, "copy")
					kept += report.Segments - report.Copied
					replaced += report.Copied - 1
					c, err := open(r.disk, "copy", Options{ReadOnly: true}, true)
					require.NoError(t, err, "step %d", i)
					require.NoError(t, r.compare(c, len(r.commits)), "step %d", i)
					require.NoError(t, c.Close())
					if i%10 == 0 {
						requireRestored(t, r.disk, &r.crashOracle, len(r.commits), fmt.Sprint("restored ", i))
					}
				}
				require.NoError(t, r.end())
				require.Positive(t, kept)
				require.Positive(t, replaced)
				t.Logf("%d segments were kept, %d replaced or added", kept, replaced)
			})
		})
	}
}

// requireRestored makes a store of the backup, compares it, and continues to write it.
func requireRestored(t *testing.T, disk *vfs.Memory, o *crashOracle, floor int, dst string) {
	t.Helper()
	report, err := Restore(t.Context(), "copy", dst, onDisk(disk))
	require.NoError(t, err, dst)
	st, err := open(disk, dst, smallSegments(SyncAlways), true)
	require.NoError(t, err, dst)
	require.NoError(t, o.compare(st, floor), dst)
	require.NoError(t, o.verifyKeys(st, survivors(st)), dst)
	require.Equal(t, report.Origin, st.Origin(), dst)
	require.Equal(t, o.history.Incarnation+1, st.Origin().Incarnation, dst)
	require.GreaterOrEqual(t, st.Stats().Sequence, uint64(restoredLeap), dst)
	put(t, st, "order:1")
	require.NoError(t, st.Close(), dst)
}

// backedUpTwice is a disk with a log, and a backup of it that is older: since then segments were
// added, rewritten and merged.
func backedUpTwice(t *testing.T) (disk *vfs.Memory, o *crashOracle, older int) {
	t.Helper()
	r := newCrashRun(vfs.NewMemory(), SyncAlways)
	script := rewritingScript(3)
	script = script[:len(script)-1]
	for i, step := range script {
		require.NoError(t, step(r), "step %d", i)
		if i == len(script)/3 {
			backedUp(t, r.st, "copy")
			older = len(r.commits)
		}
	}
	r.kill()
	return r.disk.Image(vfs.KeepAll), &r.crashOracle, older
}

func TestAPowerCutDuringABackupLeavesTheFormerOneOrThisOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, o, older := backedUpTwice(t)
		cuts := 0
		for _, first := range []bool{false, true} {
			for n := 1; (&backupCut{disk, o, older, first, 0, n}).test(t, 8); n += thinning {
				cuts++
			}
		}
		t.Logf("%d power cuts", cuts)
	})
}

// What a backup has renamed and could not make durable is seen by the next one, and may be gone
// after a power cut.
func TestAPowerCutDuringABackupAfterOneThatFailedLeavesTheFormerOneOrThisOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, o, older := backedUpTwice(t)
		for _, first := range []bool{true, false} {
			steps := (&backupCut{disk, o, older, first, 0, 1 << 30}).trace(t)
			failures, cuts := 0, 0
			for i, step := range steps {
				if !strings.HasPrefix(step, "syncdir") || !strings.HasPrefix(steps[i-1], "rename "+manifestName) {
					continue
				}
				failures++
				for n := 1; (&backupCut{disk, o, older, first, i + 1, n}).test(t, 8); n += thinning {
					cuts++
				}
			}
			require.GreaterOrEqual(t, failures, 2)
			t.Logf("%d failures, %d power cuts", failures, cuts)
		}
	})
}

// backupCut is a backup that is cut off by the end of the power.
type backupCut struct {
	base  *vfs.Memory
	o     *crashOracle
	older int
	first bool // the destination is empty
	fails int  // the operation that failed in another one just before, 0 for none before
	n     int  // the operation at which the power is cut
}

// run runs it, and returns the disk and how many operations there were before it.
func (c *backupCut) run(t *testing.T) (disk *vfs.Memory, from int, err error) {
	t.Helper()
	disk = c.base.Image(vfs.KeepAll)
	if c.first {
		emptyDirectory(t, disk, "copy")
		c.older = 0
	}
	st, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	defer func() { _ = st.Close() }()
	if c.fails > 0 {
		disk.FailAt(disk.Ops()+c.fails, syscall.EIO)
		_, err = Backup(t.Context(), st, "copy", BackupOptions{})
		require.ErrorIs(t, err, syscall.EIO)
	}
	from = disk.Ops()
	disk.CutAt(from + c.n)
	_, err = Backup(t.Context(), st, "copy", BackupOptions{})
	return disk, from, err
}

// trace returns its operations.
func (c *backupCut) trace(t *testing.T) []string {
	t.Helper()
	disk, from, err := c.run(t)
	require.NoError(t, err)
	return disk.Trace()[from:]
}

// test looks at what it leaves, and makes a backup of it. It returns false if there are fewer
// operations.
func (c *backupCut) test(t *testing.T, images uint64) bool {
	t.Helper()
	disk, from, err := c.run(t)
	if disk.Ops() < from+c.n {
		require.NoError(t, err)
		return false
	}
	for seed := range images {
		seed += seed / 4 * uint64(c.n)
		where := fmt.Sprintf("first: %v, after a failure at %d, cut at operation %d (%s), image %d",
			c.first, c.fails, c.n, lastOf(disk.Trace()), seed)
		c.look(t, disk.Image(seed), where)
	}
	return true
}

func (c *backupCut) look(t *testing.T, img *vfs.Memory, where string) {
	t.Helper()
	was, err := open(img, "copy", Options{ReadOnly: true}, true)
	unfinished := errors.Is(err, ErrUnfinishedCopy)
	switch {
	case err == nil:
		require.NoError(t, c.o.compare(was, c.older), where)
		require.NoError(t, was.Close())
	case c.first && (errors.Is(err, ErrNotStore) || unfinished):
	default:
		require.ErrorIs(t, err, ErrUnfinishedCopy, where)
	}
	m, err := copyManifest(img)
	require.NoError(t, err, where)
	if c.first && (m.State == copyNone || m.State == copyFilling) {
		_, err := Restore(t.Context(), "copy", "back", onDisk(img))
		require.ErrorIs(t, err, ErrNotBackup, where)
	} else {
		requireRestored(t, img, c.o, c.older, "back")
	}
	st, err := open(img, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	_, err = Backup(t.Context(), st, "copy", BackupOptions{})
	require.NoError(t, err, where)
	require.NoError(t, st.Close())
	now := copyOf(t, img, "copy")
	require.NoError(t, c.o.compare(now, len(c.o.commits)), where)
	require.Empty(t, unfinishedFiles(t, img, "copy"), where)
	require.NoError(t, now.Close())
}

func emptyDirectory(t *testing.T, disk *vfs.Memory, dir string) {
	t.Helper()
	names, err := disk.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, disk.Remove(dir+"/"+name))
	}
	require.NoError(t, disk.SyncDir(dir))
}

func copyManifest(disk *vfs.Memory) (manifest, error) {
	dir, err := disk.OpenDir("copy", ownerOnly)
	if err != nil {
		return manifest{}, err
	}
	defer func() { _ = dir.Close() }()
	return readManifest(dir)
}

func TestAPowerCutDuringARestoreLeavesAllOfTheStoreOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, o, older := backedUpTwice(t)
		st, err := open(base, crashDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		shipOnce(t, st, depotOn(t, base))
		require.NoError(t, st.Close())
		base = base.Image(vfs.KeepAll)
		for name, restore := range map[string]func(*vfs.Memory) error{
			"Restore": func(disk *vfs.Memory) error {
				_, err := Restore(t.Context(), "copy", "back", onDisk(disk))
				return err
			},
			"RestoreFrom": func(disk *vfs.Memory) error {
				depot, err := openDepot(disk, "depot")
				if err == nil {
					_, err = RestoreFrom(t.Context(), depot, "back", onDisk(disk))
				}
				return err
			},
		} {
			cuts := 0
			for n := 1; ; n += 2 * thinning {
				disk := base.Image(vfs.KeepAll)
				disk.CutAt(n)
				err := restore(disk)
				done := disk.Ops() < n
				if done {
					require.NoError(t, err)
				}
				for seed := range uint64(8) {
					cuts++
					seed += seed / 4 * uint64(n)
					where := fmt.Sprintf("%s, cut at operation %d (%s), image %d", name, n, lastOf(disk.Trace()), seed)
					requireAllOrNone(t, disk.Image(seed), o, older, done, where)
				}
				if done { // and durable
					break
				}
			}
			t.Logf("%s: %d power cuts", name, cuts)
		}
	})
}

func requireAllOrNone(t *testing.T, img *vfs.Memory, o *crashOracle, older int, all bool, where string) {
	t.Helper()
	st, err := open(img, "back", Options{MustExist: true, SegmentBytes: minSegmentBytes}, true)
	if err != nil {
		none := errors.Is(err, ErrNotStore) || errors.Is(err, ErrUnfinishedCopy)
		require.True(t, none && !all, "%s: %v", where, err)
		requireRestored(t, img, o, older, "back")
		return
	}
	require.NoError(t, o.compare(st, older), where)
	require.Equal(t, o.history.Incarnation+1, st.Origin().Incarnation, where)
	require.NoError(t, st.Close())
}

// What becomes a store is one from the first commit on, though that it is no copy any more could
// not be made durable at first.
func TestAPowerCutAfterACopyHasBecomeAStoreLeavesItOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, _, _ := backedUpTwice(t)
		for name, become := range map[string]func(disk *vfs.Memory) error{
			"Restore": func(disk *vfs.Memory) error {
				_, err := Restore(t.Context(), "copy", "own", onDisk(disk))
				return err
			},
			"Repair": func(disk *vfs.Memory) error {
				_, err := Repair(t.Context(), "copy", "own", RepairOptions{Store: onDisk(disk).Store, Reason: "test", By: "test"})
				return err
			},
			"Open": func(disk *vfs.Memory) error {
				st, err := open(disk, "copy", smallSegments(SyncAlways), true)
				if err == nil {
					err = st.Close()
				}
				return err
			},
		} {
			dir := "own"
			if name == "Open" {
				dir = "copy"
			}
			steps := base.Image(vfs.KeepAll)
			require.NoError(t, become(steps), name)
			last := slices.Index(steps.Trace(), "rename "+manifestName+" "+manifestName+rewrittenSuffix) + 2
			require.Equal(t, "syncdir "+dir, steps.Trace()[last-1])

			disk := base.Image(vfs.KeepAll)
			disk.FailAt(last, syscall.EIO)
			require.ErrorIs(t, become(disk), syscall.EIO, name)
			st, err := open(disk, dir, smallSegments(SyncAlways), true)
			require.NoError(t, err, name)
			head := put(t, st, "own").Position()
			for seed := range uint64(16) {
				img := disk.Image(seed)
				source, err := open(img, crashDir, Options{ReadOnly: true}, true)
				require.NoError(t, err)
				_, err = Backup(t.Context(), source, dir, BackupOptions{})
				require.ErrorIs(t, err, fs.ErrExist, "%s, image %d", name, seed)
				require.NoError(t, source.Close())
				own, err := open(img, dir, smallSegments(SyncAlways), true)
				require.NoError(t, err, "%s, image %d", name, seed)
				require.Equal(t, head, own.Head(), "%s, image %d", name, seed)
				require.NoError(t, own.Close())
			}
			require.NoError(t, st.Close())
		}
	})
}
