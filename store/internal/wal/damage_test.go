package wal_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// flips calls f with b after each bit of it was flipped.
func flips(b []byte, f func(bit int)) {
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		f(bit)
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestNoFlippedBitOfABatchIsAccepted(t *testing.T) {
	h, b := small()
	b = append(b, make([]byte, 64)...) // a length that grew must not be accepted either
	_, _, err := wal.ParseBatch(b, 0, h.Segment, int64(h.Offset))
	require.NoError(t, err)
	flips(b[:h.Length], func(bit int) {
		if _, _, err := wal.ParseBatch(b, 0, h.Segment, int64(h.Offset)); err == nil {
			t.Fatalf("bit %d flipped and accepted", bit)
		}
	})
}

func TestNoFlippedBitOfARecordIsAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, s := drawDraft(t), drawStamp(t)
		rec := record(&d, &s, true)
		bit := rapid.IntRange(0, 8*len(rec)-1).Draw(t, "bit")
		rec[bit/8] ^= 1 << (bit % 8)
		_, _, err := wal.ParseRecord(append(rec, make([]byte, 64)...))
		require.ErrorIs(t, err, wal.ErrBad)
	})
}

func TestNoFlippedBitOfASegmentHeaderOrATrailerIsAccepted(t *testing.T) {
	header := wal.AppendSegmentHeader(nil, &wal.SegmentHeader{Version: wal.Version, Generation: 5, Store: [16]byte{1}, Segment: 2, Incarnation: 3, FirstPosition: 4})
	flips(header, func(bit int) {
		if _, err := wal.ParseSegmentHeader(header); err == nil {
			t.Fatalf("header: bit %d flipped and accepted", bit)
		}
	})
	trailer := wal.AppendTrailer(nil, &wal.Trailer{Version: wal.Version, Generation: 5, DataEnd: 1000, IndexLen: 16, SidesLen: 8, NextPosition: 5, Weak: true})
	const size = 1000 + 16 + 8 + wal.TrailerSize
	_, err := wal.ParseTrailer(trailer, size)
	require.NoError(t, err)
	flips(trailer, func(bit int) {
		if _, err := wal.ParseTrailer(trailer, size); err == nil {
			t.Fatalf("trailer: bit %d flipped and accepted", bit)
		}
	})
}

func TestWhatIsCutOffIsNotAccepted(t *testing.T) {
	h, b := small()
	for n := range b {
		_, _, err := wal.ParseBatch(b[:n], 0, h.Segment, int64(h.Offset))
		require.ErrorIs(t, err, wal.ErrBad, n)
	}
	for _, rec := range records(t, &h, b) {
		for n := range rec {
			_, _, err := wal.ParseRecord(rec[:n])
			require.ErrorIs(t, err, wal.ErrBad, n)
		}
	}
}

// log is a segment of n batches of one event each, every one of which says that all before it was
// durable.
func log(n int) (data []byte, offsets []int64) {
	data = wal.AppendSegmentHeader(nil, &wal.SegmentHeader{Version: wal.Version, Segment: 1, FirstPosition: 1, FirstSequence: 1})
	previous := uint32(0)
	for i := range n {
		offsets = append(offsets, int64(len(data)))
		rec := record(&wal.Draft{Entity: "e", Payload: make([]byte, 50*i)}, &wal.Stamp{Position: uint64(i + 1)}, true)
		h := wal.BatchHeader{
			Previous: previous, Segment: 1, WriterEpoch: 1, Incarnation: 1, Durable: uint32(len(data)), FirstSequence: uint64(i + 1),
			FirstPosition: uint64(i + 1), Events: 1, Commits: 1, Offset: uint32(len(data)),
		}
		data = append(data, batch(&h, rec)...)
		previous = h.Checksum
	}
	return append(data, make([]byte, 4096)...), offsets
}

// walk follows the batches from the first on and returns how many continue the log.
func walk(data []byte) (n int, end int64) {
	x := wal.Expected{Segment: 1, Offset: wal.SegmentHeaderSize, Sequence: 1, Position: 1}
	for {
		h, _, ok := next(data, &x)
		if !ok {
			return n, x.Offset
		}
		x.Advance(&h)
		n++
	}
}

func TestAWalkEndsAtTheFirstBadBatchAndLaterMarksTellDamageFromATornWrite(t *testing.T) {
	const n = 6
	data, offsets := log(n)
	got, end := walk(data)
	require.Equal(t, n, got)
	require.Zero(t, durableAfter(data, end))

	for bad := range n {
		data[offsets[bad]+70] ^= 1
		got, end := walk(data)
		require.Equal(t, bad, got)
		require.Equal(t, offsets[bad], end)
		if bad == n-1 {
			require.Zero(t, durableAfter(data, end), "nothing after it: torn")
		} else {
			require.Equal(t, offsets[n-1], durableAfter(data, end), "the highest mark counts")
		}
		data[offsets[bad]+70] ^= 1
	}
	rest, err := whole(data).Rest(0, 2, 0)
	require.NoError(t, err)
	require.Zero(t, rest.Durable, "batches of another segment say nothing of this one")
	require.Zero(t, durableAfter(data, math.MaxInt64))
}

func TestABatchThatDoesNotContinueTheLogEndsTheWalk(t *testing.T) {
	h := wal.BatchHeader{Previous: 7, Segment: 1, WriterEpoch: 2, Durable: 128, FirstSequence: 3, FirstPosition: 4, Offset: 256}
	x := wal.Expected{Segment: 1, Offset: 256, Previous: 7, Sequence: 3, Position: 4, WriterEpoch: 2}
	require.True(t, x.Follows(&h))
	newer := h
	newer.WriterEpoch++
	require.True(t, x.Follows(&newer), "a later writer continues")
	for name, change := range map[string]func(*wal.BatchHeader){
		"checksum of the one before": func(h *wal.BatchHeader) { h.Previous++ },
		"sequence":                   func(h *wal.BatchHeader) { h.FirstSequence++ },
		"position":                   func(h *wal.BatchHeader) { h.FirstPosition-- },
		"an earlier writer":          func(h *wal.BatchHeader) { h.WriterEpoch-- },
		"durable past its own start": func(h *wal.BatchHeader) { h.Durable = 257 },
	} {
		other := h
		change(&other)
		require.False(t, x.Follows(&other), name)
	}
}

func TestMalformedHeadersEndTheIteration(t *testing.T) {
	good := wal.AppendPair(nil, "name", "value")
	for n := range good {
		count := 0
		for range wal.Pairs(good[:n]) {
			count++
		}
		require.Zero(t, count, n)
	}
	huge := append(append([]byte(nil), good...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	count := 0
	for name, value := range wal.Pairs(huge) {
		require.Equal(t, "name", string(name))
		require.Equal(t, "value", string(value))
		count++
	}
	require.Equal(t, 1, count)
}
