//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// presencePatience outlasts callers of Locked, each of which has a shared lock for microseconds.
const presencePatience = 10 * time.Second

func tryPresence(file *os.File) (bool, error) { return flock(file, unix.LOCK_EX) }

// presence tries a shared lock, which is refused exactly while another holder has the exclusive
// one. It ends when its caller closes the file.
func presence(file *os.File) (held bool, err error) {
	free, err := flock(file, unix.LOCK_SH)
	return err == nil && !free, err
}
