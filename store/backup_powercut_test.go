package store

import (
	"errors"
	"fmt"
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
			for n := 1; cutBackup(t, disk, o, older, n, first); n += thinning {
				cuts++
			}
		}
		t.Logf("%d power cuts", cuts)
	})
}

// cutBackup cuts the power at operation n of a backup, and returns false if it has fewer.
func cutBackup(t *testing.T, base *vfs.Memory, o *crashOracle, older, n int, first bool) bool {
	t.Helper()
	disk := base.Image(vfs.KeepAll)
	if first {
		emptyDirectory(t, disk, "copy")
		older = 0
	}
	st, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	from := disk.Ops()
	disk.CutAt(from + n)
	_, err = Backup(t.Context(), st, "copy", BackupOptions{})
	_ = st.Close()
	if disk.Ops() < from+n {
		require.NoError(t, err)
		return false
	}
	for seed := range uint64(8) {
		seed += seed / 4 * uint64(n)
		where := fmt.Sprintf("first: %v, cut at operation %d (%s), image %d", first, n, lastOf(disk.Trace()), seed)
		img := disk.Image(seed)
		c, err := open(img, "copy", Options{ReadOnly: true}, true)
		unfinished := errors.Is(err, ErrUnfinishedCopy)
		switch {
		case err == nil:
			require.NoError(t, o.compare(c, older), where)
			require.NoError(t, c.Close())
		case first && (errors.Is(err, ErrNotStore) || unfinished):
		default:
			require.ErrorIs(t, err, ErrUnfinishedCopy, where)
		}
		m, err := openManifest(img, "copy")
		require.NoError(t, err, where)
		if first && (m.State == copyNone || m.State == copyFilling) {
			_, err := Restore(t.Context(), "copy", "back", onDisk(img))
			require.ErrorIs(t, err, ErrNotBackup, where)
		} else {
			requireRestored(t, img, o, older, "back")
		}
		st, err := open(img, crashDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		backedUp(t, st, "copy")
		require.NoError(t, st.Close())
		c = copyOf(t, img, "copy")
		require.NoError(t, o.compare(c, len(o.commits)), where)
		require.Empty(t, unfinishedFiles(t, img, "copy"), where)
		require.NoError(t, c.Close())
	}
	return true
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

func openManifest(disk *vfs.Memory, path string) (manifest, error) {
	dir, err := disk.OpenDir(path, ownerOnly)
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
