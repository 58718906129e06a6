package store

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

func TestAPowerCutDuringARepairLeavesTheOriginalAndAllOfTheRepairedLogOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := verifiedLog(t, 4)
		flip(t, base, segmentPath(logDir, 1), 40)
		flip(t, base, segmentPath(logDir, 2), wal.SegmentHeaderSize+wal.BatchHeaderSize+50)
		require.NoError(t, base.Remove(segmentPath(logDir, 3)))
		require.NoError(t, base.SyncDir(logDir))
		base = base.Image(vfs.KeepAll)
		done, whole, err := repaired(t, base)
		require.NoError(t, err)
		events := all(t, openRepaired(t, done), Region{})
		for n := 1; ; n += thinning {
			disk := base.Image(vfs.KeepAll)
			disk.CutAt(n)
			_, err := Repair(t.Context(), logDir, repairedDir, repairOf(disk))
			if disk.Ops() < n {
				require.NoError(t, err)
				t.Logf("%d operations", n-1)
				return
			}
			require.Error(t, err)
			for seed := range uint64(3) {
				seed += seed / 2 * uint64(n)
				where := fmt.Sprintf("cut at operation %d (%s), image %d", n, lastOf(disk.Trace()), seed)
				img := disk.Image(seed)
				for _, name := range mustList(t, base) {
					require.Equal(t, base.Bytes(logDir+"/"+name), img.Bytes(logDir+"/"+name), where)
				}
				st, err := open(img, repairedDir, Options{MustExist: true}, true)
				if err == nil {
					require.NoError(t, st.Close())
				} else {
					require.True(t, errors.Is(err, ErrNotStore) || errors.Is(err, ErrUnfinishedCopy), "%s: %v", where, err)
					_, err = Repair(t.Context(), logDir, repairedDir, repairOf(img))
					require.NoError(t, err, where)
				}
				st = openRepaired(t, img)
				require.Equal(t, whole.Lost, LostRanges(st, 1, st.Head()), where)
				got := all(t, st, Region{})
				require.Len(t, got, len(events), where)
				for i := range got {
					require.Equal(t, events[i].record, got[i].record, where)
				}
				require.NoError(t, st.Close())
			}
		}
	})
}

func openRepaired(t *testing.T, disk *vfs.Memory) *Store {
	t.Helper()
	st, err := open(disk, repairedDir, Options{}, true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func TestAFailedOperationOfARepairLeavesTheOriginalAndCanBeDoneAgain(t *testing.T) {
	base := verifiedLog(t, 3)
	w := readWritten(t, base)
	flip(t, base, segmentPath(logDir, 2), wal.SegmentHeaderSize+wal.BatchHeaderSize+50)
	base = base.Image(vfs.KeepAll)
	for n := 1; ; n += thinning {
		disk := base.Image(vfs.KeepAll)
		disk.FailAt(n, vfs.ErrNoSpace)
		report, err := Repair(t.Context(), logDir, repairedDir, repairOf(disk))
		if disk.Ops() < n {
			require.NoError(t, err)
			return
		}
		if err != nil {
			require.ErrorIs(t, err, ErrDiskFull)
			st, err := open(disk, repairedDir, Options{MustExist: true}, true)
			if err == nil { // it was done but for the last sync
				require.NoError(t, st.Close())
				continue
			}
			report, err = Repair(t.Context(), logDir, repairedDir, repairOf(disk))
			require.NoError(t, err, "operation %d", n)
		}
		requireRepaired(t, disk, &w, &report)
	}
}
