package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// A value that is lost must not be taken for the one before it, or for none.
func TestADamagedSideValueIsTakenFromTheTableOfItsSegmentOrIsEmpty(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	long := []byte(strings.Repeat("long", 100))
	write(t, s, Batch{Sides: []SideWrite{{Key: "short", Value: []byte("former")}, {Key: "long", Value: long}, {Key: "deleted", Value: long}}})
	grow(t, s, 2)
	write(t, s, Batch{Sides: []SideWrite{{Key: "short", Value: []byte("present")}, {Key: "long", Value: long}, {Key: "deleted", Delete: true}}})
	places := map[string]int64{}
	for _, key := range []string{"short", "long"} {
		place, found := s.sides.get(key)
		require.True(t, found)
		require.EqualValues(t, 2, place.Segment)
		places[key] = int64(place.Offset)
	}
	revision, _, err := s.Side("long")
	require.NoError(t, err)
	grow(t, s, 4)
	require.NoError(t, s.Close())
	disk = disk.Image(vfs.KeepAll)
	flip(t, disk, segmentPath(logDir, 2), places["short"]+26)
	flip(t, disk, segmentPath(logDir, 2), places["long"]+26)
	flip(t, disk, segmentPath(logDir, 2), places["long"]+int64(24+len("long")+len(long))+20) // the deletion after it

	done, report, err := repaired(t, disk)
	require.NoError(t, err)
	require.Equal(t, []string{"long"}, report.Sides)
	require.Empty(t, report.Lost)
	st := openRepaired(t, done)
	v := verified(t, st, VerifyOptions{})
	require.NoError(t, v.Err())
	require.Equal(t, "present", sideText(st, "short"))
	require.Equal(t, "-", sideText(st, "deleted"))
	value, found, err := st.Side("long")
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, value.Value)
	require.Equal(t, revision.Revision, value.Revision)
}

func TestAnyFileOfALogOfAnyKindMayBeGone(t *testing.T) {
	for _, whole := range logsOfAllKinds(t) {
		w := readWritten(t, whole)
		for _, name := range mustList(t, whole) {
			if !strings.HasSuffix(name, segmentSuffix) {
				continue
			}
			disk := whole.Image(vfs.KeepAll)
			require.NoError(t, disk.Remove(logDir+"/"+name))
			require.NoError(t, disk.SyncDir(logDir))
			if !slices.ContainsFunc(mustList(t, disk), func(n string) bool { return strings.HasSuffix(n, segmentSuffix) }) {
				continue
			}
			done, report, err := repaired(t, disk)
			require.NoError(t, err, name)
			requireRepaired(t, done, &w, &report)
		}
	}
}

// The file after it has no event that says where the lost ones ended.
func TestAFileThatIsGoneBeforeOneOfSideValuesAloneIsRepaired(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	grow(t, s, 3)
	for i := 0; s.Stats().Segments < 6; i++ {
		write(t, s, Batch{Sides: []SideWrite{{Key: fmt.Sprint("key ", i), Value: make([]byte, 20_000)}}})
	}
	require.NoError(t, s.Close())
	w := readWritten(t, disk.Image(vfs.KeepAll))
	disk = disk.Image(vfs.KeepAll)
	require.NoError(t, disk.Remove(segmentPath(logDir, 3)))
	require.NoError(t, disk.SyncDir(logDir))
	done, report, err := repaired(t, disk)
	require.NoError(t, err)
	require.Positive(t, report.Events())
	requireRepaired(t, done, &w, &report)
}
