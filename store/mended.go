package store

import (
	"errors"
	"fmt"
	"math"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// mended is a segment that Repair writes: of what is whole in a damaged one, or of nothing.
type mended struct {
	repair  *repairing
	header  wal.SegmentHeader
	trailer wal.Trailer // once it is sealed
	size    int64       // then, of the file
	out     vfs.File    // nil where it is only planned
	scan    *scan       // of what is written

	batch  []byte // room for the header, and records
	events uint32 // in it
	ends   uint32 // records in it that end a commit

	unnamed bool // nothing says the id of the last event that was dropped
}

// mend begins a segment that continues the log. h is what else its header says: whether its events
// were dropped, and what stays of them there.
func (r *repairing) mend(number, last uint32, generation uint32, h wal.SegmentHeader) (m *mended, err error) {
	h.Version, h.Store, h.Segment, h.Last, h.Incarnation = wal.Version, r.store, number, last, r.incarnation
	h.FirstPosition, h.FirstSequence, h.LastTime, h.Previous = r.x.Position, r.x.Sequence, r.lastTime, r.x.Previous
	h.Generation, h.Rewritings, h.Reached, h.LastChecksum = generation, 0, 0, 0
	if h.Dropped {
		h.Version = wal.VersionDropped
	}
	m = &mended{repair: r, header: h}
	m.scan = newScan(newSegment(number, nil), &m.header)
	m.scan.next.WriterEpoch = r.x.WriterEpoch
	if r.out != nil {
		m.out, err = r.out.dir.Create(segmentName(number))
	}
	return m, err
}

// fill writes a segment for those that are missing before next, up to a number; next is nil where
// the log ends. At the beginning of the log they are taken for dropped, as they may have been: then
// it may be very many events. Before some that were dropped they were, too.
func (r *repairing) fill(last uint32, next *repairFile) error {
	number := r.x.Segment + 1
	done := SegmentRepair{Segment: number, Last: last, Action: RepairFill, Damage: []Damage{{
		Kind: MissingSegment, Segment: number, Reason: "segment file is missing",
	}}}
	r.report.Segments = append(r.report.Segments, done)
	r.unknown = true
	to, time := wal.Expected{Position: r.x.Position, Sequence: r.reached + 1}, uint64(0)
	if next != nil {
		var exact bool
		if to, exact = next.begins(); !exact && next.dropped() {
			to = wal.Expected{Position: r.x.Position, Sequence: r.x.Sequence} // it may have what stays of any of them
			r.report.Rest = true
		}
		time = next.header.LastTime
	}
	if to.Position < r.x.Position || to.Sequence < r.x.Sequence {
		return &CorruptError{Segment: next.number, Reason: "cannot be repaired: it begins before the segments before it end"}
	}
	h := wal.SegmentHeader{}
	if number == 1 || next != nil && next.dropped() {
		h.Dropped, h.EndTime = true, time
	}
	m, err := r.mend(number, last, 1, h)
	if err != nil {
		return err
	}
	m.unnamed = m.header.Dropped
	if r.report.Commits += to.Sequence - r.x.Sequence; m.header.Dropped && to.Position > r.x.Position {
		r.report.Rest = true
		r.report.Lost = append(r.report.Lost, Range{Position(r.x.Position), Position(to.Position - 1)})
	}
	if err := m.reach(to.Position, to.Sequence, time); err != nil {
		return m.drop(err)
	}
	return m.seal(to.Previous)
}

// rewrite writes again what is whole in a file.
func (r *repairing) rewrite(f *repairFile, in *repairReader, next *repairFile, last bool) error {
	generation, known := f.generation()
	r.unknown = r.unknown || !known
	if f.headed {
		r.count(&wal.SegmentHeader{Reached: f.header.Reached, Generation: 0})
		r.highest = max(r.highest, uint64(f.header.Rewritings))
	}
	s, unnamed := &salvage{file: f, in: in, last: last}, false
	if next != nil {
		s.next, s.exact = next.begins()
		s.time = next.header.LastTime
	} else if f.trailer != nil {
		s.time = f.trailer.LastTime
	}
	h := f.header
	if !f.headed && f.dropped() {
		h.Dropped, h.EndTime, unnamed = true, s.time, true
	}
	m, err := r.mend(f.number, f.last, generation+1, h)
	if err != nil {
		return err
	}
	s.mended, m.unnamed = m, unnamed
	if err := s.run(); err != nil {
		return m.drop(err)
	}
	r.report.Segments = append(r.report.Segments, SegmentRepair{
		Segment: f.number, Last: f.last, File: f.name, Action: RepairRewrite, Damage: f.damage,
	})
	return m.seal(s.links())
}

// generation of a file, as far as it says so.
func (f *repairFile) generation() (generation uint32, known bool) {
	switch {
	case f.headed:
		return f.header.Generation, true
	case f.trailer != nil:
		return f.trailer.Generation, true
	}
	return 0, false
}

// drop gives up after an error.
func (m *mended) drop(err error) error {
	if m.out != nil {
		_ = m.out.Close()
	}
	return err
}

// put adds a record to the batch that is being made.
func (m *mended) put(rec []byte) {
	m.begin()
	m.batch = append(m.batch, rec...)
	if wal.IsEvent(rec) {
		m.events++
	}
	if wal.IsLast(rec) {
		m.ends++
	}
}

// begin begins a batch, unless one is being made.
func (m *mended) begin() {
	if len(m.batch) == 0 {
		m.batch = append(m.batch, make([]byte, wal.BatchHeaderSize)...)
	}
}

// giveUp adds something in the place of each event up to a position, with times after the one
// before, or up to until where that is later: the events after them rest on it.
func (m *mended) giveUp(to uint64, time *uint64, until uint64) {
	p := m.scan.next.Position + uint64(m.events)
	if n := to - p; p < to && until > n {
		*time = max(*time, until-n)
	}
	for ; p < to; p++ {
		*time++
		m.put(appendLost(nil, p, *time))
		m.repair.lose(Position(p))
	}
}

// lose records that an event is lost.
func (r *repairing) lose(p Position) {
	lost := r.report.Lost
	if n := len(lost); n > 0 && lost[n-1].To+1 == p {
		lost[n-1].To = p
		return
	}
	r.report.Lost = append(lost, Range{p, p})
}

// write ends the batch, which has the commits up to a sequence.
func (m *mended) write(h wal.BatchHeader, until uint64) error {
	x := &m.scan.next
	m.begin()
	if h.FirstSequence < x.Sequence || h.Flags&wal.FlagOpened == 0 {
		h.FirstSequence = x.Sequence
	}
	if h.Flags |= wal.FlagRewritten; m.header.Dropped {
		h.Flags, h.Commits = h.Flags|wal.FlagDropped, 0
	} else {
		h.Commits, h.Events = max(m.ends, uint32(min(until-h.FirstSequence, math.MaxUint32))), m.events
	}
	h.Previous, h.Segment, h.Offset, h.Durable = x.Previous, x.Segment, uint32(x.Offset), uint32(x.Offset)
	h.FirstPosition, h.WriterEpoch = x.Position, max(h.WriterEpoch, x.WriterEpoch)
	batch := wal.FinishBatch(m.batch, &h, x.Seed)
	if m.out != nil {
		if _, err := m.out.WriteAt(batch, x.Offset); err != nil {
			return err
		}
	}
	m.batch, m.events, m.ends = batch[:0], 0, 0
	return m.scan.add(&h, batch)
}

// lostPerBatch events at most are discarded in a batch.
const lostPerBatch = 1000

// reach discards all up to a position and a sequence, see giveUp for until. What is more than a
// batch can count is leapt over, as by an opening mark.
func (m *mended) reach(position, sequence, until uint64) error {
	if m.header.Dropped {
		return m.pass(position, sequence)
	}
	x := &m.scan.next
	for x.Position < position {
		time, upTo := m.scan.lastTime, min(position, x.Position+lostPerBatch)
		m.giveUp(upTo, &time, max(until, position-upTo)-(position-upTo))
		if err := m.write(m.like(), x.Sequence); err != nil {
			return err
		}
		if err := m.repair.ctx.Err(); err != nil {
			return err
		}
	}
	if sequence <= x.Sequence {
		return nil
	}
	h := m.like()
	if sequence-x.Sequence > math.MaxUint32 {
		h.Flags, h.FirstSequence = wal.FlagOpened, sequence
	}
	return m.write(h, sequence)
}

// pass passes over positions of events that were dropped, and over the sequences of their commits.
func (m *mended) pass(position, sequence uint64) error {
	x := &m.scan.next
	for x.Position < position || x.Sequence < sequence {
		h := m.like()
		h.Flags, h.FirstSequence = wal.FlagOpened, max(sequence, x.Sequence)
		h.Events = uint32(min(position-x.Position, math.MaxUint32))
		if err := m.write(h, sequence); err != nil {
			return err
		}
	}
	return nil
}

// like is the header of a batch by the writer of the last one.
func (m *mended) like() wal.BatchHeader {
	return wal.BatchHeader{Incarnation: m.scan.incarnation, Flags: m.scan.flags & wal.FlagWeak}
}

// seal writes header and footer. previous is the checksum by which the next segment continues this
// one, 0 where it is not known.
func (m *mended) seal(previous uint32) error {
	r := m.repair
	if previous == 0 {
		previous = m.scan.next.Previous
	}
	if m.scan.next.Offset == wal.SegmentHeaderSize { // a file without a batch is one that was not begun
		if err := m.write(m.like(), m.scan.next.Sequence); err != nil {
			return m.drop(err)
		}
	}
	m.header.LastChecksum, m.scan.header.LastChecksum = previous, previous
	if m.header.Dropped {
		m.name()
	}
	m.trailer = m.scan.trailer()
	r.times += uint64(m.header.Generation)
	r.x, r.lastTime, r.incarnation, r.last = m.scan.chain(), m.scan.lastTime, m.scan.incarnation, m
	r.forget(m.scan)
	if m.out == nil {
		return nil
	}
	m.header.Reached = r.reached
	_, err := m.out.WriteAt(wal.AppendSegmentHeader(nil, &m.header), 0)
	if err == nil {
		err = writeFooter(m.out, &m.trailer, m.scan.active)
	}
	if err == nil {
		m.size, err = m.out.Size()
	}
	r.out.progress.Segments++
	r.out.report(int(m.size))
	return errors.Join(err, m.out.Close())
}

// name gives the last event that was dropped an id where that is lost: readers begin after it.
func (m *mended) name() {
	last := Position(m.scan.next.Position - 1)
	m.repair.report.Unnamed = 0
	if m.unnamed && last >= Position(m.header.FirstPosition) {
		m.header.LastEvent, m.repair.report.Unnamed = idAt(m.header.EndTime, 0), last
	}
}

// settle writes header and trailer once more.
func (m *mended) settle(dir vfs.Dir) error {
	m.trailer.Generation = m.header.Generation
	file, err := dir.Open(segmentName(m.header.Segment), false)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(wal.AppendSegmentHeader(nil, &m.header), 0)
	if err == nil {
		_, err = file.WriteAt(wal.AppendTrailer(nil, &m.trailer), m.size-wal.TrailerSize)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("store: write segment %d: %w", m.header.Segment, err)
	}
	return nil
}
