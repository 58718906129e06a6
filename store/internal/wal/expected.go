package wal

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
