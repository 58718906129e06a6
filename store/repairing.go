package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// repairing is the work of one call of Repair or PlanRepair. It belongs to the goroutine of the
// caller.
//
//	survey    which file is which part of the log: by its header, else by its name and batches
//	walk      in the order of the log: a file that continues it is copied, any other written again,
//	          and what is missing between two is filled in
//	settle    what the headers of rewritten files say of each other
//
// What is written again is a segment of the next generation, as after any rewriting: so its
// neighbours, which may be whole, need not be touched. Its positions and sequences end where the
// next one begins.
type repairing struct {
	options RepairOptions
	fs      vfs.FS
	src     vfs.Dir
	lock    io.Closer
	out     *copier         // nil where it is only planned
	ctx     context.Context //nolint:containedctx // of the call that it is the work of
	report  RepairReport

	store uuid.UUID
	files []*repairFile // in the order of the log

	// Where the log has come.
	x           wal.Expected // what the header of the next segment must say
	lastTime    uint64
	incarnation uint32
	sides       map[string]uint64 // revisions of values that are lost and not overwritten yet

	// Of the headers, see [rewritten].
	times, highest, reached uint64
	unknown                 bool    // the generation of a file that is gone is not known
	last                    *mended // the file that was written last
}

// repairFile is a file of the directory that is damaged.
type repairFile struct {
	name         string
	number, last uint32
	size         int64
	header       wal.SegmentHeader
	headed       bool            // it has a good header
	trailer      *wal.Trailer    // nil where it has no good one
	first        wal.BatchHeader // its first good batch, where it is not headed
	damage       []Damage
}

func newRepair(o RepairOptions) *repairing {
	r := &repairing{options: o, fs: vfs.OS(), sides: make(map[string]uint64)}
	if o.Store.Device != nil {
		r.fs = o.Store.Device.FS
	}
	return r
}

// walk takes the files in the order of the log.
func (r *repairing) walk() error {
	r.x = wal.Expected{Sequence: 1, Position: 1}
	for i, f := range r.files {
		if i == 0 && f.number == 1 {
			if x, exact := f.begins(); exact {
				r.x = x
			}
			r.lastTime, r.incarnation = f.header.LastTime, f.header.Incarnation
		}
		if f.number > r.x.Segment+1 {
			if err := r.fill(f.number-1, f); err != nil {
				return err
			}
		}
		var next *repairFile
		if i+1 < len(r.files) && r.files[i+1].number == f.last+1 {
			next = r.files[i+1]
		}
		if err := r.segment(f, next, i+1 == len(r.files)); err != nil {
			return err
		}
	}
	if len(r.files) == 0 {
		return &CorruptError{Segment: 1, Reason: "cannot be repaired: there is no batch that is whole"}
	}
	if r.x.Sequence <= r.reached { // what superseded the values that were dropped is gone
		r.report.Cut = true
		return r.fill(r.x.Segment+1, nil)
	}
	return nil
}

// segment repairs one file. next is the one that follows it, nil where that is missing.
func (r *repairing) segment(f, next *repairFile, last bool) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	in, err := r.read(f)
	if err != nil {
		return err
	}
	defer in.close()
	sc, err := r.whole(f, in, next, last)
	if err != nil {
		return err
	}
	if sc == nil {
		return r.rewrite(f, in, next, last)
	}
	r.count(&f.header)
	r.forget(sc)
	if f.header.Dropped {
		r.report.Unnamed = 0 // it was of an event before
	}
	action, sealed := RepairAction(""), f.trailer != nil
	if sealed && !r.footed(f, in) {
		action, sealed = RepairReindex, false
	}
	if f.name != segmentName(f.number) {
		f.note(DamagedHeader, 0, "the file has the name of another segment")
		action = RepairRename
	}
	if action == "" {
		r.report.Kept++
	} else {
		r.report.Segments = append(r.report.Segments, SegmentRepair{
			Segment: f.number, Last: f.last, File: f.name, Action: action, Damage: f.damage,
		})
	}
	r.x, r.lastTime, r.incarnation = sc.chain(), sc.lastTime, sc.incarnation
	if r.out == nil {
		return nil
	}
	size := sc.next.Offset
	if sealed {
		size = f.size
	}
	copied, err := faceOf(f.number, in, size, sealed)
	if err == nil {
		_, err = r.out.copy(r.ctx, in, &copied, segmentName(f.number))
	}
	return err
}

// whole returns the scan of a file that continues the log, and ends where the next one begins; nil
// where it does not, or is damaged.
func (r *repairing) whole(f *repairFile, in *repairReader, next *repairFile, last bool) (*scan, error) {
	h := &f.header
	if !f.headed || h.FirstPosition != r.x.Position || h.FirstSequence != r.x.Sequence || h.Previous != r.x.Previous {
		return nil, nil //nolint:nilnil // there is none
	}
	sc := newScan(newSegment(f.number, nil), h)
	sc.next.WriterEpoch = r.x.WriterEpoch
	p := wal.NewPieces(in, f.end())
	if err := sc.run(p); err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	} else if err != nil {
		return nil, nil //nolint:nilnil,nilerr // there is none
	}
	if t := f.trailer; t != nil {
		whole := sc.next.Offset == int64(t.DataEnd) && sc.next.Position == t.NextPosition && sc.next.Sequence == t.NextSequence &&
			sc.chain().Previous == t.LastChecksum
		if !whole {
			return nil, nil //nolint:nilnil // there is none
		}
	} else if rest, err := p.Rest(sc.next.Seed, f.number, sc.next.Offset); err != nil {
		return nil, err
	} else if rest.Durable > sc.next.Offset || h.Dropped { // what stays has no end but the footer
		return nil, nil //nolint:nilnil // there is none
	} else if !last && rest.Used > sc.next.Offset {
		f.note(DamagedFooter, f.size, "trailer does not match its checksum, or the size of the file")
	}
	return r.joins(sc, next)
}

// joins returns the scan of a file that is whole by itself if the next one begins where it ends.
func (r *repairing) joins(sc *scan, next *repairFile) (*scan, error) {
	if next == nil {
		return sc, nil
	}
	begins, exact := next.begins()
	x := sc.chain()
	switch {
	case !exact, begins.Position == x.Position && begins.Sequence == x.Sequence && begins.Previous == x.Previous:
		return sc, nil
	case begins.Position < x.Position || begins.Sequence < x.Sequence,
		begins.Position == x.Position && begins.Sequence == x.Sequence:
		return nil, &CorruptError{
			Segment: next.number, Reason: "cannot be repaired: it does not continue the segment before it, which is whole: the files are of different logs",
		}
	}
	return nil, nil //nolint:nilnil // it ends too early
}

// footed reports whether index and table of side values in the footer of a file are whole.
func (r *repairing) footed(f *repairFile, in *repairReader) bool {
	foot := footOf(f, in)
	if !foot.indexed {
		f.note(DamagedFooter, int64(f.trailer.DataEnd), "index does not match its checksums")
	}
	if !foot.tabled {
		f.note(DamagedFooter, int64(f.trailer.DataEnd)+int64(f.trailer.IndexLen), "table of side values does not match its checksum")
	}
	return foot.indexed && foot.tabled
}

// count takes in what the header of a file says of rewriting.
func (r *repairing) count(h *wal.SegmentHeader) {
	r.times += uint64(h.Generation)
	r.reached = max(r.reached, h.Reached)
	if h.Generation > 0 {
		r.highest = max(r.highest, uint64(h.Rewritings))
	}
}

// forget takes values that were overwritten later from those that are lost.
func (r *repairing) forget(sc *scan) {
	for key := range r.sides {
		if side, ok := sc.sides[key]; ok && side.Revision > r.sides[key] {
			delete(r.sides, key)
		}
	}
}

// settle makes the generations of all files add up to what the headers say of them.
func (r *repairing) settle() error {
	missing := r.highest > r.times
	switch {
	case r.last == nil && r.times == r.highest:
		return nil
	case missing && !r.unknown, r.last == nil:
		return &CorruptError{Segment: 1, Reason: fmt.Sprintf(
			"cannot be repaired: %d times a segment was rewritten, the files are of %d, and which is older than it should be is not known",
			r.highest, r.times)}
	case missing:
		r.last.header.Generation += uint32(r.highest - r.times)
		r.times = r.highest
	}
	if r.times > math.MaxUint32 {
		return &CorruptError{Segment: r.last.header.Segment, Reason: "cannot be repaired: it was rewritten too often"}
	}
	r.last.header.Rewritings, r.last.header.Reached = uint32(r.times), r.reached
	if r.out == nil {
		return nil
	}
	return r.last.settle(r.out.dir)
}
