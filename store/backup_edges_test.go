package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// verifiedDir requires that a cold directory is whole, and returns what there is of it.
func verifiedDir(t *testing.T, disk *vfs.Memory, dir string) VerifyReport {
	t.Helper()
	report, err := verifyDir(t.Context(), disk, dir, VerifyOptions{})
	require.NoError(t, err, dir)
	require.NoError(t, report.Err(), dir)
	return report
}

func TestABackupAndAStoreMadeOfOneAreVerified(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	stage(t, fenceOf(t, s), "hidden") // open in the log, cancelled in the copies
	put(t, s, "last")
	shipOnce(t, s, depotOn(t, disk))
	for range 2 {
		backedUp(t, s, "copy")
		report := verifiedDir(t, disk, "copy")
		require.Equal(t, s.Origin(), report.Origin)
		require.Equal(t, Position(s.assigned.Load()), report.Head)
		require.EqualValues(t, 1, report.Hidden)
		someMore(t, s)
	}
	_, err := Restore(t.Context(), "copy", "back", onDisk(disk))
	require.NoError(t, err)
	require.Equal(t, s.Origin().Incarnation+1, verifiedDir(t, disk, "back").Origin.Incarnation)
	_, err = RestoreFrom(t.Context(), depotOn(t, disk), "shipped", onDisk(disk))
	require.NoError(t, err)
	require.EqualValues(t, 1, verifiedDir(t, disk, "shipped").Hidden)

	var number uint32
	for _, g := range *s.segments.Load() {
		if len(disk.Bytes(segmentPath("copy", g.number))) > 4000 {
			number = g.number
		}
	}
	require.NoError(t, disk.Corrupt(segmentPath("copy", number), 3000, 1))
	report, err := verifyDir(t.Context(), disk, "copy", VerifyOptions{})
	require.NoError(t, err)
	require.False(t, report.Whole())
	require.Equal(t, number, report.Damage[0].Segment)
}

// The copy has what others have committed since, and no writer that could publish the fence. The
// next one shows how it has ended in the log.
func TestABackupBesideAnOpenFenceHasAllButWhatIsStaged(t *testing.T) {
	for _, publish := range []bool{true, false} {
		disk := vfs.NewMemory()
		s := openLog(t, disk, smallSegments(SyncAlways))
		r := openLog(t, disk, Options{ReadOnly: true})
		put(t, s, "a")
		f := fenceOf(t, s)
		staged := stage(t, f, "b")
		other := put(t, s, "c")
		for i, from := range []*Store{s, r} {
			dst := fmt.Sprint("copy ", i)
			report := backedUp(t, from, dst)
			require.Equal(t, other.Anchor(), report.Anchor, "it does not end at the head")
			back := restored(t, disk, dst, fmt.Sprint("back ", i))
			for _, c := range []*Store{copyOf(t, disk, dst), back} {
				require.Equal(t, []string{"a", "c"}, visible(t, c))
				require.Equal(t, []Range{{2, 2}}, CancelledRanges(c, 0, 100))
				require.Empty(t, c.Stats().Fences)
				require.ErrorIs(t, c.WaitVisible(t.Context(), staged), ErrFenceCancelled)
				require.NoError(t, c.WaitVisible(t.Context(), other))
			}
			require.EqualValues(t, 1, put(t, back, "b").Events[0].Version)
			requireChains(t, everything(t, back))
		}
		end, want := f.Cancel, []string{"a", "c"}
		if publish {
			end, want = f.Publish, []string{"a", "b", "c"}
		}
		require.NoError(t, end(t.Context()))
		for i, from := range []*Store{s, r} {
			dst := fmt.Sprint("copy ", i)
			backedUp(t, from, dst)
			require.Equal(t, want, visible(t, copyOf(t, disk, dst)))
		}
	}
}

func TestARestoreTellsWhereAFenceWasOpenThatIsCancelledInIt(t *testing.T) {
	disk := vfs.NewMemory()
	s := mustOpenAt(t, disk, logDir)
	stage(t, fenceOf(t, s), "left open")
	put(t, s, "a")
	killStore(s)
	s = mustOpenAt(t, disk, logDir) // so that one was cancelled for good
	f := fenceOf(t, s)
	stage(t, f, "b")
	put(t, s, "c")
	backedUp(t, s, "copy")
	shipOnce(t, s, depotOn(t, disk))
	require.NoError(t, f.Publish(t.Context()))
	report, err := Restore(t.Context(), "copy", "back", onDisk(disk))
	require.NoError(t, err)
	require.Equal(t, Position(3), report.Fenced)
	require.Equal(t, []string{"a", "c"}, visible(t, copyOf(t, disk, "back")))
	report, err = RestoreFrom(t.Context(), depotOn(t, disk), "shipped", onDisk(disk))
	require.NoError(t, err)
	require.Equal(t, Position(3), report.Fenced)

	backedUp(t, s, "copy")
	report, err = Restore(t.Context(), "copy", "later", onDisk(disk))
	require.NoError(t, err)
	require.Zero(t, report.Fenced)
	require.NoError(t, s.Close())
}

func mustOpenAt(t *testing.T, disk *vfs.Memory, dir string) *Store {
	t.Helper()
	s, err := open(disk, dir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	return s
}

// A crash has left the files of a backup under two names. That backup counts, also where the next
// one fails.
func TestABackupThatFailsAfterOneThatWasCutOffLeavesThat(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	backedUp(t, s, "copy")
	someMore(t, s)
	base, want, cuts := disk.Image(vfs.KeepAll), digest(s), 0
	for n := 1; ; n++ {
		disk := base.Image(vfs.KeepAll)
		st, err := open(disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		disk.CutAt(disk.Ops() + n)
		_, err = Backup(t.Context(), st, "copy", BackupOptions{})
		_ = st.Close()
		if err == nil {
			break
		}
		disk = disk.Image(vfs.KeepAll)
		if m, err := copyManifest(disk); err != nil || m.State != copySwitching {
			continue
		}
		cuts++
		st, err = open(disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		_, err = Backup(ctx, st, "copy", BackupOptions{Progress: func(CopyProgress) { cancel() }})
		require.True(t, err == nil || errors.Is(err, context.Canceled), "%v", err)
		require.NoError(t, st.Close())
		require.Equal(t, want, digest(copyOf(t, disk, "copy")))
		require.Equal(t, want, digest(restored(t, disk, "copy", "back")))
	}
	require.Greater(t, cuts, 3)
}

func TestTheFilesOfSegmentsThatBecameOneLeaveTheBackup(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	s.rewriter.stop.Store(true)
	put(t, s, "a")
	checkpoints(t, s, 0, 400, 2, 900)
	before := backedUp(t, s, "copy")
	require.Greater(t, before.Segments, 4)
	s.rewriter.stop.Store(false)
	checkpoints(t, s, 400, 500, 2, 900)
	s.tasks.Wait()
	after := backedUp(t, s, "copy")
	require.Less(t, after.Segments, before.Segments)
	names, err := disk.List("copy")
	require.NoError(t, err)
	require.Len(t, names, after.Segments+2, "LOCK, BACKUP and the segments")
	require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")))
}

// Its batches say where it ends, and the checksum that the next one continues lies in its header.
func TestARewrittenSegmentWithABadFooterIsBackedUp(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	want := digest(s)
	var number uint32
	for _, g := range *s.segments.Load() {
		if g.generation > 0 {
			number = g.number
		}
	}
	require.Positive(t, number)
	require.NoError(t, s.Close())
	name := segmentPath(logDir, number)
	require.NoError(t, disk.Corrupt(name, int64(len(disk.Bytes(name))-wal.TrailerSize/2), 1))
	r := openLog(t, disk, Options{ReadOnly: true})
	for range 2 {
		backedUp(t, r, "copy")
		require.Equal(t, want, digest(copyOf(t, disk, "copy")))
	}
	require.Equal(t, want, digest(restored(t, disk, "copy", "back")))
}
