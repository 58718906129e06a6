package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// survey finds the files of the log.
func (r *repairing) survey() error {
	names, err := r.src.List()
	if err != nil {
		return err
	}
	var found []*repairFile
	for _, name := range names {
		if number, ok := segmentNumber(name); ok {
			f := &repairFile{name: name, number: number, last: number}
			if err := r.look(f); err != nil {
				return err
			}
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return ErrNotStore
	}
	if err := r.identify(found); err != nil {
		return err
	}
	r.report.Origin.Store = r.store
	return r.arrange(found)
}

// look reads header and trailer of a file.
func (r *repairing) look(f *repairFile) error {
	in, err := r.read(f)
	if err != nil {
		return err
	}
	defer in.close()
	if f.size, err = in.Size(); err != nil {
		return err
	}
	f.size = min(f.size, maxFileBytes)
	b := make([]byte, wal.SegmentHeaderSize)
	if n, _ := in.ReadAt(b, 0); n == len(b) {
		f.header, err = wal.ParseSegmentHeader(b)
		if errors.Is(err, wal.ErrNewer) {
			return fmt.Errorf("file %s: %w", f.name, ErrNewerFormat)
		}
		f.headed = err == nil
	}
	if b = b[:wal.TrailerSize]; f.size >= wal.TrailerSize {
		if n, _ := in.ReadAt(b, f.size-wal.TrailerSize); n == len(b) {
			if t, err := wal.ParseTrailer(b, f.size); err == nil {
				f.trailer = &t
			}
		}
	}
	return nil
}

// identify finds out whose log it is: that of most files, else of what the last writer left.
func (r *repairing) identify(found []*repairFile) error {
	votes := make(map[uuid.UUID]int)
	for _, f := range found {
		if f.headed {
			votes[f.header.Store]++
		}
	}
	most := 0
	for _, f := range found {
		if n := votes[f.header.Store]; f.headed && n > most {
			r.store, most = f.header.Store, n
		}
	}
	if most > 0 {
		return nil
	}
	t, ok, err := (&Store{dir: r.src}).readBeacon()
	if err != nil || ok {
		r.store = t.store
		return err
	}
	return &CorruptError{Segment: found[0].number, Reason: "cannot be repaired: no file says whose log it is"}
}

// arrange puts the files in the order of the log. Those that stand for nothing are left out.
func (r *repairing) arrange(found []*repairFile) error {
	for _, f := range found {
		if f.headed && f.header.Store == r.store {
			f.number, f.last = f.header.Segment, max(f.header.Segment, f.header.Last)
		}
	}
	slices.SortStableFunc(found, func(a, b *repairFile) int {
		switch {
		case a.number != b.number:
			return cmp.Compare(a.number, b.number)
		case a.headed != b.headed: // a header says more than a name
			return bit(b.headed) - bit(a.headed)
		}
		return bit(b.name == segmentName(b.number)) - bit(a.name == segmentName(a.number))
	})
	for _, f := range found {
		if err := r.place(f); err != nil {
			return err
		}
	}
	for i, f := range r.files { // one that stands for several, and does not say for which
		if !f.headed && f.trailer != nil && f.trailer.Generation > 0 && i+1 < len(r.files) {
			f.last = r.files[i+1].number - 1
		}
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// place appends a file to those of the log, unless it is none.
func (r *repairing) place(f *repairFile) error {
	if n := len(r.files); n > 0 && f.number <= r.files[n-1].last {
		if r.files[n-1].number == f.number || f.headed && f.header.Store != r.store {
			r.ignore(f, "another file is that segment")
		} // else what was merged into it
		return nil
	}
	if f.headed && f.header.Store != r.store {
		r.ignore(f, "segment of another store")
		return nil
	}
	if !f.headed {
		begun, err := r.begun(f)
		if err != nil {
			return err
		}
		if !begun {
			if f.trailer != nil || f.size == 0 {
				f.note(DamagedHeader, 0, "neither its header nor a batch is whole")
			}
			return nil
		}
		f.note(DamagedHeader, 0, "segment header does not match its checksum")
	}
	r.files = append(r.files, f)
	return nil
}

// begun finds the first good batch of a file.
func (r *repairing) begun(f *repairFile) (bool, error) {
	in, err := r.read(f)
	if err != nil {
		return false, err
	}
	defer in.close()
	p, seed := wal.NewPieces(in, f.end()), wal.Seed(r.store)
	at, err := p.Find(seed, f.number, wal.SegmentHeaderSize)
	if err != nil || at >= f.end() {
		return false, err
	}
	f.first, _, err = p.Batch(seed, f.number, at)
	return true, err
}

func (r *repairing) ignore(f *repairFile, reason string) {
	f.note(DamagedHeader, 0, reason)
	r.report.Segments = append(r.report.Segments, SegmentRepair{
		Segment: f.number, Last: f.last, File: f.name, Action: RepairIgnore, Damage: f.damage,
	})
}

// note records what is wrong with a file.
func (f *repairFile) note(kind DamageKind, offset int64, reason string) {
	f.damage = append(f.damage, Damage{Kind: kind, Segment: f.number, Offset: offset, Reason: reason})
}

// end is where the batches of a file end at most.
func (f *repairFile) end() int64 {
	if f.trailer != nil {
		return int64(f.trailer.DataEnd)
	}
	return f.size
}

// dropped reports whether the file has what stays of events that were dropped.
func (f *repairFile) dropped() bool {
	if f.headed {
		return f.header.Dropped
	}
	return f.first.Flags&wal.FlagDropped != 0
}

// begins returns what a file says that the one before must end with. exact is false where the file
// does not know it any more; then it is what its first good batch says.
func (f *repairFile) begins() (x wal.Expected, exact bool) {
	if f.headed {
		h := &f.header
		return wal.Expected{Position: h.FirstPosition, Sequence: h.FirstSequence, Previous: h.Previous}, true
	}
	h := &f.first
	return wal.Expected{Position: h.FirstPosition, Sequence: h.FirstSequence, Previous: h.Previous}, h.Offset == wal.SegmentHeaderSize
}
