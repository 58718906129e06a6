package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// datasync flushes content and size, but not the times: on a file that does not
// grow that saves the journal write of fsync.
func datasync(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	// Control keeps the descriptor from being closed, and reused, underneath.
	err = conn.Control(func(fd uintptr) {
		for syncErr = unix.EINTR; errors.Is(syncErr, unix.EINTR); {
			syncErr = unix.Fdatasync(int(fd))
		}
	})
	if err != nil {
		syncErr = fs.ErrClosed // the only reason for which Control does not run
	}
	if syncErr != nil {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: syncErr}
	}
	return nil
}
