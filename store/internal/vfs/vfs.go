package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
)

var (
	// ErrLocked reports a lock that another holder has, in this process or another.
	ErrLocked = errors.New("vfs: locked by another holder")

	// ErrPowerCut reports a call on a Memory whose power has been cut.
	ErrPowerCut = errors.New("vfs: power cut")

	// ErrNoSpace reports a change that does not fit into a Memory's capacity.
	// Callers test for syscall.ENOSPC, which it wraps: a real disk reports that.
	ErrNoSpace = fmt.Errorf("vfs: capacity exhausted: %w", syscall.ENOSPC)
)

// FS is a file system as an append-only log needs it. Directories have paths as path/filepath
// understands them, and are found by them once: what happens in one goes through its [Dir].
// Implementations are safe for concurrent use.
type FS interface {
	// MkdirAll creates dir and the parents it lacks, each made durable before the
	// next is begun. A crash leaves a durable chain that may end early; calling
	// again completes it. It is no error if dir exists, whatever its permissions.
	MkdirAll(dir string, perm fs.FileMode) error

	// OpenDir opens an existing directory; fs.ErrNotExist if there is none. Files created
	// through it get the permissions perm, less the umask.
	OpenDir(dir string, perm fs.FileMode) (Dir, error)
}

// Dir is an open directory. It stays the same one when its path is renamed, when another takes its
// place there, and when the process changes its working directory.
//
// Names are base names; any other is fs.ErrInvalid. A file may not be a symbolic link that leads
// out of the directory. Errors carry the path and match the sentinels of io/fs with errors.Is; a
// read-only file system is an fs.ErrPermission. Implementations are safe for concurrent use. After
// Close the methods fail with fs.ErrClosed; files and locks stay open.
type Dir interface {
	io.Closer

	// Create makes an empty file, open for reading and writing; fs.ErrExist if the
	// name is taken. Until Sync a crash may take the file away, synced or not.
	Create(name string) (File, error)

	// Open opens an existing file; fs.ErrNotExist if there is none. A file opened
	// readOnly refuses WriteAt and Truncate.
	Open(name string, readOnly bool) (File, error)

	// Remove removes a file, never a directory's content. Until Sync a crash may
	// bring it back.
	Remove(name string) error

	// Rename returns a file another name and replaces what had that name. A crash
	// before Sync leaves the old state or the new, nothing between.
	Rename(oldName, newName string) error

	// List returns the names of the files, sorted, without directories.
	List() ([]string, error)

	// Perm returns the permissions of the directory, 0 where the system has none.
	Perm() (fs.FileMode, error)

	// Room returns how many bytes the file system of the directory has left: an estimate, as others
	// write to it, too. errors.ErrUnsupported where the system cannot tell.
	Room() (int64, error)

	// Sync makes creations, renames and removals durable. On windows it does
	// nothing: there the file system journals names by itself.
	Sync() error

	// Lock takes the exclusive lock of the directory, whose file is created if there is none. The
	// lock ends with its Close, which may be called again without effect, or with the
	// process, however it ends; the file stays. ErrLocked if another holder has it,
	// one in this process included, also where the file was removed since;
	// fs.ErrPermission if the directory is read-only, even if the file exists.
	Lock(name string) (io.Closer, error)

	// Locked reports whether the lock is held. The answer may be outdated on return. It keeps no
	// caller of Lock from getting it, however many ask and how often.
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

	// Reserve has the file system keep room for the bytes from one offset up to another, so
	// that writing there cannot fail for want of it. It changes no byte that is there, and a
	// shorter file reads as zeros up to the end of the room. errors.ErrUnsupported where the
	// system cannot do it without writing.
	Reserve(from, to int64) error

	// Perm returns the permissions of the file, 0 where the system has none.
	Perm() (fs.FileMode, error)

	// Size returns the current size in bytes.
	Size() (int64, error)
}

// checkName refuses what is no base name: a path would lead out of the directory.
func checkName(op, name string) error {
	if name == "" || name == "." || name == ".." || name != filepath.Base(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return nil
}

// A Mapper is a File that can be mapped into memory, so that stores into the bytes are
// seen by every reader of the file, without a system call. They are not durable.
type Mapper interface {
	// Map maps the first size bytes, which the file must have. The file may be
	// closed before unmap is called; the bytes must not be touched after.
	Map(size int) (b []byte, unmap func() error, err error)
}

// A Viewer is a File of which a part can be mapped into memory to be read.
type Viewer interface {
	// View maps size bytes from an offset on, for look-ups here and there rather than for reading
	// through. The file may be closed before unmap is called; the bytes must not be touched after.
	// To touch what the file does not have, or no longer, is a fault of memory, which ends the
	// process unless [runtime/debug.SetPanicOnFault] is set.
	View(from int64, size int) (b []byte, unmap func() error, err error)
}

// A Flusher is a File that the system can be told to write out ahead of a sync.
type Flusher interface {
	// Flush has the system begin to write to the disk what was written from one offset up to another,
	// so that the next Sync has less left to do. It is a hint: nothing is durable by it, and an error
	// is left to that Sync.
	Flush(from, to int64)
}
