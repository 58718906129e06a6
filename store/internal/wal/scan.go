package wal

import "bytes"

// Expected is what the next batch of a segment must say to continue the log.
type Expected struct {
	Seed        uint32 // of the store
	Segment     uint32
	Offset      int64
	Previous    uint32 // checksum of the last batch
	Sequence    uint64
	Position    uint64
	WriterEpoch uint32 // at least
}

// Follows reports whether a batch with header h continues the log. The sequence may leap at an
// opening mark, over commits that a crash may have taken: their numbers are not used again.
func (x *Expected) Follows(h *BatchHeader) bool {
	leaps := h.Flags&FlagOpened != 0 && h.FirstSequence > x.Sequence
	return h.Previous == x.Previous && (h.FirstSequence == x.Sequence || leaps) && h.FirstPosition == x.Position &&
		h.WriterEpoch >= x.WriterEpoch && int64(h.Durable) <= x.Offset
}

// Advance moves the expectation past the batch with header h.
func (x *Expected) Advance(h *BatchHeader) {
	x.Offset += int64(h.Length)
	x.Previous = h.Checksum
	x.Sequence = h.FirstSequence + uint64(h.Commits)
	x.Position += uint64(h.Events)
	x.WriterEpoch = h.WriterEpoch
}

// Next parses the batch at x.Offset of the segment's bytes. ok is false when no valid batch
// continues the log there.
func Next(data []byte, x *Expected) (h BatchHeader, batch []byte, ok bool) {
	if x.Offset > int64(len(data)) {
		return h, nil, false
	}
	h, batch, err := ParseBatch(data[x.Offset:], x.Seed, x.Segment, x.Offset)
	return h, batch, err == nil && x.Follows(&h)
}

// DurableAfter looks for valid batches of the segment at or after offset from, whether or not they
// continue the log, and returns the highest "known durable" mark among them, 0 when there is none.
// A mark above from says that the bytes at from were durable once: whatever is bad there is damage
// and not a torn write.
func DurableAfter(data []byte, seed, segment uint32, from int64) int64 {
	var mark int64
	for off := from; off < int64(len(data)); {
		i := bytes.Index(data[off:], []byte(batchMagic))
		if i < 0 {
			return mark
		}
		off += int64(i)
		if off%8 == 0 {
			if h, _, err := ParseBatch(data[off:], seed, segment, off); err == nil {
				mark = max(mark, int64(h.Durable))
				off += int64(h.Length)
				continue
			}
		}
		off++
	}
	return mark
}

// Marked reports whether a segment whose header cannot be read was durable once: it follows the
// headers of the batches from the first on, without their checksums, and looks for a "known
// durable" mark. So it needs no seed, which stands in the header that is gone, and does not see
// what lies inside of a batch.
func Marked(data []byte, segment uint32) bool {
	for off := int64(SegmentHeaderSize); off < int64(len(data)); {
		h, ok := parseBatchHeader(data[off:], segment, off)
		if !ok {
			return false
		}
		if h.Durable > 0 {
			return true
		}
		off += int64(h.Length)
	}
	return false
}
