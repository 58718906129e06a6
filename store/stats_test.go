package store

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestStatsSayHowLongSyncsAndGroupsTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		opened := s.Stats()
		require.Zero(t, opened.Commits)
		for _, d := range []time.Duration{5 * time.Millisecond, 100 * time.Millisecond} {
			answered := async(t.Context(), s, Batch{Events: eventsOf("a", "b")})
			synctest.Wait()
			time.Sleep(d)
			gate.step()
			require.NoError(t, (<-answered).err)
		}
		now := s.Stats()
		syncs := now.Syncs.Since(opened.Syncs)
		require.EqualValues(t, 2, syncs.Count())
		require.Equal(t, 105*time.Millisecond, syncs.Sum())
		require.InEpsilon(t, 100*time.Millisecond, syncs.Quantile(1), 0.25)
		require.EqualValues(t, 2, now.Writes.Count())
		require.Equal(t, 105*time.Millisecond, now.Writes.Sum())
		require.EqualValues(t, []uint64{2, 4, 2, 0}, []uint64{now.Commits, now.Events, now.Groups, now.Refused})
	})
}

func TestStatsCountCommitsThatShareAGroupAndThoseThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		first := async(t.Context(), s, Batch{Events: eventsOf("a")})
		synctest.Wait()
		exists := Batch{Events: []Proposal{{At: At("a", "test"), Expect: Absent, Payload: note{}}}}
		second := async(t.Context(), s, Batch{Events: eventsOf("b")})
		third := async(t.Context(), s, Batch{Sides: []SideWrite{{Key: "k"}}})
		refused := async(t.Context(), s, exists)
		synctest.Wait()
		gate.open()
		require.NoError(t, (<-first).err)
		require.NoError(t, (<-second).err)
		require.NoError(t, (<-third).err)
		require.ErrorIs(t, (<-refused).err, ErrConflict)
		synctest.Wait()
		now := s.Stats()
		require.EqualValues(t, []uint64{3, 2, 2, 1}, []uint64{now.Commits, now.Events, now.Groups, now.Refused})
	})
}

func TestGroupsThatTakeNoSyncAreMeasuredNowAndThen(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), Options{Sync: SyncNever})
	syncs := s.Stats().Syncs
	for range 3*briefly + 1 {
		put(t, s, "a")
	}
	now := s.Stats()
	require.EqualValues(t, 3*briefly+1, now.Groups)
	require.EqualValues(t, 3*briefly, now.Writes.Count())
	require.Equal(t, syncs, now.Syncs)
}

func TestAFailedWriteIsInNoHistogram(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	put(t, s, "a")
	before := s.Stats()
	disk.FailAt(disk.Ops()+1, os.ErrInvalid)
	for range 2 {
		_, err := s.Append(t.Context(), At("a", "test"), Any, note{})
		require.ErrorIs(t, err, ErrPoisoned)
	}
	now := s.Stats()
	require.True(t, now.Poisoned)
	require.EqualValues(t, 2, now.Refused)
	now.Poisoned, now.Refused = false, 0
	require.Equal(t, before, now)
}

// files adds up the sizes of the segments of a store.
func segmentBytes(t *testing.T, s *Store, dir string) (bytes int64) {
	t.Helper()
	names, err := s.dir.List()
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			bytes += info.Size()
		}
	}
	return bytes
}

func TestStatsSayWhatTheLogTakesOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := open(vfs.OS(), dir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	defer s.Close()
	check := func() Stats {
		now := s.Stats()
		require.Equal(t, segmentBytes(t, s, dir), now.LogBytes+now.IndexBytes+now.ReservedBytes)
		require.Positive(t, now.FreeBytes)
		return now
	}
	check()
	require.Zero(t, s.Stats().IndexBytes)
	ahead := 0
	for i := 0; s.Stats().Segments < 4; i++ {
		_, err := s.Append(t.Context(), At("a", "test"), Any, Raw{Type: "filler", Data: make([]byte, 8<<10)})
		require.NoError(t, err)
		if now := check(); now.ReservedBytes > minSegmentBytes {
			ahead++ // the next file is there, too
		}
	}
	require.Positive(t, ahead)
	require.Positive(t, check().IndexBytes)
	require.Zero(t, s.Stats().SideBytes)

	value := make([]byte, 1000)
	write(t, s, Batch{Sides: []SideWrite{{Key: "a", Value: value}, {Key: "b", Value: value}}})
	former := check()
	require.Greater(t, former.SideBytes, int64(2000))
	write(t, s, Batch{Sides: []SideWrite{{Key: "a", Value: value}, {Key: "b", Delete: true}}})
	now := check()
	require.Equal(t, former.SideBytes/2, now.SideBytes)
	require.Greater(t, now.SupersededBytes, int64(2000))
	require.Equal(t, 1, now.SideValues)
	grow(t, s, now.Segments+2) // sealed, the figures are those of the trailer
	require.Equal(t, []int64{now.SideBytes, now.SupersededBytes}, []int64{check().SideBytes, check().SupersededBytes})

	reader := openLogAt(t, dir, Options{ReadOnly: true})
	beside := reader.Stats()
	require.Equal(t, check().LogBytes, beside.LogBytes)
	require.Equal(t, now.SideBytes, beside.SideBytes)
	require.Zero(t, beside.ReservedBytes)
}

func openLogAt(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestTheFreeRoomIsThatOfTheDisk(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	require.EqualValues(t, int64(math.MaxInt64), s.Stats().FreeBytes)
	disk.SetCapacity(10 << 20)
	former := s.Stats().FreeBytes
	require.Less(t, former, int64(10<<20))
	grow(t, s, 2)
	require.Less(t, s.Stats().FreeBytes, former)
}
