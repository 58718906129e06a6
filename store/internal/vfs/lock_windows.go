package vfs

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// presencePatience outlasts callers of Locked, each of which has a shared lock for microseconds.
const presencePatience = 10 * time.Second

// The parts of the lock are bytes of the file: it cannot be removed while it is open.
const (
	claimByte = iota
	presenceByte
)

const claimsDirectory = false // but the open file

func tryClaim(_, file *os.File) (bool, error) {
	return lockByte(file, claimByte, windows.LOCKFILE_EXCLUSIVE_LOCK)
}

// claimHeld: without a file there is no holder.
func claimHeld(*os.File) (bool, error) { return false, nil }

func tryPresence(file *os.File) (bool, error) {
	return lockByte(file, presenceByte, windows.LOCKFILE_EXCLUSIVE_LOCK)
}

// presence tries a shared lock, which is refused exactly while another holder has the exclusive
// one. It ends when its caller closes the file.
func presence(file *os.File) (held bool, err error) {
	free, err := lockByte(file, presenceByte, 0)
	return err == nil && !free, err
}

func lockByte(file *os.File, at, flags uint32) (bool, error) {
	flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: at})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}
