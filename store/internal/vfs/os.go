package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

const (
	filePerm = 0o644
	dirPerm  = 0o755

	// lockPatience is how long Lock keeps trying a a busy lock, and lockPoll how
	// often it looks. Locked holds a shared lock for microseconds; a true holder is
	// reported after lockPatience.
	lockPatience = 250 * time.Millisecond
	lockPoll     = 5 * time.Millisecond
)

// OS returns the machine's file system. Files are created 0o644 and directories
// 0o755, less the umask. Sync is fdatasync on linux and os.File.Sync elsewhere,
// which on darwin flushes the drive's cache too.
func OS() FS { return osFS{} }

type osFS struct{}

func (d osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil:
		// A process that died between Mkdir and SyncDir may have left this one
		// visible but not durable; it can only be the deepest, for each is synced
		// before the next. Best effort: the parent of a directory that another
		// process made may be unreadable, or unable to sync.
		_ = d.SyncDir(filepath.Dir(dir))
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := d.MkdirAll(parent); err != nil {
		return err
	}
	if err := mkdir(dir); err != nil {
		return err
	}
	return d.SyncDir(parent)
}

// mkdir tolerates that another process was faster, but nothing else in the way.
func mkdir(dir string) error {
	err := os.Mkdir(dir, dirPerm)
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}

func (osFS) Create(name string) (File, error) {
	return openDiskFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string, readOnly bool) (File, error) {
	if readOnly {
		return openDiskFile(name, os.O_RDONLY)
	}
	return openDiskFile(name, os.O_RDWR)
}

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) Rename(oldName, newName string) error {
	if !sameDirectory(oldName, newName) {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: ErrCrossDirectory}
	}
	return os.Rename(oldName, newName)
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be flushed there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Lock(name string) (io.Closer, error) {
	// An existing lock file in a read-only directory would open well enough, so the
	// directory itself is checked.
	if err := writable(filepath.Dir(name)); err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	l := flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(filePerm))
	for deadline := time.Now().Add(lockPatience); ; {
		ok, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("vfs: lock %s: %w", name, asPermission(err))
		}
		if ok {
			return l, nil
		}
		if !time.Now().Before(deadline) {
			return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
		}
		// A caller of Locked may be holding its shared lock for a moment. The
		// system offers no wait with a time limit, so this polls; it happens only
		// when a store is opened.
		time.Sleep(lockPoll) //nolint:forbidigo // there is no state to wait for, as said above
	}
}

func (osFS) Locked(name string) (bool, error) {
	// A shared lock is refused exactly while another holder has the exclusive one, and
	// two callers of Locked do not see each other.
	probe := flock.New(name, flock.SetFlag(os.O_RDONLY))
	free, err := probe.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("vfs: look at lock %s: %w", name, err)
	case free:
		return false, probe.Close()
	}
	return true, nil
}

// asPermission makes a read-only file system look like what it is to the caller: a
// refusal. The standard library maps EACCES and EPERM to fs.ErrPermission, not EROFS.
func asPermission(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return err
}

type diskFile struct{ *os.File }

func openDiskFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (f diskFile) Sync() error { return datasync(f.File) }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Allocate(size int64) error { return allocate(f.File, size) }
