package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// What follows are the rules over a segment that is in memory whole, each as plain as it can be
// said. Pieces must find the same.

// plainNext parses the batch at x.Offset. ok is false when no valid batch continues the log there.
func plainNext(data []byte, x *wal.Expected) (h wal.BatchHeader, batch []byte, ok bool) {
	if x.Offset > int64(len(data)) {
		return h, nil, false
	}
	h, batch, err := wal.ParseBatch(data[x.Offset:], x.Seed, x.Segment, x.Offset)
	return h, batch, err == nil && x.Follows(&h)
}

// plainMark is the highest mark of a valid batch at or after an offset.
func plainMark(data []byte, seed, segment uint32, from int64) (mark int64) {
	for off := (from + 7) &^ 7; off < int64(len(data)); off += 8 {
		if h, _, err := wal.ParseBatch(data[off:], seed, segment, off); err == nil {
			mark = max(mark, int64(h.Durable))
			off += int64(h.Length) - 8
		}
	}
	return mark
}

// plainMarked follows headers without their checksums and looks for a mark.
func plainMarked(data []byte, segment uint32) bool {
	for off := wal.SegmentHeaderSize; off < len(data); {
		b := data[off:]
		n := wal.BatchLength(b)
		if n < wal.BatchHeaderSize || n%8 != 0 || n > len(b) ||
			binary.LittleEndian.Uint32(b[16:]) != segment || int(binary.LittleEndian.Uint32(b[60:])) != off {
			return false
		}
		if binary.LittleEndian.Uint32(b[28:]) > 0 {
			return true
		}
		off += n
	}
	return false
}

// drawSegment draws a segment of batches from the size of a mark to several pieces, with zeros at
// its end, and damages it as a power cut, a disk or a stranger might.
func drawSegment(t *rapid.T) []byte {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	data := wal.AppendSegmentHeader(nil, &wal.SegmentHeader{Segment: 1, FirstPosition: 1, FirstSequence: 1})
	previous, durable := uint32(0), 0
	var starts []int
	for i := range rapid.IntRange(0, 12).Draw(t, "batches") {
		payload := make([]byte, rapid.SampledFrom([]int{1, 10, 300, 4000, 9000, 70_000, 300_000}).Draw(t, "payload"))
		copy(payload, "PBAT")
		payload[len(payload)-1] = 1
		starts = append(starts, len(data))
		if rng.IntN(2) == 0 {
			durable = starts[rng.IntN(len(starts))]
		}
		rec := record(&wal.Draft{Entity: "e", Payload: payload}, &wal.Stamp{Position: uint64(i + 1)}, true)
		h := wal.BatchHeader{
			Previous: previous, Segment: 1, WriterEpoch: 1, Durable: uint32(durable), FirstSequence: uint64(i + 1),
			FirstPosition: uint64(i + 1), Events: 1, Commits: 1, Offset: uint32(len(data)),
		}
		data = append(data, batch(&h, rec)...)
		previous = h.Checksum
	}
	data = append(data, make([]byte, rapid.SampledFrom([]int{0, 1, 8, 64, 5000, 300_000}).Draw(t, "zeros"))...)
	for range rapid.IntRange(0, 4).Draw(t, "damages") {
		damage(rng, data, starts)
	}
	return data[:len(data)-rapid.SampledFrom([]int{0, 0, 3, 64}).Draw(t, "cut")]
}

// damage flips a byte, clears a block, or copies a batch to another place.
func damage(rng *rand.Rand, data []byte, starts []int) {
	at := rng.IntN(len(data))
	if len(starts) > 0 && rng.IntN(2) == 0 {
		at = min(len(data)-1, starts[rng.IntN(len(starts))]+rng.IntN(80))
	}
	switch rng.IntN(4) {
	case 0:
		block := at &^ 4095
		clear(data[block:min(len(data), block+4096)])
	case 1:
		copy(data[at&^7:], data[rng.IntN(len(data))&^7:])
	default:
		data[at] ^= byte(1 + rng.IntN(255))
	}
}

func TestASegmentInPiecesIsTheSameAsOneInMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := drawSegment(t)
		p := whole(data)
		x := wal.Expected{Segment: 1, Offset: wal.SegmentHeaderSize, Sequence: 1, Position: 1}
		for {
			h, b, ok := plainNext(data, &x)
			got, piece, err := p.Next(&x)
			require.NoError(t, err)
			require.Equal(t, ok, piece != nil)
			if !ok {
				break
			}
			require.Equal(t, h, got)
			require.True(t, bytes.Equal(b, piece))
			x.Advance(&h)
		}
		for _, from := range []int64{0, wal.SegmentHeaderSize, x.Offset, int64(len(data))} {
			requireRest(t, p, data, from)
		}
		want := plainMarked(data, 1)
		got, err := p.Marked(1)
		require.NoError(t, err)
		require.Equal(t, want, got)
		requireRuns(t, p, data, x.Offset)
	})
}

func requireRest(t *rapid.T, p *wal.Pieces, data []byte, from int64) {
	found := (from + 7) &^ 7
	for ; found < int64(len(data)); found += 8 {
		if _, _, err := wal.ParseBatch(data[found:], 0, 1, found); err == nil {
			break
		}
	}
	at, err := p.Find(0, 1, from)
	require.NoError(t, err)
	require.Equal(t, min(found, int64(len(data))), at, "from %d", from)
	rest, err := p.Rest(0, 1, from)
	require.NoError(t, err)
	require.Equal(t, plainMark(data, 0, 1, from), rest.Durable, "from %d", from)
	require.GreaterOrEqual(t, rest.Used, from)
	require.LessOrEqual(t, rest.Used, max(from, int64(len(data))+8))
	require.Empty(t, bytes.Trim(data[min(rest.Used, int64(len(data))):], "\x00"), "only zeros")
	if used := int64(len(bytes.TrimRight(data, "\x00"))); used > from {
		require.Less(t, rest.Used, used+4096, "and not much of them before")
	} else {
		require.Equal(t, from, rest.Used, "nothing but zeros")
	}
}

// requireRuns collects the batches up to end again, as they are written again.
func requireRuns(t *rapid.T, p *wal.Pieces, data []byte, end int64) {
	for off := int64(wal.SegmentHeaderSize); off < end; {
		run, err := p.Run(0, 1, off, end)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data[off:off+int64(len(run))], run))
		off += int64(len(run))
		require.LessOrEqual(t, off, end)
	}
	if _, _, err := wal.ParseBatch(data[min(end, int64(len(data))):], 0, 1, end); err != nil {
		_, err := p.Run(0, 1, end, int64(len(data)))
		require.ErrorIs(t, err, wal.ErrBad)
	}
}

// counting is a file that counts the bytes that are read.
type counting struct {
	io.ReaderAt
	read, largest int
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	c.read += len(b)
	c.largest = max(c.largest, len(b))
	return c.ReaderAt.ReadAt(b, off)
}

func TestALargeSegmentIsReadOnceThroughASmallBuffer(t *testing.T) {
	data, _ := log(2000)
	data = append(data, make([]byte, 8<<20)...)
	file := &counting{ReaderAt: bytes.NewReader(data)}
	p := wal.NewPieces(file, int64(len(data)))
	x := wal.Expected{Segment: 1, Offset: wal.SegmentHeaderSize, Sequence: 1, Position: 1}
	for {
		h, b, err := p.Next(&x)
		require.NoError(t, err)
		if b == nil {
			break
		}
		x.Advance(&h)
	}
	require.Equal(t, uint64(2001), x.Position)
	_, err := p.Rest(0, 1, x.Offset)
	require.NoError(t, err)
	require.LessOrEqual(t, file.largest, 256<<10)
	require.Less(t, file.read, len(data)*3/2, "batches that lie in two pieces are read again")
}

func TestAFailedReadIsAnErrorAndNoEndOfTheLog(t *testing.T) {
	data, offsets := log(3)
	x := wal.Expected{Segment: 1, Offset: wal.SegmentHeaderSize, Sequence: 1, Position: 1}
	p := wal.NewPieces(bytes.NewReader(data[:offsets[0]]), int64(len(data)))
	_, b, err := p.Next(&x)
	require.Nil(t, b)
	require.ErrorIs(t, err, io.EOF)
	_, err = p.Rest(0, 1, x.Offset)
	require.ErrorIs(t, err, io.EOF)
	_, err = p.Marked(1)
	require.ErrorIs(t, err, io.EOF)
	_, err = p.Run(0, 1, x.Offset, int64(len(data)))
	require.True(t, errors.Is(err, io.EOF) && !errors.Is(err, wal.ErrBad))
}
