package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// place is where the record of an event lies, counted over the batches of all segments.
type place struct{ start, end int64 }

// places finds the records of all events by reading the files from end to end.
func places(t require.TestingT, s *Store) (found []place) {
	var base int64
	found = append(found, make([]place, s.first()-1)...) // of what was dropped
	for _, g := range *s.segments.Load() {
		data, err := g.bytes(0, g.end.Load())
		require.NoError(t, err)
		for at := int64(wal.SegmentHeaderSize); at < int64(len(data)); {
			h, batch, err := wal.ParseBatch(data[at:], wal.Seed(s.origin.Store), g.number, at)
			require.NoError(t, err)
			err = wal.Records(&h, batch, func(rec []byte, offset int) error {
				if wal.Type(rec) == wal.TypeEvent {
					start := base + at + int64(offset)
					found = append(found, place{start, start + int64(len(rec))})
				}
				return nil
			})
			require.NoError(t, err)
			at += int64(h.Length)
		}
		base += g.end.Load() - wal.SegmentHeaderSize
	}
	return found
}

// requireBytes compares what Bytes says of a range with the files.
func requireBytes(t require.TestingT, s *Store, at []place, after, upTo Position) {
	var want int64
	last := min(upTo, Position(len(at)))
	if upTo == 0 {
		last = Position(len(at))
	}
	if after = max(after, s.first()-1); after < last {
		want = at[last-1].end - at[after].start
	}
	got, err := s.Bytes(context.Background(), after, upTo)
	require.NoError(t, err)
	require.Equal(t, want, got, "after %d up to %d of %d", after, upTo, len(at))
}

func TestTheBytesBetweenTwoEventsAreThoseOnDiskWithWhatLiesBetween(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	n, err := s.Bytes(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Zero(t, n)
	for i := range 40 { // over several segments, some with nothing but side values
		large := Raw{Type: "large", Data: make([]byte, 1000*(i%9))}
		write(t, s, Batch{IdempotencyKey: fmt.Sprint("key ", i), Events: append(eventsOf("a"), raw(large).Events...)})
		for n := range i % 4 {
			write(t, s, sideOf(SideWrite{Key: fmt.Sprint(i, n), Value: make([]byte, 6000*(i%7))}))
		}
	}
	require.Greater(t, s.Stats().Segments, 5)
	for range 2 {
		at := places(t, s)
		require.Len(t, at, 80)
		for after := range Position(82) {
			for upTo := range Position(83) {
				requireBytes(t, s, at, after, upTo)
			}
		}
		s = reopen(t, s)
	}
}

func TestSideValuesAfterTheLastEventAreNoBytesToRead(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	before, err := s.Bytes(t.Context(), 0, 0)
	require.NoError(t, err)
	rec := before // one record and nothing else
	write(t, s, sideOf(SideWrite{Key: "k", Value: make([]byte, maxSideValueBytes)}))
	got, err := s.Bytes(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, rec, got)
	put(t, s, "a")
	got, err = s.Bytes(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Equal(t, rec, got, "nor are those before the first")
	got, err = s.Bytes(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Greater(t, got, int64(maxSideValueBytes), "those between are")
}

func TestARecordWithAnImpossibleLengthIsTheErrorOfTheMeasureThatMeetsIt(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	grow(t, s, 3)
	at := places(t, s)
	require.NoError(t, disk.Corrupt(segmentPath(logDir, 1), secondRecord(t, s)+2, 0x40))
	_, err := s.Bytes(t.Context(), 0, 2)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, uint32(1), corrupt.Segment)
	requireBytes(t, s, at, 0, 1)
	requireBytes(t, s, at, 1, 0)
}

// secondRecord returns the offset of the second event in the first segment.
func secondRecord(t *testing.T, s *Store) int64 {
	t.Helper()
	idx, err := s.indexOf((*s.segments.Load())[0])
	require.NoError(t, err)
	offset, err := idx.Offset(1)
	require.NoError(t, err)
	return int64(offset)
}

// Many reads the events at some positions.
func (m *machine) Many(t *rapid.T) {
	var got, want []Event
	chance := rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "one of")
	for _, e := range m.model.events {
		if rapid.IntRange(0, chance).Draw(t, "taken") == 0 {
			at, err := m.store.GetAt(context.Background(), e.Position)
			if e.Position < m.model.first {
				require.Equal(t, m.model.dropped(e.Position), err)
				continue
			}
			require.NoError(t, err)
			got, want = append(got, at), append(want, e)
		}
	}
	requireSame(t, want, got)
}

// Measure compares sizes and versions, once nothing is being rewritten.
func (m *machine) Measure(t *rapid.T) {
	m.store.tasks.Wait()
	requireBytes(t, m.store, places(t, m.store), m.drawPosition(t, "after"), m.drawPosition(t, "up to"))
	for _, entity := range append(modelEntities, "never") {
		v, err := m.store.Version(context.Background(), entity)
		require.NoError(t, err)
		require.Equal(t, m.model.versions[entity], v, entity)
	}
}
