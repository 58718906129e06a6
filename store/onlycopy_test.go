package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// logWithCopies is a log of some segments of which a backup and a depot have all, or all up to a
// number of segments.
func logWithCopies(t *testing.T, copied, segments int) (disk *vfs.Memory, upTo Position) {
	t.Helper()
	disk = verifiedLog(t, copied)
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	backedUp(t, s, "copy")
	require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true}))
	upTo = s.Head()
	if segments > copied {
		grow(t, s, segments)
	}
	require.NoError(t, s.Close())
	return disk, upTo
}

// recordPlace returns in which segment of a log a record is, and where: that of an event, or the
// present value of a side key.
func recordPlace(t *testing.T, disk *vfs.Memory, p Position, side string) (name string, at int64) {
	t.Helper()
	s := copyOf(t, disk, logDir)
	if side != "" {
		place, found := s.sides.get(side)
		require.True(t, found)
		return segmentPath(logDir, place.Segment), int64(place.Offset)
	}
	g, idx, from, _, err := s.segmentRange(p-1, p)
	require.NoError(t, err)
	offset, err := idx.Offset(from)
	require.NoError(t, err)
	return segmentPath(logDir, g.number), int64(offset)
}

// repairedInPlace repairs a log and returns it, on its disk.
func repairedInPlace(t *testing.T, disk *vfs.Memory) (*Store, RepairReport) {
	t.Helper()
	report, err := Repair(t.Context(), logDir, repairedDir, repairOf(disk))
	require.NoError(t, err)
	return openRepaired(t, disk), report
}

// filesIn returns the files of a directory.
func filesIn(t *testing.T, disk *vfs.Memory, dir string) map[string]string {
	t.Helper()
	names, err := disk.List(dir)
	require.NoError(t, err)
	files := make(map[string]string)
	for _, name := range names {
		files[name] = string(disk.Bytes(dir + "/" + name))
	}
	return files
}

// requireCopiesKept requires that neither of the two copies is touched by a repaired log, and that
// others are made of it as ever.
func requireCopiesKept(t *testing.T, disk *vfs.Memory, s *Store) *OnlyCopyError {
	t.Helper()
	backup, depot := filesIn(t, disk, "copy"), filesIn(t, disk, "depot")
	_, err := Backup(t.Context(), s, "copy", BackupOptions{})
	var only, shipped *OnlyCopyError
	require.ErrorAs(t, err, &only)
	require.ErrorIs(t, err, ErrForeignHistory)
	require.ErrorAs(t, Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true}), &shipped)
	require.Equal(t, only, shipped)
	require.Equal(t, backup, filesIn(t, disk, "copy"))
	require.Equal(t, depot, filesIn(t, disk, "depot"))

	for range 2 { // the second time into what was made after the repair
		backedUp(t, s, "another copy")
		other, err := openDepot(disk, "another depot")
		require.NoError(t, err)
		require.NoError(t, Ship(t.Context(), s, other, ShipOptions{Once: true}))
		put(t, s, "later")
	}
	return only
}

func TestACopyThatHasWhatDamageHasTakenIsKept(t *testing.T) {
	disk, upTo := logWithCopies(t, 3, 3)
	name, at := recordPlace(t, disk, 40, "")
	flip(t, disk, name, at+60)
	s, report := repairedInPlace(t, disk)
	defer s.Close()
	require.Equal(t, []Range{{40, 40}}, report.Lost)
	only := requireCopiesKept(t, disk, s)
	require.Equal(t, &OnlyCopyError{Copied: upTo, Lost: report.Lost, Vague: report.Commits > 0}, only)
	require.ErrorContains(t, only, "has what this log lost to damage: events 40 to 40")
	back := restored(t, disk, "copy", "back")
	_, err := back.GetAt(t.Context(), 40)
	require.NoError(t, err)
}

func TestACopyThatHasALostSideValueIsKept(t *testing.T) {
	disk, _ := logWithCopies(t, 3, 3)
	const key = "long/1"
	name, at := recordPlace(t, disk, 0, key)
	flip(t, disk, name, at+26)
	s, report := repairedInPlace(t, disk)
	defer s.Close()
	require.Empty(t, report.Lost)
	require.Equal(t, []string{key}, report.Sides)
	require.Equal(t, report.Sides, requireCopiesKept(t, disk, s).Sides)
}

func TestACopyIsKeptIfAFileOfTheLogIsGone(t *testing.T) {
	for number := uint32(1); number <= 3; number++ {
		disk, upTo := logWithCopies(t, 3, 5)
		require.NoError(t, disk.Remove(segmentPath(logDir, number)))
		require.NoError(t, disk.SyncDir(logDir))
		s, report := repairedInPlace(t, disk)
		only := requireCopiesKept(t, disk, s)
		require.Equal(t, ranges(report.Lost).clip(1, upTo), only.Lost, "segment %d, the first one is taken for dropped", number)
		require.NoError(t, s.Close())
	}
}

func TestACopyOfBeforeWhatWasLostIsContinued(t *testing.T) {
	disk, upTo := logWithCopies(t, 2, 5)
	name, at := recordPlace(t, disk, upTo+1, "")
	flip(t, disk, name, at+60)
	s, report := repairedInPlace(t, disk)
	defer s.Close()
	require.Equal(t, []Range{{upTo + 1, upTo + 1}}, report.Lost)
	backedUp(t, s, "copy")
	require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true}))
	require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")))
}

// A log that is whole, and was repaired for nothing, is no reason to copy all of it again.
func TestACopyIsContinuedAfterARepairThatLostNothing(t *testing.T) {
	disk, _ := logWithCopies(t, 3, 3)
	flip(t, disk, segmentPath(logDir, 2), 20)
	s, report := repairedInPlace(t, disk)
	defer s.Close()
	require.True(t, report.Clean())
	backedUp(t, s, "copy")
	require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true}))
	require.Equal(t, digest(s), digest(copyOf(t, disk, "copy")))
}

// A copy remembers no repair: one of each must be found, whatever was dropped before the copy.
func TestACopyIsKeptAfterAnyOfSeveralRepairs(t *testing.T) {
	disk, upTo := logWithCopies(t, 3, 3)
	name, at := recordPlace(t, disk, 40, "")
	flip(t, disk, name, at+60)
	s, _ := repairedInPlace(t, disk)
	put(t, s, "between")
	require.NoError(t, s.Close())
	flip(t, disk, repairedDir+"/"+segmentName(2), 20)
	report, err := Repair(t.Context(), repairedDir, "repaired again", repairOf(disk))
	require.NoError(t, err)
	require.True(t, report.Clean())
	again, err := open(disk, "repaired again", smallSegments(SyncAlways), true)
	require.NoError(t, err)
	defer again.Close()
	dropBefore(t, again, upTo) // not the anchor of the copies
	require.Greater(t, First(again), Position(40))
	require.Equal(t, []Range{{40, 40}}, requireCopiesKept(t, disk, again).Lost)
}

func TestASegmentOfABackupHealsADamagedLog(t *testing.T) {
	disk, _ := logWithCopies(t, 3, 5)
	want := digest(copyOf(t, disk, logDir))
	for _, number := range []uint32{1, 2} {
		name := segmentPath(logDir, number)
		flip(t, disk, name, 1000)
		report, err := verifyDir(t.Context(), disk, logDir, VerifyOptions{})
		require.NoError(t, err)
		require.ErrorIs(t, report.Err(), ErrCorrupt)
		overwrite(t, disk, name, 0, disk.Bytes(segmentPath("copy", number)))
	}
	report, err := verifyDir(t.Context(), disk, logDir, VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	s := mustOpenAt(t, disk, logDir)
	require.Equal(t, want, digest(s))
	backedUp(t, s, "copy")
}

// Damage that is not repaired is no reason to take a whole copy of it away, whatever is copied with
// it.
func TestACopyOfADamagedLogStaysWhole(t *testing.T) {
	disk, _ := logWithCopies(t, 3, 3)
	for _, at := range []int64{60, -100, 30} { // of an event, of the footer, of the header
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			disk := disk.Image(vfs.KeepAll)
			name, record := recordPlace(t, disk, 40, "")
			switch {
			case at == 60:
				at += record
			case at < 0:
				at += int64(len(disk.Bytes(name)))
			}
			s, err := open(disk, logDir, smallSegments(SyncAlways), true)
			require.NoError(t, err)
			defer s.Close()
			flip(t, disk, name, at)
			grow(t, s, 6)
			_, _ = Backup(t.Context(), s, "copy", BackupOptions{})
			_ = Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true})
			_, err = RestoreFrom(t.Context(), depotOn(t, disk), "of the depot", onDisk(disk))
			require.NoError(t, err)
			for _, st := range []*Store{copyOf(t, disk, "copy"), copyOf(t, disk, "of the depot")} {
				report := verified(t, st, VerifyOptions{})
				require.NoError(t, report.Err())
				_, err := st.GetAt(t.Context(), 40)
				require.NoError(t, err)
			}
		})
	}
}
