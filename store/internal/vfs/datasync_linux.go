package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// datasync flushes content and size, but not the times: on a file that does not
// grow that saves the journal write of fsync.
func datasync(f *os.File) (err error) {
	if onFD(f, func(fd int) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Fdatasync(fd)
		}
	}) != nil {
		err = fs.ErrClosed
	}
	if err != nil {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}
