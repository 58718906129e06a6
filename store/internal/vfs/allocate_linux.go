package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// allocate reserves room in the file system without writing.
func allocate(f *os.File, size int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			failed = unix.Fallocate(int(fd), 0, 0, size)
		}
	})
	switch {
	case err != nil:
		failed = fs.ErrClosed // the only reason for which Control does not run
	case errors.Is(failed, unix.EOPNOTSUPP), errors.Is(failed, unix.ENOSYS):
		return WriteZeros(f, 0, size)
	case failed == nil:
		return nil
	}
	return &fs.PathError{Op: "allocate", Path: f.Name(), Err: failed}
}
