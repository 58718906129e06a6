package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// The same entities and side values are dropped again and again, more of them than one file of what
// stays takes: what it takes does not grow with the number of times.
func TestWhatStaysIsInProportionToWhatCountsOfIt(t *testing.T) {
	const entities, sides, rounds = 2000, 50, 8
	smallRests(t)
	s, err := open(vfs.NewMemory().Untraced(), logDir, smallSegments(SyncNever), true)
	require.NoError(t, err)
	var sizes []int64
	most := 0
	for round := range rounds {
		for first := 0; first < entities; first += 200 {
			var b Batch
			for i := first; i < first+200; i++ {
				entity := i
				if round%2 == 1 { // in another order
					entity = i * 7919 % entities
				}
				b.Events = append(b.Events, Proposal{At: At(fmt.Sprint("customer:", entity), "shop"), Payload: Raw{Type: "k"}})
			}
			for i := range sides * 200 / entities {
				b.Sides = append(b.Sides, SideWrite{Key: fmt.Sprint("of/", first, i), Value: make([]byte, 1500)})
			}
			write(t, s, b)
		}
		_, err := Retain(t.Context(), s, nil, RetainOptions{Before: s.Head()})
		require.NoError(t, err)
		segments := *s.segments.Load()
		most = max(most, droppedOf(segments))
		sizes = append(sizes, s.Stats().CarriedBytes)
	}
	t.Logf("%d bytes after each round, %d files at most", sizes, most)
	require.Greater(t, sizes[0], int64(2*minSegmentBytes), "it is more than a file takes")
	require.Less(t, sizes[rounds-1], 3*sizes[0])
	require.LessOrEqual(t, most, 12)
	for range 2 {
		for i := range entities {
			require.Equal(t, uint64(rounds), version(t, s, fmt.Sprint("customer:", i)))
		}
		report, err := Verify(t.Context(), s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report.Err())
		s = reopen(t, s)
	}
	require.NoError(t, s.Close())
}

// smallRests has files of what stays be no larger than the smallest segments.
func smallRests(t *testing.T) {
	t.Helper()
	before := minRestBytes
	t.Cleanup(func() { minRestBytes = before })
	minRestBytes = 1
}

// What is discarded leaves the largest files, too, one after the other.
func TestWhatIsDiscardedLeavesFilesThatAreNotMergedAnyMore(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := smallSegments(SyncNever)
	o.Clock = func() time.Time { return now }
	smallRests(t)
	s, err := open(vfs.NewMemory().Untraced(), logDir, o, true)
	require.NoError(t, err)
	n, sizes := 0, []int64(nil)
	for range 8 {
		for range 8 {
			var b Batch
			for range 200 {
				n++
				b.Events = append(b.Events, Proposal{At: At(fmt.Sprint("visit:", n), "shop"), Payload: Raw{Type: "k"}})
			}
			write(t, s, b)
		}
		now = now.Add(time.Hour)
		_, err := Retain(t.Context(), s, nil, RetainOptions{Before: s.Head(), EntityRetention: 150 * time.Minute})
		require.NoError(t, err)
		sizes = append(sizes, s.Stats().CarriedBytes)
	}
	t.Logf("%d bytes after each round", sizes)
	require.Greater(t, sizes[1], int64(2*minSegmentBytes))
	require.Less(t, sizes[7], 2*sizes[2])
	require.Zero(t, version(t, s, "visit:1"))
	require.Equal(t, uint64(1), version(t, s, fmt.Sprint("visit:", n-1)))
	require.NoError(t, s.Close())
}

// The writer knows no more of an entity than readers do.
func TestAnEntityThatIsDiscardedIsAbsentForTheWriterToo(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return now }
	s, err := open(vfs.NewMemory(), logDir, o, true)
	require.NoError(t, err)
	put(t, s, "customer")
	put(t, s, "customer")
	keyedLogFrom(t, s, 0, 100)
	now = now.Add(10 * time.Hour)
	_, err = Retain(t.Context(), s, nil, RetainOptions{Before: s.Head(), EntityRetention: time.Hour})
	require.NoError(t, err)
	require.Zero(t, version(t, s, "customer"))
	r, err := s.Append(t.Context(), At("customer", "test"), Absent, note{})
	require.NoError(t, err)
	require.Equal(t, uint64(1), r.Events[0].Version)
	require.NoError(t, s.Close())
}
