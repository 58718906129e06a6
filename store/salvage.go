package store

import (
	"bytes"
	"math"
	"slices"
	"sort"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// salvage takes over what is whole in a damaged file. A batch that is whole is taken as it is.
// Where one is not, its records are looked for:
//
//	batch  |####|.....|####|....|####|            . damaged, # whole
//	         1     2     3         5
//
// from one to the next, by the lengths that they claim, as long as there is a record at the place
// where that leads, or the next batch; else at the next place that the index of the segment knows,
// as it has a checksum of its own. A record is never looked for by trying: what looks like one may
// be in the payload of another. A short side value that is damaged is taken from the table of the
// segment, which has it, too.
type salvage struct {
	*mended

	file  *repairFile
	in    *repairReader
	last  bool         // the log may end in this file
	next  wal.Expected // what the next file begins with; zero where there is none
	exact bool         // it does
	time  uint64       // of the last event before it; 0 where that is not known

	pieces *wal.Pieces
	foot   foot
}

func (s *salvage) run() error {
	s.pieces, s.foot = wal.NewPieces(s.in, s.file.end()), footOf(s.file, s.in)
	if s.file.trailer == nil && !s.last {
		s.file.note(DamagedFooter, s.file.size, "there is no trailer")
	}
	for at := int64(wal.SegmentHeaderSize); at < s.file.end(); {
		if err := s.repair.ctx.Err(); err != nil {
			return err
		}
		next, err := s.step(at)
		if err != nil {
			return err
		}
		if next == at { // the log ends here
			break
		}
		at = next
	}
	to := s.after()
	if x := &s.scan.next; s.exact && (x.Position > to.Position || x.Sequence > to.Sequence) {
		return &CorruptError{
			Segment: s.file.last + 1, Reason: "cannot be repaired: it begins before the segment before it ends, so the files are of different logs",
		}
	}
	if to.Position > s.scan.next.Position || to.Sequence > s.scan.next.Sequence || s.header.Dropped && s.file.trailer == nil {
		s.miss(to.Sequence)
	}
	return s.reach(to.Position, to.Sequence, s.time)
}

// miss records that not all is known of the commits up to a sequence.
func (s *salvage) miss(sequence uint64) {
	if s.header.Dropped {
		s.repair.report.Rest = true
		return
	}
	s.repair.report.Commits += max(sequence, s.scan.next.Sequence) - s.scan.next.Sequence
}

// step takes over what lies at an offset, and returns where the next thing lies: the same where
// there is nothing more.
func (s *salvage) step(at int64) (next int64, err error) {
	x := &s.scan.next
	h, batch, err := s.pieces.Batch(x.Seed, s.file.number, at)
	if err != nil {
		return at, err
	}
	if batch != nil && h.FirstPosition >= x.Position && h.FirstSequence >= x.Sequence && fits(&h, batch) {
		return at + int64(h.Length), s.take(&h, batch)
	}
	end := s.file.end()
	if next, err = s.pieces.Find(x.Seed, s.file.number, at+8); err != nil {
		return at, err
	}
	to := s.after()
	if next < end {
		if h, _, err = s.pieces.Batch(x.Seed, s.file.number, next); err != nil {
			return at, err
		}
		to = wal.Expected{Position: h.FirstPosition, Sequence: h.FirstSequence}
	}
	if ends, err := s.ends(at, next, &to); ends || err != nil {
		return at, err
	}
	return next, s.search(at, next, to)
}

// fits reports whether the events of a batch have their positions.
func fits(h *wal.BatchHeader, batch []byte) bool {
	p := h.FirstPosition
	return wal.Records(h, batch, func(rec []byte, _ int) error {
		if wal.IsEvent(rec) {
			if _, ok := wal.Measure(rec); !ok || wal.Position(rec) != p {
				return wal.ErrBad
			}
			p++
		}
		return nil
	}) == nil
}

// after is what the segment ends with, as far as that is known.
func (s *salvage) after() wal.Expected {
	if s.exact {
		return s.next
	}
	if t := s.file.trailer; t != nil {
		return wal.Expected{Position: t.NextPosition, Sequence: t.NextSequence, Previous: t.LastChecksum}
	}
	return wal.Expected{}
}

// links is the checksum by which the next segment continues this one.
func (s *salvage) links() uint32 { return s.after().Previous }

// ends reports whether there is nothing more: zeros, or in the file where the log may end what was
// never known to be durable.
func (s *salvage) ends(at, next int64, to *wal.Expected) (bool, error) {
	x := &s.scan.next
	if s.file.trailer != nil {
		return false, nil
	}
	if next >= s.file.end() && to.Position > 0 && to.Position <= x.Position && to.Sequence <= x.Sequence {
		return true, nil // all that the next file rests on is there
	}
	rest, err := s.pieces.Rest(x.Seed, s.file.number, at)
	return rest.Used <= at || s.last && rest.Durable <= at, err
}

// take takes over a batch that is whole.
func (s *salvage) take(h *wal.BatchHeader, batch []byte) error {
	x := &s.scan.next
	if h.FirstPosition > x.Position || h.FirstSequence > x.Sequence && h.Flags&wal.FlagOpened == 0 {
		s.miss(h.FirstSequence)
		if err := s.reach(h.FirstPosition, h.FirstSequence, 0); err != nil {
			return err
		}
	}
	err := wal.Records(h, batch, func(rec []byte, _ int) error { s.put(rec); return nil })
	if err != nil {
		return err
	}
	return s.write(*h, h.FirstSequence+uint64(h.Commits))
}

// search takes over the records that are whole in a part of the file that is no good batch. What
// follows it has the position and the sequence to, where that is known.
func (s *salvage) search(from, end int64, to wal.Expected) error {
	b := make([]byte, end-from)
	if _, err := s.in.ReadAt(b, from); err != nil {
		return err
	}
	s.file.note(DamagedBatch, from, "batch does not match its checksum or place")
	if s.header.Dropped {
		if err := s.pass(max(to.Position, s.scan.next.Position), to.Sequence); err != nil {
			return err
		}
	}
	c := &search{
		salvage: s, from: from, end: end, to: to, time: s.scan.lastTime, revision: s.scan.next.Sequence,
		seen: make(map[string]bool),
	}
	if end >= s.file.end() {
		c.until = s.time
	}
	first, before, lost := s.scan.next.Position, len(s.repair.report.Lost), s.repair.report.Events()
	records, missing := s.records(b, from)
	for _, rec := range records {
		if !c.take(rec) {
			missing = unknownRecords
		}
	}
	c.discard(to.Position)
	c.fromTable()
	s.repair.report.Cut = s.repair.report.Cut || s.last && to.Position == 0 && end >= s.file.end()
	whole := s.repair.report.Events()-lost == missing
	s.explain(from, first, before)
	return c.write(whole)
}

// explain adds which events are lost to what is wrong with the file.
func (s *salvage) explain(from int64, first uint64, before int) {
	for _, lost := range s.repair.report.Lost[max(0, before-1):] {
		if lost.To >= Position(first) {
			s.file.damage = append(s.file.damage, Damage{
				Kind: DamagedEvents, Segment: s.file.number, Offset: from, First: max(lost.From, Position(first)), Last: lost.To,
				Reason: "record does not match its checksum",
			})
		}
	}
}

// wholeAt reports whether the record of a side value is whole.
func (s *salvage) wholeAt(side *index.Side) bool {
	b := make([]byte, sideSize(side))
	if _, err := s.in.ReadAt(b, int64(side.Offset)); err != nil {
		return false
	}
	_, _, err := wal.ParseRecord(b)
	return err == nil
}

// unknownRecords are as many as nothing tells.
const unknownRecords = math.MaxUint64

// records returns those that are whole in b, which lies at an offset of the file, and how many are
// not: unknown where that cannot be counted.
func (s *salvage) records(b []byte, from int64) (records [][]byte, missing uint64) {
	places, ended := s.places(from, from+int64(len(b))), true
	for at := wal.BatchHeaderSize; at < len(b); { // there a batch was, whatever is left of its header
		if n := frameAt(b[at:], from+int64(at)); n > 0 {
			at += n
			continue
		}
		rec, n, err := wal.ParseRecord(b[at:])
		if err == nil {
			records, ended = append(records, rec), wal.IsLast(rec)
			at += n
			continue
		}
		if leads(b, at+n, from) && n > 0 {
			if missing < unknownRecords {
				missing++
			}
			at, ended = at+n, true
			continue
		}
		missing = unknownRecords
		next := sort.Search(len(places), func(i int) bool { return places[i] > from+int64(at) })
		if next == len(places) {
			break
		}
		at = int(places[next] - from)
	}
	if !ended || len(b) < wal.BatchHeaderSize { // the file ends in the middle of a commit
		missing = unknownRecords
	}
	return records, missing
}

// places returns where the footer knows records to be, in a part of the file, ascending.
func (s *salvage) places(from, to int64) (places []int64) {
	add := func(at int64) {
		if at >= from && at < to {
			places = append(places, at)
		}
	}
	for i := range s.foot.sides {
		add(int64(s.foot.sides[i].Offset))
	}
	if idx := s.foot.index; idx != nil {
		for ord := range idx.Len() {
			if at, err := idx.Offset(ord); err == nil {
				add(int64(at))
			}
		}
	}
	slices.Sort(places)
	return places
}

// frameAt is the length of what is no record at the beginning of b: the header of a batch, or the
// zeros before one; 0 if it is none.
func frameAt(b []byte, offset int64) int {
	if offset%8 == 0 && wal.BatchLength(b) > 0 {
		return wal.BatchHeaderSize
	}
	n := min(len(b), int(-offset&7))
	if n == 0 {
		n = min(len(b), 8) // zeros where a batch may begin: no record has no length
	} else if n < len(b) && wal.BatchLength(b[n:]) == 0 {
		return 0 // a length may begin with zeros
	}
	if !bytes.Equal(b[:n], make([]byte, n)) {
		return 0
	}
	return n
}

// leads reports whether there is a record at a place of b, or a frame, or its end.
func leads(b []byte, at int, from int64) bool {
	if at >= len(b) {
		return at == len(b)
	}
	_, _, err := wal.ParseRecord(b[at:])
	return err == nil || frameAt(b[at:], from+int64(at)) > 0
}
