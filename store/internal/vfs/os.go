package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// OS returns the machine's file system. Sync of a file is fdatasync on linux and os.File.Sync
// elsewhere, which on darwin flushes the drive's cache too.
func OS() FS { return osFS{} }

type osFS struct{}

func (d osFS) MkdirAll(dir string, perm fs.FileMode) error {
	dir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil:
		// A process that died between Mkdir and the sync of the parent may have left this one
		// visible but not durable; it can only be the deepest, for each is synced
		// before the next. Best effort: the parent of a directory that another
		// process made may be unreadable, or unable to sync.
		_ = syncDir(filepath.Dir(dir))
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := d.MkdirAll(parent, perm); err != nil {
		return err
	}
	if err := mkdir(dir, perm); err != nil {
		return asPermission(err)
	}
	return syncDir(parent)
}

// mkdir tolerates that another process was faster, but nothing else in the way.
func mkdir(dir string, perm fs.FileMode) error {
	err := os.Mkdir(dir, perm)
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be flushed there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) OpenDir(dir string, perm fs.FileMode) (Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &osDir{root: root, perm: perm}, nil
}

// osDir is a directory by its descriptor.
type osDir struct {
	root *os.Root
	perm fs.FileMode // of new files
}

func (d *osDir) Create(name string) (File, error) {
	return d.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d *osDir) Open(name string, readOnly bool) (File, error) {
	if readOnly {
		return d.open("open", name, os.O_RDONLY)
	}
	return d.open("open", name, os.O_RDWR)
}

func (d *osDir) open(op, name string, flag int) (File, error) {
	f, err := d.openFile(op, name, flag)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (d *osDir) openFile(op, name string, flag int) (*os.File, error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flag|largeFile, d.perm)
	if err != nil {
		return nil, d.named(op, name, err)
	}
	return f, nil
}

func (d *osDir) Remove(name string) error {
	if err := checkName("remove", name); err != nil {
		return err
	}
	return d.named("remove", name, d.root.Remove(name))
}

func (d *osDir) Rename(oldName, newName string) error {
	if err := errors.Join(checkName("rename", oldName), checkName("rename", newName)); err != nil {
		return err
	}
	return d.named("rename", oldName, d.root.Rename(oldName, newName))
}

func (d *osDir) List() ([]string, error) {
	f, err := d.self()
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *osDir) Perm() (fs.FileMode, error) {
	info, err := d.root.Stat(".")
	if err != nil {
		return 0, d.named("stat", "", err)
	}
	return permOf(info), nil
}

func (d *osDir) Sync() error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be flushed there
	}
	f, err := d.self()
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// self opens the directory once more, as a file.
func (d *osDir) self() (*os.File, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, d.named("open", "", err)
	}
	return f, nil
}

func (d *osDir) Close() error { return d.root.Close() }

// named returns an error the operation and the whole path: the root names files without the
// directory.
func (d *osDir) named(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var file *fs.PathError
	var names *os.LinkError
	switch {
	case errors.As(err, &file):
		err = file.Err
	case errors.As(err, &names):
		err = names.Err
	}
	return &fs.PathError{Op: op, Path: filepath.Join(d.root.Name(), name), Err: asPermission(err)}
}

// asPermission makes a read-only file system look like what it is to the caller: a
// refusal. The standard library maps EACCES and EPERM to fs.ErrPermission, not EROFS.
func asPermission(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return err
}

// NothingToSync reports whether the error of a sync says that the file system has no way to change
// the file, and so nothing to write: those that are made as an image, and are never anything else.
func NothingToSync(err error) bool { return errors.Is(err, syscall.EINVAL) }

type diskFile struct{ *os.File }

func (f diskFile) Sync() error { return datasync(f.File) }

// WriteAt writes a piece at a time, see writePiece.
func (f diskFile) WriteAt(b []byte, off int64) (n int, err error) {
	for {
		piece := min(len(b)-n, writePiece)
		m, err := f.File.WriteAt(b[n:n+piece], off+int64(n))
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Reserve(from, to int64) error { return reserve(f.File, from, to) }

func (f diskFile) Perm() (fs.FileMode, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return permOf(info), nil
}

// permOf returns 0 on windows: what os makes up there says nothing about other users.
func permOf(info fs.FileInfo) fs.FileMode {
	if runtime.GOOS == "windows" {
		return 0
	}
	return info.Mode().Perm()
}
