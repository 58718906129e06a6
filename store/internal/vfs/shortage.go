package vfs

import (
	"errors"
	"slices"
	"syscall"
)

// IsFull reports whether err says that there is no room: on the disk, or in the quota of the user.
func IsFull(err error) bool { return isOneOf(err, fullErrors()) }

// IsOutOfFiles reports whether err says that the process, or the whole system, has as many files
// open as it may.
func IsOutOfFiles(err error) bool { return isOneOf(err, filesErrors()) }

func isOneOf(err error, codes []syscall.Errno) bool {
	var code syscall.Errno
	return errors.As(err, &code) && slices.Contains(codes, code)
}
