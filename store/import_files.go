package store

import (
	"errors"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// importedFiles are the segments that an import writes, all of them sealed. They have their names
// only when all are durable, the first one last:
//
//	1.seg.new …                 being written; an opening removes them
//	1.seg.new  2.seg  3.seg     getting their names; nothing opens without the first
//	1.seg  2.seg  3.seg         a store
//
// The commits of the log are over: its batches have events and side values, and no commit, and its
// first sequence is the one of the next commit.
type importedFiles struct {
	store *Store
	log   exportedLog

	number  uint32 // of the segment that is written, and of files so far
	first   uint64 // position that it begins with, where its events were dropped
	out     vfs.File
	scan    *scan
	batch   []byte // room for the header, and records; empty while there is none
	events  uint32 // in it
	pending *pendingKey
}

// pendingKey is the key of a commit of which not all events were added.
type pendingKey struct {
	text   string
	key    wal.Key
	events [][]byte // records
}

func (f *importedFiles) begin(l *exportedLog) {
	f.log = *l
	f.store.origin.Store = l.Store
}

// open starts a segment that continues the one that is written, if there is one, which it seals.
func (f *importedFiles) open(h *wal.SegmentHeader) error {
	switch {
	case f.out != nil:
		if err := f.finish(); err != nil {
			return err
		}
		x := f.scan.next
		h.FirstPosition, h.LastTime, h.Previous = x.Position, f.scan.lastTime, x.Previous
	case h.Dropped:
		h.FirstPosition = 1
	default:
		h.FirstPosition = f.log.First
	}
	return f.start(h)
}

// start starts a segment. Of the header it needs what continues the one before.
func (f *importedFiles) start(h *wal.SegmentHeader) (err error) {
	f.number++
	h.Version, h.Store, h.Segment, h.Last = wal.Version, f.log.Store, f.number, f.number
	if h.Dropped {
		h.Version = wal.VersionDropped
	}
	h.Incarnation, h.FirstSequence = f.log.Incarnation, f.log.Sequence
	f.scan = newScan(newSegment(f.number, &f.store.files), h)
	f.scan.next.WriterEpoch = 1
	f.out, err = f.store.dir.Create(segmentName(f.number) + rewrittenSuffix)
	return err
}

// addEvent adds the record of an event. The events of a commit with a key, and then the key, are in
// one batch, as they were.
func (f *importedFiles) addEvent(rec []byte) error {
	f.events++
	k := f.pending
	if k == nil {
		return f.add(rec)
	}
	f.append(rec)
	if len(k.events) < int(k.key.Events) {
		return nil
	}
	f.pending = nil
	made := wal.AppendKey(nil, k.text, &k.key)
	wal.SealRecord(made, false)
	return f.add(made)
}

// add adds a record, and writes the batch if it is large enough.
func (f *importedFiles) add(rec []byte) error {
	f.append(rec)
	if int64(len(f.batch)) < min(rewrittenBatchBytes, f.store.options.SegmentBytes/4) {
		return nil
	}
	return f.flush()
}

func (f *importedFiles) append(rec []byte) {
	if len(f.batch) == 0 {
		f.batch = append(f.batch, make([]byte, wal.BatchHeaderSize)...)
	}
	f.batch = append(f.batch, rec...)
}

// flush writes the batch, into the next segment where this one is full.
func (f *importedFiles) flush() error {
	if len(f.batch) == 0 {
		return nil
	}
	used := f.scan.next.Offset
	if !f.scan.header.Dropped && used > wal.SegmentHeaderSize && used+int64(wal.Align(len(f.batch))) > f.store.options.SegmentBytes {
		if err := f.roll(); err != nil {
			return err
		}
	}
	x := &f.scan.next
	h := wal.BatchHeader{
		Previous: x.Previous, Segment: x.Segment, WriterEpoch: x.WriterEpoch, Incarnation: f.log.Incarnation,
		Durable: uint32(x.Offset), FirstSequence: x.Sequence, FirstPosition: x.Position, Events: f.events,
		Flags: wal.FlagRewritten, Offset: uint32(x.Offset),
	}
	if f.scan.header.Dropped {
		h.Flags |= wal.FlagDropped
	}
	batch := wal.FinishBatch(f.batch, &h, x.Seed)
	if _, err := f.out.WriteAt(batch, x.Offset); err != nil {
		return err
	}
	f.batch, f.events = batch[:0], 0
	return f.scan.add(&h, batch)
}

// roll seals the segment and starts the next one.
func (f *importedFiles) roll() error {
	if err := f.seal(); err != nil {
		return err
	}
	x := f.scan.next
	return f.start(&wal.SegmentHeader{FirstPosition: x.Position, LastTime: f.scan.lastTime, Previous: x.Previous})
}

// seal writes header and footer, and syncs the file.
func (f *importedFiles) seal() error {
	_, err := f.out.WriteAt(wal.AppendSegmentHeader(nil, &f.scan.header), 0)
	if err == nil {
		t := f.scan.trailer()
		err = writeFooter(f.out, &t, f.scan.active)
	}
	err = errors.Join(err, f.out.Close())
	f.out = nil
	return err
}

func (f *importedFiles) finish() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.seal()
}

// publish gives the files their names. None is removed from here on but by remove, while the first
// has no name.
func (f *importedFiles) publish() error {
	dir := f.store.dir
	if err := dir.Sync(); err != nil {
		return err
	}
	for number := f.number; number > 0; number-- {
		if number == 1 && f.number > 1 {
			if err := dir.Sync(); err != nil {
				return err
			}
		}
		if err := dir.Rename(segmentName(number)+rewrittenSuffix, segmentName(number)); err != nil {
			return err
		}
	}
	f.number = 0
	return dir.Sync()
}

// remove removes what an import that failed has written.
func (f *importedFiles) remove() {
	if f.out != nil {
		_ = f.out.Close()
	}
	for ; f.number > 0; f.number-- {
		_ = f.store.dir.Remove(segmentName(f.number))
		_ = f.store.dir.Remove(segmentName(f.number) + rewrittenSuffix)
	}
}
