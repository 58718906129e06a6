package vfs

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// presencePatience is short: no caller of Locked is ever in the way.
const presencePatience = lockPatience

// tryPresence takes a lock of the open file (not of the process, so that it excludes others in this
// process, too, and outlives other descriptors of the file).
func tryPresence(file *os.File) (ok bool, err error) {
	err = lockFile(file, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// presence asks which lock would be in the way of a shared one.
func presence(file *os.File) (held bool, err error) {
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	err = lockFile(file, unix.F_OFD_GETLK, &l)
	return err == nil && l.Type != unix.F_UNLCK, err
}

func lockFile(file *os.File, command int, l *unix.Flock_t) (err error) {
	control := onFD(file, func(fd int) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.FcntlFlock(uintptr(fd), command, l)
		}
	})
	return errors.Join(control, err)
}
