package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// The file of an index beside a segment, 0000000001.idx for 0000000001.seg, is a sequence of runs.
// Each speaks of a range of events of the segment: a header of 128 bytes, an index blob and a blob
// of side values, then zeros up to a multiple of 8. All of it can be derived from the segment, and
// the file may be removed while the store is closed, unless the segment is damaged: what runs speak
// of is not read by Open, which without them meets the damage and refuses.
//
//	 0   8  magic "PENINDEX"
//	 8   4  CRC-32C of the bytes from 12 to 128
//	12   4  segment number
//	16  16  store id
//	32   4  generation of the segment's file
//	36   4  ordinal of the first event that it speaks of
//	40   8  offset of the first batch that it speaks of
//	48   8  offset up to which it speaks: the end of its last batch
//	56   8  offset of its last batch
//	64   4  checksum of its last batch
//	68   4  length of the index
//	72   4  checksum of the head of the index
//	76   4  length of the side values
//	80   4  checksum of the side values
//	84   4  end of the last batch up to there that holds a commit
//	88   8  hybrid time of the last event up to there
//	96   8  bytes that side values take in the segment up to there
//
// 104  24  zero
//
// The last three are of the active segment: what else there is to know of the log as of the end of
// a run stands in its last batch. See runs.go.
//
// A run is believed only where the segment has that last batch, with that checksum: a batch
// continues the one before it by its checksum, so it stands for all before it. A run of another
// copy of the log is none of this one.
type idxRun struct {
	segment    uint32
	store      [16]byte
	generation uint32
	ordinal    uint32
	start, end uint64
	last       uint64
	lastSum    uint32
	indexLen   uint32
	indexSum   uint32
	sidesLen   uint32
	sidesSum   uint32
	promised   uint32
	lastTime   uint64
	sideBytes  uint64
}

const (
	idxMagic      = "PENINDEX"
	idxHeaderSize = 128
	idxSuffix     = ".idx"
)

func idxName(number uint32) string { return fmt.Sprintf("%010d%s", number, idxSuffix) }

// append appends the run with its two blobs.
func (r *idxRun) append(dst, idx, sides []byte) []byte {
	r.indexLen, r.sidesLen = uint32(len(idx)), uint32(len(sides))
	r.indexSum, r.sidesSum = index.SumOf(idx), wal.Checksum(sides)
	start := len(dst)
	dst = append(dst, idxMagic...)
	put32, put64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	dst = put32(put32(dst, 0), r.segment)
	dst = append(dst, r.store[:]...)
	dst = put32(put32(dst, r.generation), r.ordinal)
	dst = put64(put64(put64(dst, r.start), r.end), r.last)
	for _, v := range []uint32{r.lastSum, r.indexLen, r.indexSum, r.sidesLen, r.sidesSum} {
		dst = put32(dst, v)
	}
	dst = put64(put64(put32(dst, r.promised), r.lastTime), r.sideBytes)
	dst = append(dst, make([]byte, start+idxHeaderSize-len(dst))...)
	binary.LittleEndian.PutUint32(dst[start+8:], wal.Checksum(dst[start+12:]))
	dst = append(append(dst, idx...), sides...)
	return append(dst, make([]byte, -(len(dst)-start)&7)...)
}

// parseIdxRun reads the header of a run.
func parseIdxRun(b []byte) (r idxRun, ok bool) {
	if len(b) < idxHeaderSize || string(b[:8]) != idxMagic {
		return r, false
	}
	b = b[:idxHeaderSize]
	get32, get64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if get32(b[8:]) != wal.Checksum(b[12:]) {
		return r, false
	}
	copy(r.store[:], b[16:])
	r.segment, r.generation, r.ordinal = get32(b[12:]), get32(b[32:]), get32(b[36:])
	r.start, r.end, r.last = get64(b[40:]), get64(b[48:]), get64(b[56:])
	r.lastSum = get32(b[64:])
	r.indexLen, r.indexSum, r.sidesLen, r.sidesSum = get32(b[68:]), get32(b[72:]), get32(b[76:]), get32(b[80:])
	r.promised, r.lastTime, r.sideBytes = get32(b[84:]), get64(b[88:]), get64(b[96:])
	return r, true
}

// besideIndex opens the index that is kept beside a sealed segment of version 1, whose own has no
// filters. Where there is none that can be believed, it makes one out of the footer; a store that
// writes keeps it, which may fail, and then it is kept in memory for as long as it is used.
func (s *Store) besideIndex(g *segment) (sealed *index.Sealed, memory int64, err error) {
	if sealed, memory, err = s.openBeside(g); err == nil {
		return sealed, memory, nil
	}
	blob, err := readFooterOne(g)
	if err != nil {
		return nil, 0, err
	}
	if !s.options.ReadOnly && s.writeBeside(g, blob) == nil {
		if sealed, memory, err = s.openBeside(g); err == nil {
			return sealed, memory, nil
		}
	}
	sealed, err = index.OpenSealed(blob)
	return sealed, int64(len(blob)), err
}

// openBeside opens the index beside a sealed segment: mapped, or in memory.
func (s *Store) openBeside(g *segment) (sealed *index.Sealed, memory int64, err error) {
	file, err := s.dir.Open(idxName(g.number), true)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, idxHeaderSize)
	if n, err := file.ReadAt(head, 0); n < len(head) {
		return nil, 0, err
	}
	r, ok := parseIdxRun(head)
	if !ok || !s.standsFor(&r, g) {
		return nil, 0, index.ErrCorrupt
	}
	sealed, err = mapIndex(file, idxHeaderSize, int(r.indexLen))
	if errors.Is(err, errors.ErrUnsupported) {
		sealed, err = loadIndex(file, idxHeaderSize, int(r.indexLen))
		memory = int64(r.indexLen)
	}
	if err == nil && sealed.Sum() != r.indexSum {
		err = index.ErrCorrupt
	}
	return sealed, memory, err
}

// loadIndex reads an index into memory, and checks all of it.
func loadIndex(file vfs.File, from int64, size int) (*index.Sealed, error) {
	if end, err := file.Size(); err != nil || end < from+int64(size) {
		return nil, errors.Join(index.ErrCorrupt, err)
	}
	blob := make([]byte, size)
	if n, err := file.ReadAt(blob, from); n < size {
		return nil, err
	}
	sealed, err := index.OpenSealed(blob)
	if err != nil {
		return nil, err
	}
	return sealed, sealed.Check()
}

// standsFor reports whether a run speaks of all of a sealed segment, as its trailer describes it.
func (s *Store) standsFor(r *idxRun, g *segment) bool {
	t := g.trailer.Load()
	return r.store == s.origin.Store && r.segment == g.number && r.generation == t.Generation &&
		r.ordinal == 0 && r.start == wal.SegmentHeaderSize && r.end == t.DataEnd && r.lastSum == t.LastChecksum
}

// writeBeside keeps an index beside its segment. A crash leaves it whole or not at all, and a
// temporary file that the next attempt or opening removes.
func (s *Store) writeBeside(g *segment, blob []byte) error {
	t := g.trailer.Load()
	r := idxRun{
		segment: g.number, store: s.origin.Store, generation: t.Generation,
		start: wal.SegmentHeaderSize, end: t.DataEnd, lastSum: t.LastChecksum,
	}
	name := idxName(g.number)
	temporary := name + rewrittenSuffix
	if err := s.dir.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := s.writeNew(temporary, r.append(nil, blob, nil))
	if err == nil {
		err = s.dir.Rename(temporary, name)
	}
	if err != nil {
		_ = s.dir.Remove(temporary)
		return err
	}
	return s.dir.Sync()
}

// writeNew writes a file that is durable, but for its name.
func (s *Store) writeNew(name string, content []byte) error {
	file, err := s.dir.Create(name)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
