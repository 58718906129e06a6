package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// RestoreOptions of [Restore]. The zero value is right for most programs.
type RestoreOptions struct {
	// Store is how the restored store is opened for the first time: Sync, SegmentBytes, FileMode,
	// Clock and Device count.
	Store Options
	// Progress is as in [BackupOptions].
	Progress func(CopyProgress)
}

// Restore makes a store of a backup, in a directory that is empty or not there. The backup is only
// read, so it may lie on a read-only medium; each batch is checked.
//
// The store that it makes has all events, keys and side values of the backup, the same store id,
// and a new incarnation. Its past is that of the log which was backed up, its future is another:
// positions after the last one of the backup will be those of other events. So whatever was kept
// outside of the store, as a row, a file, a token, or a receipt, continues over it if its [Anchor]
// is in the backup, and otherwise is told [ErrForeignHistory] by [Store.CheckAnchor]: nothing has
// to be done for that. Sequences, and so revisions of side values, leap over all that the former
// log can have used.
//
// A fence that was open when the backup was made is cancelled in it, and what was staged is hidden
// in the restored store (Fenced in the report). Where it was published later, a reader may have
// seen that and stand before the end of the backup: it is told ErrForeignHistory, too, as its
// anchor names what is hidden. One that was kept by an older version, and a receipt, do not: of the
// events of a receipt [Store.WaitVisible] tells.
//
// When Restore returns the store is durable and closed, and opens like any other. Before that a
// crash, an error or the end of ctx leaves a directory that [Open] refuses, [ErrUnfinishedCopy];
// Restore into it begins from the start.
//
// Errors: [ErrNotBackup] for a source that Backup has not finished once, or that was opened for
// writing since; fs.ErrExist for a destination with other files, a backup included; [ErrBusy] where
// the next backup was made in the source meanwhile; [CorruptError] for damage; [ErrLocked],
// [InvalidError], [ErrDiskFull], those of ctx and of the file system.
func Restore(ctx context.Context, src, dst string, o RestoreOptions) (CopyReport, error) {
	report, err := restoreDirectory(ctx, src, dst, o)
	if err != nil {
		return CopyReport{}, fmt.Errorf("restore %s to %s: %w", src, dst, shortage(err))
	}
	return report, nil
}

// RestoreFrom is [Restore] of what [Ship] has put into a depot, up to its last manifest. What is
// shipped meanwhile may be [ErrBusy]: then try again. A depot that nothing was shipped to is
// [ErrNotBackup]: [OpenDirectoryDepot] makes one of a path that is mistyped.
func RestoreFrom(ctx context.Context, from Depot, dst string, o RestoreOptions) (CopyReport, error) {
	report, err := restore(ctx, depotSource{from}, dst, o)
	if err != nil {
		return CopyReport{}, fmt.Errorf("restore %s to %s: %w", nameOf(from), dst, shortage(err))
	}
	return report, nil
}

func restoreDirectory(ctx context.Context, src, dst string, o RestoreOptions) (report CopyReport, err error) {
	if err := apart(src, dst); err != nil {
		return report, err
	}
	from, err := o.fs().OpenDir(src, ownerOnly)
	if err != nil {
		return report, err
	}
	defer func() { _ = from.Close() }()
	return restore(ctx, directorySource{from}, dst, o)
}

func (o *RestoreOptions) fs() vfs.FS {
	if o.Store.Device != nil {
		return o.Store.Device.FS
	}
	return vfs.OS()
}

// source is what a store is made of.
type source interface {
	// manifest returns what there is: [ErrNotBackup] if nothing.
	manifest(ctx context.Context) (manifest, error)
	// fetch copies a segment of it into a directory, under its name.
	fetch(ctx context.Context, to *copier, m *manifest, g *copiedSegment) error
}

func restore(ctx context.Context, from source, dst string, o RestoreOptions) (report CopyReport, err error) {
	options, err := o.Store.withDefaults()
	if err != nil {
		return report, err
	}
	m, err := from.manifest(ctx)
	if err != nil {
		return report, err
	}
	to, err := openDestination(o.fs(), dst, options.FileMode)
	if err != nil {
		return report, err
	}
	defer to.close()
	c := &copier{dir: to.dir, tell: o.Progress}
	if err := to.restore(ctx, from, &m, c); err != nil {
		return report, err
	}
	report = m.report(&c.progress)
	if report.Origin, report.Fenced, err = beginIncarnation(o.fs(), dst, options, nil); err != nil {
		return report, err
	}
	return report, removeManifest(to.dir)
}

// directorySource is a backup.
type directorySource struct{ dir vfs.Dir }

func (d directorySource) manifest(context.Context) (manifest, error) {
	m, err := readManifest(d.dir)
	if err == nil && m.State != copyWhole && m.State != copySwitching {
		err = ErrNotBackup
	}
	return m, err
}

// restore copies the files of a backup into a directory without one. After an error it has given
// their room back.
func (d *destination) restore(ctx context.Context, from source, m *manifest, c *copier) error {
	held, err := d.held()
	if err != nil {
		return err
	}
	if held.State == copyWhole || held.State == copySwitching {
		return fmt.Errorf("%w: a backup", fs.ErrExist)
	}
	if err := d.fill(&held); err != nil {
		return err
	}
	c.progress.OfSegments = len(m.Segments)
	for _, g := range m.Segments {
		c.progress.OfBytes += g.Bytes
	}
	for _, g := range m.Segments {
		if err = from.fetch(ctx, c, m, &g); err != nil {
			break
		}
	}
	if now, failed := from.manifest(ctx); failed == nil && !bytes.Equal(now.encode(), m.encode()) {
		err = fmt.Errorf("%w: another backup was made meanwhile", ErrBusy)
	}
	if err == nil {
		err = d.dir.Sync()
	}
	if err != nil {
		_ = d.empty()
	}
	return err
}

// fetch implements source. The file of a backup that is being switched to may have either name.
func (d directorySource) fetch(ctx context.Context, to *copier, m *manifest, g *copiedSegment) error {
	name := segmentName(g.Number)
	file, err := vfs.File(nil), fs.ErrNotExist
	if m.State == copySwitching {
		file, err = d.dir.Open(name+copiedSuffix, true)
	}
	if errors.Is(err, fs.ErrNotExist) {
		file, err = d.dir.Open(name, true)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{Segment: g.Number, Reason: "segment file is missing"}
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	f, err := g.face(file)
	if err != nil {
		return err
	}
	end, err := to.copy(ctx, file, &f, name)
	if err != nil {
		return err
	}
	return f.whole(end)
}

// face reads that of a file which has to be the segment.
func (g *copiedSegment) face(file vfs.File) (face, error) {
	size, err := file.Size()
	if err != nil {
		return face{}, err
	}
	if size != g.Bytes {
		return face{}, &CorruptError{Segment: g.Number, Offset: size, Reason: fmt.Sprintf("file has %d bytes, had %d", size, g.Bytes)}
	}
	return faceOf(g.Number, file, size, g.Sealed)
}

// whole refuses a file whose batches end elsewhere than it says.
func (f *face) whole(end wal.Expected) error {
	h, _, err := f.begin()
	if err == nil {
		_, err = f.next(&h, end)
	}
	return err
}

// depotSource is what was shipped.
type depotSource struct{ depot Depot }

func (d depotSource) manifest(ctx context.Context) (manifest, error) {
	b, err := getObject(ctx, d.depot, manifestObject)
	if err != nil {
		return manifest{}, err
	}
	if b == nil {
		return manifest{}, fmt.Errorf("%w: nothing was shipped to it", ErrNotBackup)
	}
	return decodeManifest(b)
}

// fetch implements source. What came is checked once it is there.
func (d depotSource) fetch(ctx context.Context, to *copier, _ *manifest, g *copiedSegment) error {
	file, err := to.dir.Create(segmentName(g.Number))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	w := &copyWriter{file: file, copier: to}
	for _, name := range g.Objects {
		if err := d.get(ctx, g.Number, name, w); err != nil {
			return err
		}
	}
	f, err := g.face(file)
	if err != nil {
		return err
	}
	end, err := f.copyTo(ctx, file, io.Discard)
	if err == nil {
		err = f.whole(end)
	}
	if err != nil {
		return err
	}
	to.progress.Segments++
	to.report(0)
	return file.Sync()
}

// get appends an object to a file.
func (d depotSource) get(ctx context.Context, segment uint32, name string, to io.Writer) error {
	r, err := d.depot.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = &CorruptError{Segment: segment, Reason: fmt.Sprintf("object %q is missing", name)}
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(to, r)
	return errors.Join(err, r.Close())
}

// beginIncarnation opens the store that was copied and closes it. From then on its log says that it
// is of a new incarnation; nothing was committed before but what first does, unless it is nil. It
// returns where the first fence begins that the former writer had open.
func beginIncarnation(
	fsys vfs.FS, path string, o Options, first func(context.Context, *Store) error,
) (origin Origin, fenced Position, err error) {
	options := Options{
		Sync: o.Sync, SyncEvery: o.SyncEvery, SegmentBytes: o.SegmentBytes, FileMode: o.FileMode,
		Clock: o.Clock, Device: o.Device, MustExist: true, restores: true,
	}
	s := newStore(fsys, path, options, true)
	s.lock = io.NopCloser(nil) // the destination has it, and keeps it
	s.rewriter.stop.Store(true)
	if err := s.begin(); err != nil {
		s.release()
		return Origin{}, 0, err
	}
	left, err := s.loadFences(s.committer.writer.next.WriterEpoch - 1)
	if open := left.stats(); len(open) > 0 {
		fenced = open[0].First
	}
	if err == nil && first != nil {
		err = first(context.Background(), s)
	}
	return s.origin, fenced, errors.Join(err, s.Close())
}
