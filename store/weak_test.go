package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// manySmall is a store with ten commits of which no sync knows.
func manySmall(t *testing.T) *crashRun {
	r := newCrashRun(vfs.NewMemory(), SyncNever)
	require.NoError(t, r.open())
	for i := range 10 {
		require.NoError(t, commitSeveral(i, 10, 300+i*40)(r))
	}
	return r
}

// requireNothingAfter checks that the segment holds zeros after the log.
func requireNothingAfter(t *testing.T, disk *vfs.Memory, end int64, what string) {
	t.Helper()
	data := disk.Bytes(segmentFile(1))
	require.Len(t, data, minSegmentBytes)
	for i, b := range data[end:] {
		require.Zero(t, b, "%s: byte %d after the end of the log", what, i)
	}
}

func TestLaterBatchesThatSurviveAnEarlierOneAreNeverSeen(t *testing.T) {
	r := manySmall(t)
	starts, end := batchStarts(t, r.disk)
	img := powerCutImage(t, r.disk, vfs.KeepLast)
	data := img.Bytes(segmentFile(1))
	require.Equal(t, r.disk.Bytes(segmentFile(1))[starts[10]:], data[starts[10]:], "the last batch survived")
	require.Equal(t, make([]byte, starts[10]-starts[1]), data[starts[1]:starts[10]], "and no other")
	require.NotZero(t, data[end-1-8])
	requireCommits(t, img, &r.crashOracle, 0, "only the last batch survived")
	requireNothingAfter(t, img, starts[1]+2*wal.BatchHeaderSize, "opened and closed")
}

func TestTheLogEndsAtTheFirstHoleWhereverItIs(t *testing.T) {
	r := manySmall(t)
	starts, end := batchStarts(t, r.disk)
	whole := r.disk.Bytes(segmentFile(1))
	ends := append(starts[1:], end)
	for hole := 1; hole < len(starts); hole++ {
		from, to := starts[hole], ends[hole]
		for _, cut := range [][2]int64{{from, to}, {from, from + 64}, {to - 16, to}, {(from + to) / 2, to}} {
			what := fmt.Sprintf("hole %v", cut)
			data := append([]byte(nil), whole...)
			clear(data[cut[0]:cut[1]])
			img := rebooted(t, replaced(t, r.disk, segmentFile(1), data))
			p := &crashRun{crashOracle: *r.clone(), disk: img, options: r.options}
			st, err := open(img, crashDir, p.options, true)
			require.NoError(t, err, what)
			k, err := p.verify(st, 0)
			require.NoError(t, err, what)
			require.Equal(t, hole-1, k, what)
			require.NoError(t, p.verifyHistory(st, k), what)
			requireNothingAfter(t, img, from+wal.BatchHeaderSize, what)

			p.st = st
			p.found(k, st)
			require.NoError(t, commitSeveral(hole, 10, 300+hole*40)(p), what) // as long as one that was lost
			p.kill()
			requireReopened(t, p, what)
		}
	}
}

// step of a history: how the store ends before it is opened the next time.
type ending int

const (
	closedAndRebooted ending = iota
	killed
	powerCutKeepingAll
	powerCut
)

func (e ending) disk(t *testing.T, r *crashRun) *vfs.Memory {
	switch e {
	case closedAndRebooted:
		require.NoError(t, r.end())
		return powerCutImage(t, r.disk, vfs.KeepNothing)
	case killed:
		r.kill()
		return r.disk
	case powerCutKeepingAll:
		r.kill()
		return powerCutImage(t, r.disk, vfs.KeepAll)
	default:
		r.kill()
		return powerCutImage(t, r.disk, vfs.KeepNothing)
	}
}

func TestANewIncarnationBeginsOnlyWhenAcknowledgedEventsMayBeLost(t *testing.T) {
	for _, test := range []struct {
		name    string
		mode    SyncMode
		ending  ending
		started uint32
	}{
		{"a kill loses nothing", SyncNever, killed, 1},
		{"a kill loses nothing", SyncInterval, killed, 1},
		{"a kill loses nothing", SyncAlways, killed, 1},
		{"a synced log loses nothing", SyncAlways, powerCut, 1},
		{"a synced log loses nothing", SyncAlways, powerCutKeepingAll, 1},
		{"a clean close loses nothing", SyncNever, closedAndRebooted, 1},
		{"a clean close loses nothing", SyncInterval, closedAndRebooted, 1},
		{"unsynced events are lost", SyncNever, powerCut, 2},
		{"unsynced events are lost", SyncInterval, powerCut, 2},
		{"no file proves that nothing is lost", SyncNever, powerCutKeepingAll, 2},
	} {
		t.Run(fmt.Sprintf("%s/%s", test.name, test.mode), func(t *testing.T) {
			r := afterAFewCommits(t, test.mode)
			require.Equal(t, uint32(1), r.st.Origin().Incarnation)
			st := mustOpen(t, test.ending.disk(t, r), test.mode)
			require.Equal(t, test.started, st.Origin().Incarnation)
			require.Equal(t, r.history.Store, st.Origin().Store)
			require.NoError(t, st.Close())
		})
	}
}

func TestALossIsNoticedOnceAndNeverForgotten(t *testing.T) {
	r := afterAFewCommits(t, SyncNever)
	r.kill()
	lossy := powerCutImage(t, r.disk, vfs.KeepNothing)
	require.NoError(t, lossy.Remove(crashDir+"/"+beaconName))
	for _, later := range []ending{closedAndRebooted, killed, powerCut, powerCutKeepingAll} {
		for _, file := range []*vfs.Memory{lossy, r.disk.Image(vfs.KeepNothing)} {
			// The status file of the lost history is still there, or none is.
			p := newCrashRun(restoreStatus(t, file, r.disk), SyncAlways)
			for opening := range 6 {
				require.NoError(t, p.open())
				require.Equal(t, uint32(2), p.st.Origin().Incarnation, "opening %d", opening)
				require.NoError(t, commitSeveral(opening, 30000)(p)) // soon in another segment
				require.Equal(t, uint32(2), p.history.Incarnation)
				p.disk = later.disk(t, p)
			}
		}
	}
}

// restoreStatus is a copy of the disk whose status file, if it has one, is that of another disk.
func restoreStatus(t *testing.T, disk, from *vfs.Memory) *vfs.Memory {
	if disk.Bytes(crashDir+"/"+beaconName) == nil {
		return disk.Image(vfs.KeepAll)
	}
	return rebooted(t, replaced(t, disk, crashDir+"/"+beaconName, from.Bytes(crashDir+"/"+beaconName)))
}

func TestALossIsNoticedWhereOnlyTheHeaderOfASegmentSurvives(t *testing.T) {
	r := newCrashRun(vfs.NewMemory(), SyncNever)
	require.NoError(t, r.open())
	for i := 0; lastSegment(t, r.disk) < 2 || len(r.disk.Bytes(segmentFile(2))) == 0 || r.st.Stats().Segments < 2; i++ {
		require.NoError(t, commitSeveral(i, 6000)(r))
	}
	r.kill()
	data := append([]byte(nil), r.disk.Bytes(segmentFile(2))...)
	clear(data[512:])
	img := rebooted(t, replaced(t, r.disk, segmentFile(2), data))
	require.NoError(t, img.Remove(crashDir+"/"+beaconName))
	st := mustOpen(t, img, SyncNever)
	k, err := r.verify(st, 1)
	require.NoError(t, err)
	require.Less(t, k, len(r.commits))
	require.NoError(t, r.verifyHistory(st, k))
}

// An owner of a side value that was told a revision must not find it on a value of another commit.
func TestARevisionThatAPowerCutTookIsNotGivenToAnotherCommit(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		disk := vfs.NewMemory()
		var highest uint64
		for range 3 { // power cuts
			st := mustOpen(t, disk, mode)
			for i := range 40 {
				r, err := st.Commit(t.Context(), Batch{Lazy: true, Sides: []SideWrite{{Key: "k", Value: fmt.Append(nil, i)}}})
				require.NoError(t, err)
				require.Greater(t, r.Sequence, highest, mode)
				highest = r.Sequence
			}
			killStore(st)
			disk = powerCutImage(t, disk, vfs.KeepNothing)
		}
		st := mustOpen(t, disk, mode)
		for range 50 {
			_, err := st.Commit(t.Context(), Batch{Sides: []SideWrite{{Key: "k", Expect: Exactly(highest)}}})
			require.ErrorIs(t, err, ErrConflict, mode)
			write(t, st, Batch{Sides: []SideWrite{{Key: "k"}}})
		}
		killStore(st)
	}
}
