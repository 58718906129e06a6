//go:build unix

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writable reports whether this process may create files in a directory: by its effective
// user, and by the file system being mounted for writing.
func writable(dir *os.File) (err error) {
	closed := onFD(dir, func(fd int) { err = unix.Faccessat(fd, ".", unix.W_OK, unix.AT_EACCESS) })
	return errors.Join(closed, err)
}

// onFD calls f with the descriptor, which stays open meanwhile and so is not reused. An error means
// that f was not called: the file is closed.
func onFD(file *os.File, f func(fd int)) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { f(int(fd)) })
}
