package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// reserve is fallocate: it fills holes and grows the file, and writes nothing.
func reserve(f *os.File, from, to int64) (err error) {
	if from >= to {
		return nil
	}
	if onFD(f, func(fd int) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Fallocate(fd, 0, from, to-from)
		}
	}) != nil {
		err = fs.ErrClosed
	}
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	case err != nil:
		return &fs.PathError{Op: "reserve", Path: f.Name(), Err: err}
	}
	return nil
}
