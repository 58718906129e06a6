package wal

import "slices"

// SegmentHeader says which part of which log a file holds.
type SegmentHeader struct {
	Version       uint16 // of the format of the file
	Store         [16]byte
	Segment       uint32
	Incarnation   uint32
	FirstPosition uint64 // that the first event in it has
	FirstSequence uint64 // that the first commit in it has
	LastTime      uint64 // of the last event before it
	Previous      uint32 // checksum of the last batch before it
	Generation    uint32 // 0 as first written, one more each time the file is rewritten
	Last          uint32 // number of the last segment that the file stands for: its own, where none were merged

	// Of a file that was rewritten, else 0.
	LastChecksum uint32 // of the last batch as first written
	Rewritings   uint32 // of all segments of the store, up to this one
	Reached      uint64 // sequence of a commit that the log has, and that is after all that superseded what is gone

	// Dropped says that the events of the segment are gone, by retention; only VersionDropped has it.
	Dropped   bool
	LastEvent [16]byte // id of the last of them, zero where there was none
	EndTime   uint64   // of it, or of the last event before
}

const segmentMagic = "PENSTOCK"

// AppendSegmentHeader appends the 128 bytes of h. A header of version 1 ends with Previous.
func AppendSegmentHeader(dst []byte, h *SegmentHeader) []byte {
	var b [SegmentHeaderSize]byte
	copy(b[:], segmentMagic)
	le.PutUint16(b[8:], h.Version)
	copy(b[16:], h.Store[:])
	le.PutUint32(b[32:], h.Segment)
	le.PutUint32(b[36:], h.Incarnation)
	le.PutUint64(b[40:], h.FirstPosition)
	le.PutUint64(b[48:], h.FirstSequence)
	le.PutUint64(b[56:], h.LastTime)
	le.PutUint32(b[64:], h.Previous)
	if h.Version > 1 {
		le.PutUint32(b[68:], h.Generation)
		le.PutUint32(b[72:], h.Last)
		le.PutUint32(b[76:], h.LastChecksum)
		le.PutUint64(b[80:], h.Reached)
		le.PutUint32(b[88:], h.Rewritings)
	}
	if h.Version == VersionDropped {
		le.PutUint16(b[10:], segmentDropped)
		copy(b[92:], h.LastEvent[:])
		le.PutUint64(b[108:], h.EndTime)
	}
	le.PutUint32(b[12:], checksumAround(b[:], 12, 0))
	return append(dst, b[:]...)
}

// ParseSegmentHeader reads a header. [ErrNewer] when it is one of a version above [VersionDropped],
// or of that version and of another kind. The version is believed only when the checksum is right,
// or a flipped bit would pass for a newer program's work: so magic, version and checksum of these
// 128 bytes keep their places in every version.
func ParseSegmentHeader(b []byte) (SegmentHeader, error) {
	var h SegmentHeader
	if len(b) < SegmentHeaderSize || string(b[:8]) != segmentMagic {
		return h, ErrBad
	}
	b = b[:SegmentHeaderSize]
	if le.Uint32(b[12:]) != checksumAround(b, 12, 0) {
		return h, ErrBad
	}
	h.Version = le.Uint16(b[8:])
	switch {
	case h.Version > VersionDropped, h.Version == VersionDropped && le.Uint16(b[10:]) != segmentDropped:
		return SegmentHeader{}, ErrNewer
	case h.Version < 1:
		return SegmentHeader{}, ErrBad
	}
	copy(h.Store[:], b[16:])
	h.Segment = le.Uint32(b[32:])
	h.Incarnation = le.Uint32(b[36:])
	h.FirstPosition = le.Uint64(b[40:])
	h.FirstSequence = le.Uint64(b[48:])
	h.LastTime = le.Uint64(b[56:])
	h.Previous = le.Uint32(b[64:])
	if h.Last = h.Segment; h.Version > 1 {
		h.Generation, h.Last, h.LastChecksum = le.Uint32(b[68:]), le.Uint32(b[72:]), le.Uint32(b[76:])
		h.Reached, h.Rewritings = le.Uint64(b[80:]), le.Uint32(b[88:])
	}
	if h.Dropped = h.Version == VersionDropped; h.Dropped {
		copy(h.LastEvent[:], b[92:])
		h.EndTime = le.Uint64(b[108:])
	}
	return h, nil
}

// Trailer ends a sealed segment. Its version is that of index and sides, too, and may be above the
// version of the header: a segment of an older program that a newer one has sealed.
type Trailer struct {
	Version      uint16
	DataEnd      uint64 // offset where the batches end and the index begins
	NextPosition uint64
	NextSequence uint64
	LastTime     uint64
	LastChecksum uint32 // of the last batch
	WriterEpoch  uint32 // of the writer of the last batch
	IndexLen     uint32
	IndexSum     uint32
	SidesLen     uint32
	SidesSum     uint32
	Weak         bool   // the last batch was acknowledged before its sync
	Incarnation  uint32 // of the writer of the last batch; the header's may be older
	Generation   uint32 // that of the header
	SideBytes    uint64 // that side values take, deletions and batches of nothing else included; 0 in version 1
}

//nolint:gochecknoglobals // a table that is never written.
var trailerMagic = [Version + 1]string{1: "PENDSEAL", 2: "PENDSEA2"}

// AppendTrailer appends the 128 bytes of t.
func AppendTrailer(dst []byte, t *Trailer) []byte {
	var b [TrailerSize]byte
	copy(b[:], trailerMagic[t.Version])
	le.PutUint64(b[16:], t.DataEnd)
	le.PutUint64(b[24:], t.NextPosition)
	le.PutUint64(b[32:], t.NextSequence)
	le.PutUint64(b[40:], t.LastTime)
	le.PutUint32(b[48:], t.LastChecksum)
	le.PutUint32(b[52:], t.WriterEpoch)
	le.PutUint32(b[56:], t.IndexLen)
	le.PutUint32(b[60:], t.IndexSum)
	le.PutUint32(b[64:], t.SidesLen)
	le.PutUint32(b[68:], t.SidesSum)
	if t.Weak {
		b[72] = 1
	}
	le.PutUint32(b[76:], t.Incarnation)
	if t.Version > 1 {
		le.PutUint32(b[80:], t.Generation)
		le.PutUint64(b[84:], t.SideBytes)
	}
	le.PutUint32(b[8:], Checksum(b[12:]))
	return append(dst, b[:]...)
}

// ParseTrailer reads the trailer that ends a file of the given size.
func ParseTrailer(b []byte, size int64) (Trailer, error) {
	var t Trailer
	if len(b) != TrailerSize || le.Uint32(b[8:]) != Checksum(b[12:]) {
		return t, ErrBad
	}
	version := slices.Index(trailerMagic[:], string(b[:8]))
	if version < 1 {
		return t, ErrBad
	}
	t = Trailer{
		Version:      uint16(version),
		DataEnd:      le.Uint64(b[16:]),
		NextPosition: le.Uint64(b[24:]),
		NextSequence: le.Uint64(b[32:]),
		LastTime:     le.Uint64(b[40:]),
		LastChecksum: le.Uint32(b[48:]),
		WriterEpoch:  le.Uint32(b[52:]),
		IndexLen:     le.Uint32(b[56:]),
		IndexSum:     le.Uint32(b[60:]),
		SidesLen:     le.Uint32(b[64:]),
		SidesSum:     le.Uint32(b[68:]),
		Weak:         b[72] == 1,
		Incarnation:  le.Uint32(b[76:]),
	}
	if t.Version > 1 {
		t.Generation, t.SideBytes = le.Uint32(b[80:]), le.Uint64(b[84:])
	}
	if t.DataEnd < SegmentHeaderSize || t.DataEnd > uint64(size) ||
		t.DataEnd+uint64(t.IndexLen)+uint64(t.SidesLen)+TrailerSize != uint64(size) {
		return Trailer{}, ErrBad
	}
	return t, nil
}
