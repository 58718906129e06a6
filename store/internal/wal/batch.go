package wal

// BatchHeader precedes the records that one turn of the committer wrote. Several of its fields are
// there only so that recovery can tell what it finds:
//
//   - Segment and Offset: a batch is valid at its own place alone, so that neither a copy of it in
//     a payload nor what an earlier use of the disk block left passes for one;
//   - Previous chains it to the batch before: a batch after a hole does not continue the log;
//   - WriterEpoch never falls: what a writer left beyond the end of the log that its successor
//     found does not continue the successor's;
//   - Durable is the offset up to which the segment was known durable when the batch was written,
//     by a sync that had succeeded. It is what makes a bad batch below it damage and not a torn
//     write.
type BatchHeader struct {
	Length        uint32
	Checksum      uint32
	Previous      uint32 // checksum of the batch before
	Segment       uint32
	WriterEpoch   uint32 // one more at every opening
	Incarnation   uint32 // of the log; one more when acknowledged events were lost
	Durable       uint32 // offset in the segment known durable when it was written
	FirstSequence uint64
	FirstPosition uint64
	Events        uint32
	Commits       uint32
	Flags         uint16
	Offset        uint32 // of the batch in the segment
}

const batchMagic = "PBAT"

// FinishBatch completes a batch whose first BatchHeaderSize bytes are reserved for the header and
// whose records follow: it pads it, writes the header and sets h.Length and h.Checksum. seed is
// that of the store, see [Seed].
func FinishBatch(b []byte, h *BatchHeader, seed uint32) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	h.Length = uint32(len(b))
	copy(b, batchMagic)
	le.PutUint32(b[4:], h.Length)
	le.PutUint32(b[12:], h.Previous)
	le.PutUint32(b[16:], h.Segment)
	le.PutUint32(b[20:], h.WriterEpoch)
	le.PutUint32(b[24:], h.Incarnation)
	le.PutUint32(b[28:], h.Durable)
	le.PutUint64(b[32:], h.FirstSequence)
	le.PutUint64(b[40:], h.FirstPosition)
	le.PutUint32(b[48:], h.Events)
	le.PutUint32(b[52:], h.Commits)
	le.PutUint16(b[56:], h.Flags)
	le.PutUint16(b[58:], 0)
	le.PutUint32(b[60:], h.Offset)
	h.Checksum = checksumAround(b, 8, seed)
	le.PutUint32(b[8:], h.Checksum)
	return b
}

// BatchLength is the length that a batch header claims, 0 when b does not begin like one.
func BatchLength(b []byte) int {
	if len(b) < BatchHeaderSize || string(b[:4]) != batchMagic {
		return 0
	}
	return int(le.Uint32(b[4:]))
}

// ParseBatch checks the batch at the start of b, which lies at the given offset of the given
// segment, and returns its header and its bytes, header included. b may be longer. [ErrBad] when
// there is no valid batch.
func ParseBatch(b []byte, seed, segment uint32, offset int64) (h BatchHeader, batch []byte, err error) {
	h, ok := parseBatchHeader(b, segment, offset)
	if !ok || uint64(h.Length) > uint64(len(b)) {
		return h, nil, ErrBad
	}
	batch = b[:h.Length:h.Length]
	if h.Checksum != checksumAround(batch, 8, seed) {
		return h, nil, ErrBad
	}
	return h, batch, nil
}

// parseBatchHeader reads a header that may be one of the given place, without looking at the
// checksum. The batch may be longer than b.
func parseBatchHeader(b []byte, segment uint32, offset int64) (h BatchHeader, ok bool) {
	n := BatchLength(b)
	if n < BatchHeaderSize || n%8 != 0 {
		return h, false
	}
	h = BatchHeader{
		Length:        uint32(n),
		Checksum:      le.Uint32(b[8:]),
		Previous:      le.Uint32(b[12:]),
		Segment:       le.Uint32(b[16:]),
		WriterEpoch:   le.Uint32(b[20:]),
		Incarnation:   le.Uint32(b[24:]),
		Durable:       le.Uint32(b[28:]),
		FirstSequence: le.Uint64(b[32:]),
		FirstPosition: le.Uint64(b[40:]),
		Events:        le.Uint32(b[48:]),
		Commits:       le.Uint32(b[52:]),
		Flags:         le.Uint16(b[56:]),
		Offset:        le.Uint32(b[60:]),
	}
	return h, h.Segment == segment && int64(h.Offset) == offset
}

// Records calls f with each record of a checked batch and its offset within the batch, in order. It
// returns the first error of f, and [ErrBad] when the records do not agree with the header. In a
// batch that was rewritten commits may have lost their last records, or all; in one whose events
// were dropped there are none, and all else is of commits before it.
func Records(h *BatchHeader, batch []byte, f func(rec []byte, offset int) error) error {
	var events, commits uint32
	open := false
	off := BatchHeaderSize
	for len(batch)-off >= recordHeaderSize {
		rec, n, err := ParseRecord(batch[off:])
		if n == 0 { // padding
			break
		}
		if err != nil {
			return err
		}
		if err := f(rec, off); err != nil {
			return err
		}
		if IsEvent(rec) {
			events++
		}
		open = !IsLast(rec)
		if !open {
			commits++
		}
		off += n
	}
	whole := !open && commits == h.Commits
	switch {
	case h.Flags&FlagDropped != 0:
		whole, events = events == 0, h.Events
	case h.Flags&FlagRewritten != 0:
		whole = commits <= h.Commits
	}
	if !whole || events != h.Events || len(batch)-off >= 8 {
		return ErrBad
	}
	return nil
}

// Step is the length of what lies at an offset of a segment, and the number of events in it: of a
// batch, a record, or the padding up to the next batch; 0 if it is none of them. It goes by what b,
// the bytes from there on, claims, and no checksum is looked at. A record is shorter than 1 GiB,
// which tells it from padding: less than four zeros are followed by the magic of a batch.
func Step(b []byte, offset int64) (n int, events uint32) {
	if n := BatchLength(b); n > 0 {
		return n, le.Uint32(b[48:])
	}
	if len(b) >= recordHeaderSize {
		if n := le.Uint32(b); n >= recordHeaderSize && n < 1<<30 {
			if IsEvent(b) {
				events = 1
			}
			return int(n), events
		}
	}
	return int(-offset & 7), 0
}
