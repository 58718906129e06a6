package store

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// lastBatchStart is the offset of the last batch of a segment.
func lastBatchStart(data []byte) int {
	at := wal.SegmentHeaderSize
	for {
		n := wal.BatchLength(data[at:])
		if wal.BatchLength(data[at+n:]) == 0 {
			return at
		}
		at += n
	}
}

// inWeakMode writes the event of the golden segment again as one that was acknowledged before its
// sync, and without a mark after it.
func inWeakMode(t *testing.T, data []byte) []byte {
	t.Helper()
	header, err := wal.ParseSegmentHeader(data)
	require.NoError(t, err)
	seed := wal.Seed(header.Store)
	h, batch, err := wal.ParseBatch(data[wal.SegmentHeaderSize:], seed, 2, wal.SegmentHeaderSize)
	require.NoError(t, err)
	h.Flags |= wal.FlagWeak
	weak := wal.FinishBatch(append([]byte(nil), batch...), &h, seed)
	return append(append(append([]byte(nil), data[:wal.SegmentHeaderSize]...), weak...), make([]byte, 4096)...)
}

func TestALogOfVersionOneWithAnyTailIsContinuedInASegmentOfVersionTwo(t *testing.T) {
	tails := []struct {
		name     string
		change   func(t *testing.T, data []byte) []byte
		head     Position
		sequence uint64 // of the next commit
	}{
		{"clean", func(_ *testing.T, data []byte) []byte { return data }, 5, 7},
		{"killed", func(_ *testing.T, data []byte) []byte {
			clear(data[lastBatchStart(data):])
			return data
		}, 5, 7 + sequenceLeap},
		{"torn", func(_ *testing.T, data []byte) []byte {
			end := lastBatchStart(data)
			clear(data[end-100:])
			return data
		}, 4, 6 + sequenceLeap},
		{"weak", inWeakMode, 5, 7 + sequenceLeap},
		{"cut to its batches", func(_ *testing.T, data []byte) []byte { return data[:lastBatchStart(data)] }, 5, 7 + sequenceLeap},
		{"empty", func(_ *testing.T, data []byte) []byte {
			clear(data[wal.SegmentHeaderSize:])
			return data
		}, 4, 6 + sequenceLeap},
	}
	for _, tail := range tails {
		for _, ahead := range []bool{false, true} {
			dir := goldenDir(t)
			data, err := os.ReadFile(segmentPath(dir, 2))
			require.NoError(t, err)
			data = tail.change(t, data)
			require.NoError(t, os.WriteFile(segmentPath(dir, 2), data, 0o600))
			if ahead {
				require.NoError(t, os.WriteFile(segmentPath(dir, 3), make([]byte, minSegmentBytes), 0o600))
			}
			r := diskLog(t, dir, Options{ReadOnly: true})
			before := all(t, r, Region{})
			require.Len(t, before, int(tail.head), tail.name)

			s, err := Open(dir, Options{SegmentBytes: minSegmentBytes})
			require.NoError(t, err, tail.name)
			require.Equal(t, before, all(t, s, Region{}), tail.name)
			next, err := s.Append(t.Context(), At("order:1", "shop"), Any, note{})
			require.NoError(t, err, tail.name)
			require.Equal(t, tail.sequence, next.Sequence, tail.name)
			require.Equal(t, tail.head+1, next.Position(), tail.name)
			require.Equal(t, tail.head+1, r.Head(), "a reader follows from one version into the other: "+tail.name)
			requireVersions(t, dir, 1, 1, 2)
			killStore(s)

			s = diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
			events := all(t, s, Region{})
			require.Len(t, events, int(tail.head)+1, tail.name)
			requireChains(t, events)
			again, err := s.Append(t.Context(), At("order:1", "shop"), Any, note{})
			require.NoError(t, err, tail.name)
			require.Greater(t, again.Sequence, next.Sequence, tail.name)
			requireVersions(t, dir, 1, 1, 2)
			require.NoError(t, s.Close())
			require.NoError(t, r.Close())
		}
	}
}

// requireVersions requires that the segments of a directory are of these versions.
func requireVersions(t *testing.T, dir string, versions ...uint16) {
	t.Helper()
	for i, version := range versions {
		data, err := os.ReadFile(segmentPath(dir, uint32(i+1)))
		require.NoError(t, err)
		h, err := wal.ParseSegmentHeader(data)
		require.NoError(t, err)
		require.Equal(t, version, h.Version, "segment %d", i+1)
	}
	require.NoFileExists(t, segmentPath(dir, uint32(len(versions)+1)))
}
