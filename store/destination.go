package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// destination is a directory that a copy is made in. It has the lock of a writer meanwhile: so two
// copies never meet there, nor a copy and a store.
type destination struct {
	dir  vfs.Dir
	lock io.Closer
}

// apart refuses a copy in the directory that is copied, or below it: both would be lost together.
// It goes by the paths, and does not resolve symbolic links.
func apart(src, dst string) error {
	if src == "" || dst == "" {
		return &InvalidError{Field: "directory", Rule: "must not be empty"}
	}
	from, err := filepath.Abs(src)
	if err != nil {
		return err
	}
	to, err := filepath.Abs(dst)
	if err != nil {
		return err
	}
	if way, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(way) {
		return &InvalidError{Field: "destination", Rule: "must lie outside of the directory that is copied", Value: dst}
	}
	return nil
}

// openDestination opens a directory, which it creates if need be, and locks it. Nothing is changed,
// and no file made, where it holds something else.
func openDestination(fsys vfs.FS, path string, perm fs.FileMode) (*destination, error) {
	if err := fsys.MkdirAll(path, directoryMode(perm)); err != nil {
		return nil, err
	}
	dir, err := fsys.OpenDir(path, perm)
	if err != nil {
		return nil, err
	}
	d := &destination{dir: dir}
	if _, err = d.holds(); err == nil {
		d.lock, err = dir.Lock(lockName)
	}
	if errors.Is(err, vfs.ErrLocked) {
		err = readOwner(dir)
	}
	if err != nil {
		_ = dir.Close()
		return nil, err
	}
	return d, nil
}

func (d *destination) close() {
	_ = d.lock.Close()
	_ = d.dir.Close()
}

// holds returns what the directory is: copyNone only where it has no files but what a copy makes
// before it begins.
func (d *destination) holds() (manifest, error) {
	m, err := readManifest(d.dir)
	if err != nil || m.State != copyNone {
		return m, err
	}
	names, err := d.dir.List()
	for _, name := range names {
		if name != lockName && name != manifestName+rewrittenSuffix {
			return m, fmt.Errorf("%w: the directory has something else in it, as %s", fs.ErrExist, name)
		}
	}
	return m, err
}

// held is holds, durably: a call before may have been cut off after it had renamed the file, or
// have failed to sync the directory. All that comes next rests on what the file says.
func (d *destination) held() (manifest, error) {
	m, err := d.holds()
	if err == nil && m.State != copyNone {
		err = d.dir.Sync()
	}
	return m, err
}

// fill begins a copy in a directory without one. What a former call left that was cut off is
// removed.
func (d *destination) fill(held *manifest) error {
	if held.State == copyFilling {
		return d.empty()
	}
	return (&manifest{State: copyFilling}).write(d.dir)
}

// empty removes all files of a copy that was not finished.
func (d *destination) empty() error {
	names, err := d.dir.List()
	for _, name := range names {
		if name != lockName && name != manifestName {
			err = errors.Join(err, d.dir.Remove(name))
		}
	}
	return err
}

// prepare makes the directory ready for the next backup, and returns what was there before.
func (d *destination) prepare() (manifest, error) {
	m, err := d.held()
	if err != nil {
		return m, err
	}
	switch m.State {
	case copySwitching:
		err = d.finish(&m) // it is whole then
	case copyWhole:
		err = d.removeCopied()
	case copyNone, copyFilling:
		err = d.fill(&m)
	}
	return m, err
}

// copiedFiles are the files of segments of a backup. It is the [target] in a directory.
type copiedFiles struct {
	copier
	to    *destination
	known map[uint32]face // what is there, where that was looked at, and what was copied
}

func (c *copiedFiles) count() *CopyProgress { return &c.progress }

func (c *copiedFiles) has(f *face) (bool, error) {
	if _, looked := c.known[f.number]; !looked {
		there, err := c.to.face(f.number)
		if err != nil {
			return false, err
		}
		c.known[f.number] = there
	}
	return c.known[f.number] == *f, nil
}

func (c *copiedFiles) put(ctx context.Context, in io.ReaderAt, f *face) (end wal.Expected, err error) {
	end, err = c.copy(ctx, in, f, segmentName(f.number)+copiedSuffix)
	if err == nil {
		c.known[f.number] = *f
	}
	return end, err
}

// face returns that of a file of the destination, a zero one where there is none with a good
// footer.
func (d *destination) face(number uint32) (f face, err error) {
	file, err := d.dir.Open(segmentName(number), true)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	if err != nil {
		return f, err
	}
	if size < wal.SegmentHeaderSize+wal.TrailerSize {
		return f, nil
	}
	if f, err = faceOf(number, file, size, true); errors.Is(err, ErrCorrupt) {
		return face{}, nil
	}
	return f, err
}

// removeCopied removes the files of a backup that did not get to be one.
func (d *destination) removeCopied() error {
	names, err := d.dir.List()
	for _, name := range names {
		if strings.HasSuffix(name, copiedSuffix) {
			err = errors.Join(err, d.dir.Remove(name))
		}
	}
	return err
}

// abandon gives the room of a backup back that was not finished, unless the next call finishes it.
func (d *destination) abandon() {
	if m, err := readManifest(d.dir); err == nil && m.State != copySwitching {
		_ = d.removeCopied()
	}
}

// switchTo makes the files that were copied, and those that are kept, the backup. From the first
// step on, which a crash does or does not, the backup before is superseded.
func (d *destination) switchTo(m *manifest) error {
	if err := d.dir.Sync(); err != nil { // the names of the copies
		return err
	}
	m.State = copySwitching
	if err := m.write(d.dir); err != nil {
		return err
	}
	return d.finish(m)
}

// finish puts the files of a backup in their places and removes all others. It may be cut off and
// done again, any number of times: a copy that is in its place already has no other name.
func (d *destination) finish(m *manifest) error {
	names, err := d.dir.List()
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(m.Segments))
	for _, g := range m.Segments {
		keep[segmentName(g.Number)] = true
	}
	for _, name := range names {
		place, isCopy := strings.CutSuffix(name, copiedSuffix)
		_, isSegment := segmentNumber(place)
		switch {
		case !isSegment || !isCopy && keep[name]:
		case isCopy && keep[place]:
			err = errors.Join(err, d.dir.Rename(name, place))
		default:
			err = errors.Join(err, d.dir.Remove(name))
		}
	}
	if err = errors.Join(err, d.dir.Sync()); err != nil {
		return err
	}
	m.State = copyWhole
	return m.write(d.dir)
}
