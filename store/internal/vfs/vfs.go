package vfs

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
)

var (
	// ErrLocked reports a lock that another holder has, in this process or another.
	ErrLocked = errors.New("vfs: locked by another holder")

	// ErrCrossDirectory reports a Rename whose names lie in two directories. One
	// SyncDir could not make such a rename durable.
	ErrCrossDirectory = errors.New("vfs: rename across directories")

	// ErrPowerCut reports a call on a Memory whose power has been cut.
	ErrPowerCut = errors.New("vfs: power cut")

	// ErrNoSpace reports a change that does not fit into a Memory's capacity.
	// Callers test for syscall.ENOSPC, which it wraps: a real disk reports that.
	ErrNoSpace = fmt.Errorf("vfs: capacity exhausted: %w", syscall.ENOSPC)
)

// FS is a file system as an append-only log needs it. Names are paths as
// path/filepath understands them. Errors carry the path and match the sentinels of
// io/fs with errors.Is. Implementations are safe for concurrent use.
type FS interface {
	// MkdirAll creates dir and the parents it lacks, each made durable before the
	// next is begun. A crash leaves a durable chain that may end early; calling
	// again completes it. It is no error if dir exists.
	MkdirAll(dir string) error

	// Create makes an empty file, open for reading and writing; fs.ErrExist if the
	// name is taken. Until SyncDir a crash may take the file away, synced or not.
	Create(name string) (File, error)

	// Open opens an existing file; fs.ErrNotExist if there is none. A file opened
	// readOnly refuses WriteAt and Truncate.
	Open(name string, readOnly bool) (File, error)

	// Remove removes a file, never a directory's content. Until SyncDir a crash may
	// bring it back.
	Remove(name string) error

	// Rename returns a file another name in the same directory and replaces what had
	// that name. A crash before SyncDir leaves the old state or the new, nothing
	// between. ErrCrossDirectory if the names lie in two directories.
	Rename(oldName, newName string) error

	// List returns the base names of the files in dir, sorted, without directories.
	List(dir string) ([]string, error)

	// SyncDir makes the creations, renames and removals in dir durable. On windows
	// it does nothing: there the file system journals names by itself.
	SyncDir(dir string) error

	// Lock takes an exclusive lock on a file, which it creates if there is none. The
	// lock ends with Close, which may be called again without effect, or with the
	// process, however it ends; the file stays. ErrLocked if anybody holds it,
	// another caller in this process included; fs.ErrPermission if the directory
	// is read-only, even if the file exists.
	Lock(name string) (io.Closer, error)

	// Locked reports whether anybody holds the lock, without disturbing the holder;
	// false if the file does not exist. The answer may be outdated on return.
	Locked(name string) (bool, error)
}

// File is an open file. Its methods may be called concurrently; writes to
// overlapping ranges must be ordered by the caller. After Close they fail with
// fs.ErrClosed.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// Sync makes content and size durable, as of the call. After an error nothing
	// is known about the bytes written since the last successful one, and a later
	// success proves nothing about them either.
	Sync() error

	// Truncate sets the size in bytes; a longer file reads as zeros at its end.
	Truncate(size int64) error

	// Allocate makes an empty file that long, reading as zeros, with room for it on the
	// disk, so that writing into it later cannot fail for want of room. On linux that is
	// fallocate, which writes nothing; elsewhere, and where the file system cannot do
	// it, zeros are written.
	Allocate(size int64) error

	// Size returns the current size in bytes.
	Size() (int64, error)
}

// sameDirectory reports whether a rename stays inside one directory.
func sameDirectory(a, b string) bool {
	return filepath.Dir(filepath.Clean(a)) == filepath.Dir(filepath.Clean(b))
}

// A Mapper is a File that can be mapped into memory, so that stores into the bytes are
// seen by every reader of the file, without a system call. They are not durable.
type Mapper interface {
	// Map maps the first size bytes, which the file must have. The file may be
	// closed before unmap is called; the bytes must not be touched after.
	Map(size int) (b []byte, unmap func() error, err error)
}
