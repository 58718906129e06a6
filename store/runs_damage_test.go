package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// What a run speaks of is not read by the opening, so damage there is met later, and by then other
// commits follow it. It must not keep them from being read.
func TestDamageThatARunCoversKeepsNoLaterCommitFromBeingRead(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	for range 25 {
		write(t, s, Batch{
			Events: []Proposal{{At: At("a", "test"), Payload: Raw{Type: "filler", Data: make([]byte, 1500)}}},
			Sides:  []SideWrite{{Key: "side", Value: make([]byte, 100)}},
		})
	}
	require.Len(t, *s.segments.Load(), 1)
	at, err := s.indexOf((*s.segments.Load())[0])
	require.NoError(t, err)
	offset, err := at.Offset(2)
	require.NoError(t, err)
	killStore(s)
	content := disk.Bytes(segmentPath(logDir, 1))
	content[offset+300] ^= 1
	disk = replaced(t, disk, segmentPath(logDir, 1), content)

	for round := range 3 {
		s, err = open(disk, logDir, smallSegments(SyncAlways), true)
		require.NoError(t, err, "round %d", round)
		head := s.Head()
		grow(t, s, 2+round)
		write(t, s, Batch{Sides: []SideWrite{{Key: "late", Value: make([]byte, 100)}}})
		for p := Position(1); p <= s.Head(); p++ {
			_, err := s.GetAt(t.Context(), p)
			if p == 3 {
				require.ErrorIs(t, err, ErrCorrupt)
				continue
			}
			require.NoError(t, err, "event %d", p)
		}
		require.Greater(t, s.Head(), head)
		require.NoError(t, s.Close())
		r, err := open(disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err, "round %d", round)
		require.Equal(t, s.Head(), r.Head())
		require.NoError(t, r.Close())
	}
}
