//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// claimsDirectory: the claim needs no file.
const claimsDirectory = true

// tryClaim locks the directory itself. Some file systems of networks cannot do that; there the file
// alone has to exclude others.
func tryClaim(dir, _ *os.File) (bool, error) {
	ok, err := flock(dir, unix.LOCK_EX)
	return ok || err != nil, nil
}

func claimHeld(dir *os.File) (bool, error) {
	ok, err := flock(dir, unix.LOCK_SH)
	return !ok && err == nil, nil // without such locks there is no holder of one
}

// flock tries a lock of the open file. It ends with the file.
func flock(file *os.File, how int) (ok bool, err error) {
	control := onFD(file, func(fd int) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Flock(fd, how|unix.LOCK_NB)
		}
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	err = errors.Join(control, err)
	return err == nil, err
}
