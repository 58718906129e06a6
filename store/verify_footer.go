package store

import (
	"bytes"
	"fmt"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// footer compares the footer of a sealed segment with the one that its batches make. Where those
// are damaged, and in older formats, its checksums have to do.
func (c *segmentCheck) footer() error {
	t := c.trailer
	size, err := c.segment.size()
	if err != nil {
		return err
	}
	if t == nil {
		return c.unsealed(size)
	}
	b, err := c.segment.bytes(max(0, size-wal.TrailerSize), size)
	if err != nil { // it may have been rewritten
		return err
	}
	if now, bad := wal.ParseTrailer(b, size); bad != nil || now != *t {
		c.damaged(DamagedFooter, max(0, size-wal.TrailerSize), "trailer does not match its checksum")
		return nil //nolint:nilerr // that is what was found out
	}
	c.compareTrailer()
	from := int64(t.DataEnd)
	between := from + int64(t.IndexLen)
	idx, err := c.segment.bytes(from, between)
	if err != nil {
		return err
	}
	sides, err := c.segment.bytes(between, between+int64(t.SidesLen))
	if err != nil {
		return err
	}
	if !c.whole || !isPresent(idx) || t.Version < wal.Version {
		c.checkSums(idx, sides)
		return nil
	}
	wantIdx, wantSides := c.scan.active.Footer()
	c.same(idx, wantIdx, from, "index is not that of the events")
	c.same(sides, wantSides, between, "table of side values is not that of their records")
	return nil
}

// unsealed looks at what the file of a segment that has no good trailer has after its batches. A
// crash leaves a segment before the last one without a trailer, and the next opening for writing
// makes it: that is no damage. Nor is one that is being sealed. But where the file ends as one that
// is sealed, and the trailer is not what it should be, it was damaged; the next opening makes it,
// too.
func (c *segmentCheck) unsealed(size int64) error {
	if !c.whole || c.segment.last == c.until || c.scan.active == nil {
		return nil
	}
	if busy, err := c.store.dir.Locked(lockName); busy || err != nil {
		return err
	}
	idx, sides := c.scan.active.Footer()
	t := c.scan.trailer()
	t.IndexLen, t.IndexSum = uint32(len(idx)), index.SumOf(idx)
	t.SidesLen, t.SidesSum = uint32(len(sides)), wal.Checksum(sides)
	tables := append(idx, sides...)
	from := int64(t.DataEnd)
	at := from + int64(len(tables))
	if size != at+wal.TrailerSize {
		return nil
	}
	got, err := c.segment.bytes(from, size)
	if err != nil || isTorn(got, make([]byte, len(got)), from) { // nothing was written
		return err
	}
	c.same(got[:len(tables)], tables, from, "index, or table of side values, is not that of the batches")
	if !isTorn(got[len(tables):], wal.AppendTrailer(nil, &t), at) {
		c.damaged(DamagedFooter, at, "trailer does not match its checksum")
	}
	return nil
}

// isPresent reports whether an index is of the version that is written now, and not of one before.
func isPresent(idx []byte) bool {
	sealed, err := index.OpenSealed(idx)
	return err != nil || sealed.HasLinks()
}

// compareTrailer compares what is only in the trailer with the batches.
func (c *segmentCheck) compareTrailer() {
	if !c.whole {
		return
	}
	t, want := c.trailer, c.scan.trailer()
	for _, is := range []struct {
		what      string
		got, want uint64
	}{
		{"position after the segment", t.NextPosition, want.NextPosition},
		{"sequence after the segment", t.NextSequence, want.NextSequence},
		{"time of the last event", t.LastTime, want.LastTime},
		{"checksum of the last batch", uint64(t.LastChecksum), uint64(want.LastChecksum)},
		{"generation", uint64(t.Generation), uint64(want.Generation)},
	} {
		if is.got != is.want {
			c.damaged(DamagedFooter, int64(t.DataEnd)+int64(t.IndexLen)+int64(t.SidesLen),
				fmt.Sprintf("%s is %d in the trailer, and %d in the batches", is.what, is.got, is.want))
		}
	}
}

// checkSums compares index and table with the checksums that the trailer has of them.
func (c *segmentCheck) checkSums(idx, sides []byte) {
	t := c.trailer
	if !sealedAs(t, idx) {
		c.damaged(DamagedFooter, int64(t.DataEnd), "index does not match its checksums")
	}
	if wal.Checksum(sides) != t.SidesSum {
		c.damaged(DamagedFooter, int64(t.DataEnd)+int64(t.IndexLen), "table of side values does not match its checksum")
	}
}

// sealedAs reports whether an index is the one that a trailer is of.
func sealedAs(t *wal.Trailer, idx []byte) bool {
	if t.Version == 1 {
		return wal.Checksum(idx) == t.IndexSum
	}
	sealed, err := index.OpenSealed(idx)
	return err == nil && sealed.Sum() == t.IndexSum && sealed.Check() == nil
}

// same compares a part of the footer with what it should be.
func (c *segmentCheck) same(got, want []byte, offset int64, reason string) {
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	kind := DamagedFooter
	if isTorn(got, want, offset) {
		kind, reason = TornFooter, reason+": parts of it are zeros, as a power cut leaves them while a segment is sealed"
	}
	c.damaged(kind, offset+int64(at), reason)
}

// sectorBytes is what a disk writes whole or not at all.
const sectorBytes = 512

// isTorn reports whether what is at an offset of a file lacks nothing but sectors that were not
// written. Versions that made a footer durable together with its trailer could leave that.
func isTorn(got, want []byte, offset int64) bool {
	if len(got) != len(want) {
		return false
	}
	zeros := make([]byte, sectorBytes)
	for from := 0; from < len(got); {
		to := min(len(got), from+sectorBytes-int(offset+int64(from))%sectorBytes)
		is := got[from:to]
		if !bytes.Equal(is, want[from:to]) && !bytes.Equal(is, zeros[:to-from]) {
			return false
		}
		from = to
	}
	return true
}
