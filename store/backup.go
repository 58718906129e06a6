package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// BackupOptions of [Backup]. The zero value is right for most programs.
type BackupOptions struct {
	// Progress is called by the goroutine of Backup, about once for each 256 KiB that were written and
	// at the end of each file. It should return soon.
	Progress func(CopyProgress)
}

// Backup copies the log into a directory, which it creates if need be, beside commits and readers,
// and again into the same directory at any later time: then it copies what has changed since,
// which is the segments that were sealed or rewritten, and the active one. st may be open
// for writing or read-only, beside its writer or without one; a poisoned store has what it had
// published.
//
// The copy has all that was committed before the call, and of what is committed meanwhile a part:
// it ends with a batch of the log, all before is there, and nothing after it. Batches are checked
// as they are copied. It is durable when Backup returns, and opens as a store: read-only as often
// as one likes. Opened for writing it becomes a store of its own, and no backup any more. [Restore]
// makes a store of it elsewhere, and leaves it as it is.
//
// A crash, an error and the end of ctx leave the backup that was there before, or, in the last
// step, this one: the next Backup finishes it, Restore takes it as it is, and [Open] says
// [ErrUnfinishedCopy] until then. Of the first backup they leave nothing but files to be removed,
// which the next call does.
//
// The destination must be empty or a backup of this log. One that has an event which this log does
// not have, as it was restored or a power cut took it, is [ErrForeignHistory], and so is one that
// has what this log has lost to damage, an [OnlyCopyError] that names it: what it has may be
// nowhere else, so take another directory. Other files there are fs.ErrExist, another writer or
// Backup is [ErrLocked], a directory in that of the store an [InvalidError]. Other errors:
// [ErrClosed], [ErrDiskFull], [ErrBusy], [CorruptError] for damage, which is not copied, those of
// ctx and of the file system. Files get the permissions of the Options.FileMode of st.
//
// LOCK, OWNER and STATUS are not copied. What is kept between two calls is trusted by its header
// and its footer; the batches in it are not read again.
func Backup(ctx context.Context, st *Store, dst string, o BackupOptions) (CopyReport, error) {
	report, err := backUp(ctx, st, dst, o)
	if err != nil {
		return CopyReport{}, fmt.Errorf("back up %s to %s: %w", st.path, dst, shortage(st.readError(err)))
	}
	return report, nil
}

func backUp(ctx context.Context, st *Store, dst string, o BackupOptions) (report CopyReport, err error) {
	if err := st.readable(ctx); err != nil {
		return report, err
	}
	if err := apart(st.path, dst); err != nil {
		return report, err
	}
	to, err := openDestination(st.fs, dst, st.options.FileMode)
	if err != nil {
		return report, err
	}
	defer to.close()
	former, err := to.prepare()
	if err != nil {
		return report, err
	}
	if former.State == copyWhole {
		if err := st.continues(ctx, &former); err != nil {
			return report, err
		}
	}
	files := &copiedFiles{to: to, copier: copier{dir: to.dir, tell: o.Progress}, known: make(map[uint32]face)}
	b := &backup{store: st, to: files}
	m, err := b.collect(ctx)
	if err == nil {
		err = to.switchTo(&m)
	}
	if err != nil {
		to.abandon()
	}
	return m.report(&files.progress), err
}

// report says what has been made by a manifest.
func (m *manifest) report(p *CopyProgress) CopyReport {
	r := CopyReport{
		Origin: Origin{Store: m.Store, Incarnation: m.Incarnation}, Anchor: m.anchor(), Sequence: m.Sequence,
		Segments: len(m.Segments), Copied: p.Segments, CopiedBytes: p.Bytes,
	}
	for _, g := range m.Segments {
		r.Bytes += g.Bytes
	}
	return r
}

// backup is the copying of what a destination lacks.
//
//	pass         of each segment, the oldest first: the destination has it, or it is copied to
//	  |          N.seg.copy, checked and synced; of the active one what is visible
//	coherent     else a segment was rewritten meanwhile: another pass copies that
//	  |
//	switching    BACKUP names the files that count from now on; the backup before is untouched so far
//	  |
//	rename       of the copies to N.seg; what BACKUP does not name is removed
//	  |
//	whole        BACKUP says so
//
// Segments are read as readers do it: what is open stays readable when its file is replaced, and a
// file that was replaced before it was opened is noticed (again). In a writer the list of segments
// is of one moment, and so are the files that go by it. A read-only store learns of the rewriting
// of one segment at a time; that the files are of one moment is told by their headers, as at every
// opening (checkRewritten).
type backup struct {
	store *Store
	to    target

	head  Position     // when this pass began: what is hidden up to there is in the log by then
	chain wal.Expected // what the next segment of this pass must continue
	sums  rewritten    // of this pass
	made  manifest     // of this pass
}

// target is what segments are copied to. One that is not sealed is copied in any case.
type target interface {
	// has reports whether the file of a sealed segment is there already.
	has(f *face) (bool, error)
	// put copies a file and returns where its batches end.
	put(ctx context.Context, in io.ReaderAt, f *face) (end wal.Expected, err error)
	// count returns what was copied by now.
	count() *CopyProgress
}

// copyPasses bounds the passes over a log that is being rewritten: each meets one rewriting at
// least, and copies little.
const copyPasses = 1000

// collect copies what the destination lacks, until what it has is of one moment.
func (b *backup) collect(ctx context.Context) (manifest, error) {
	for range copyPasses {
		err := b.pass(ctx)
		switch {
		case errors.Is(err, errOfTwoTimes):
			b.store.files.closeIdle() // else what was replaced is read again as it was
		case err == nil:
			err = b.anchor()
			return b.made, err
		case !b.store.again(&err):
			return manifest{}, err
		}
	}
	return manifest{}, fmt.Errorf("%w: each time that the log was copied a segment was rewritten", ErrBusy)
}

// errOfTwoTimes is that a segment was rewritten during a pass.
var errOfTwoTimes = errors.New("store: files of two times")

// anchor names the last event of the copy. It may be visible only in a moment: the index has an
// event before its bytes are shown.
func (b *backup) anchor() error {
	m := &b.made
	m.Store = b.store.origin.Store
	if m.Position == 0 {
		return nil
	}
	id, err := b.store.idAt(m.Position)
	m.Event = id
	if m.Position <= b.head {
		m.Hidden = b.store.hiddenUpTo(m.Position)
	}
	return err
}

func (b *backup) pass(ctx context.Context) error {
	s := b.store
	s.catchUp()
	b.head = Position(s.head.Load())
	segments := *s.segments.Load()
	if n := len(segments); n > 0 && segments[n-1].end.Load() == wal.SegmentHeaderSize && segments[n-1].trailer.Load() == nil {
		segments = segments[:n-1] // it has no batch yet, and no header
	}
	if len(segments) == 0 {
		return s.notStore()
	}
	b.chain, b.sums, b.made = wal.Expected{}, rewritten{}, manifest{Incarnation: s.origin.Incarnation}
	if err := b.plan(segments); err != nil {
		return err
	}
	for _, g := range segments {
		if err := s.readable(ctx); err != nil {
			return err
		}
		if err := b.take(ctx, g); err != nil {
			return err
		}
	}
	if b.sums.times != b.sums.highest || b.chain.Sequence <= b.sums.reached {
		return errOfTwoTimes
	}
	b.made.Position, b.made.Sequence = Position(b.chain.Position-1), b.chain.Sequence-1
	return nil
}

// plan finds out how much there is to copy: for people, who wait for it.
func (b *backup) plan(segments []*segment) error {
	p := b.to.count()
	p.OfSegments, p.OfBytes = p.Segments, p.Bytes
	for _, g := range segments {
		err := b.with(g, func(_ *openFile, f *face) error {
			if has, err := b.has(f); has || err != nil {
				return err
			}
			p.OfSegments++
			p.OfBytes += f.size
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// with calls f with the file of a segment and its face.
func (b *backup) with(g *segment, do func(*openFile, *face) error) error {
	file, err := g.hold()
	if err != nil {
		return err
	}
	defer file.drop()
	sealed := g.trailer.Load() != nil
	size := g.end.Load()
	if sealed {
		if size, err = file.Size(); err != nil {
			return err
		}
	}
	f, err := faceOf(g.number, file, size, sealed)
	if err != nil {
		return err
	}
	return do(file, &f)
}

func (b *backup) has(f *face) (bool, error) {
	if !f.sealed {
		return false, nil
	}
	return b.to.has(f)
}

// take makes a segment part of the copy.
func (b *backup) take(ctx context.Context, g *segment) error {
	return b.with(g, func(file *openFile, f *face) error {
		has, err := b.has(f)
		if err != nil {
			return err
		}
		var end wal.Expected
		if !has {
			if end, err = b.to.put(ctx, file, f); err != nil {
				return err
			}
		}
		return b.add(f, end)
	})
}

// add takes in that the copy has a file, end being that of its batches if they were read.
func (b *backup) add(f *face, end wal.Expected) error {
	h, _, err := f.begin()
	if err != nil {
		return err
	}
	x := &b.chain
	if len(b.made.Segments) > 0 && (h.FirstPosition != x.Position || h.FirstSequence != x.Sequence || h.Previous != x.Previous) {
		return f.corrupt(0, "segment does not continue the one before it")
	}
	b.sums.note(nil, &h)
	if b.chain, err = f.next(&h, end); err != nil {
		return err
	}
	b.made.Segments = append(b.made.Segments, copiedSegment{
		Number: f.number, Last: h.Last, Generation: h.Generation, Bytes: f.size, Sealed: f.sealed,
	})
	return nil
}
