package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/penstock-io/penstock/store/internal/vfs"
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
// When Restore returns the store is durable and closed, and opens like any other. Before that a
// crash, an error or the end of ctx leaves a directory that [Open] refuses, [ErrUnfinishedCopy];
// Restore into it begins from the start.
//
// Errors: [ErrNotBackup] for a source that Backup has not finished once, or that was opened for
// writing since; fs.ErrExist for a destination with other files, a backup included; [ErrBusy] where
// the next backup was made in the source meanwhile; [CorruptError] for damage; [ErrLocked],
// [InvalidError], [ErrDiskFull], those of ctx and of the file system.
func Restore(ctx context.Context, src, dst string, o RestoreOptions) (CopyReport, error) {
	report, err := restore(ctx, src, dst, o)
	if err != nil {
		return CopyReport{}, fmt.Errorf("restore %s to %s: %w", src, dst, shortage(err))
	}
	return report, nil
}

func restore(ctx context.Context, src, dst string, o RestoreOptions) (report CopyReport, err error) {
	options, err := o.Store.withDefaults()
	if err != nil {
		return report, err
	}
	if err := apart(src, dst); err != nil {
		return report, err
	}
	fsys := vfs.OS()
	if options.Device != nil {
		fsys = options.Device.FS
	}
	from, m, err := openBackup(fsys, src)
	if err != nil {
		return report, err
	}
	defer func() { _ = from.Close() }()
	to, err := openDestination(fsys, dst, options.FileMode)
	if err != nil {
		return report, err
	}
	defer to.close()
	c := &copier{dir: to.dir, tell: o.Progress}
	if err := to.restore(ctx, from, &m, c); err != nil {
		return report, err
	}
	report = m.report(c)
	if report.Origin, err = beginIncarnation(fsys, dst, options); err != nil {
		return report, err
	}
	if err := to.dir.Remove(manifestName); err != nil {
		return report, err
	}
	return report, to.dir.Sync()
}

// openBackup opens a directory that has a backup.
func openBackup(fsys vfs.FS, path string) (vfs.Dir, manifest, error) {
	dir, err := fsys.OpenDir(path, ownerOnly)
	if err != nil {
		return nil, manifest{}, err
	}
	m, err := readManifest(dir)
	if err == nil && m.State != copyWhole && m.State != copySwitching {
		err = ErrNotBackup
	}
	if err != nil {
		_ = dir.Close()
	}
	return dir, m, err
}

// restore copies the files of a backup into a directory without one. After an error it has given
// their room back.
func (d *destination) restore(ctx context.Context, from vfs.Dir, m *manifest, c *copier) error {
	held, err := d.holds()
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
		if err = c.restore(ctx, from, m.State, &g); err != nil {
			break
		}
	}
	if now, failed := readManifest(from); failed == nil && !bytes.Equal(now.encode(), m.encode()) {
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

// restore copies a file of a backup. Of one that is being switched to it may have either name.
func (c *copier) restore(ctx context.Context, from vfs.Dir, state copyState, g *copiedSegment) error {
	name := segmentName(g.Number)
	file, err := vfs.File(nil), fs.ErrNotExist
	if state == copySwitching {
		file, err = from.Open(name+copiedSuffix, true)
	}
	if errors.Is(err, fs.ErrNotExist) {
		file, err = from.Open(name, true)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{Segment: g.Number, Reason: "segment file is missing"}
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	if err != nil {
		return err
	}
	if size != g.Bytes {
		return &CorruptError{Segment: g.Number, Offset: size, Reason: fmt.Sprintf("file has %d bytes, had %d", size, g.Bytes)}
	}
	f, err := faceOf(g.Number, file, size, g.Sealed)
	if err != nil {
		return err
	}
	end, err := c.copy(ctx, file, &f, name)
	if err != nil {
		return err
	}
	h, _, err := f.begin()
	if err == nil {
		_, err = f.next(&h, end)
	}
	return err
}

// beginIncarnation opens the store that was copied and closes it. From then on its log says that it
// is of a new incarnation; nothing was committed before.
func beginIncarnation(fsys vfs.FS, path string, o Options) (Origin, error) {
	options := Options{
		Sync: o.Sync, SyncEvery: o.SyncEvery, SegmentBytes: o.SegmentBytes, FileMode: o.FileMode,
		Clock: o.Clock, Device: o.Device, MustExist: true, restores: true,
	}
	s := newStore(fsys, path, options, true)
	s.lock = io.NopCloser(nil) // the destination has it, and keeps it
	s.rewriter.stop.Store(true)
	if err := s.begin(); err != nil {
		s.release()
		return Origin{}, err
	}
	return s.origin, s.Close()
}
