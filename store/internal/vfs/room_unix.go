//go:build linux || darwin

package vfs

import (
	"math"

	"golang.org/x/sys/unix"
)

// Room is what the user of this process may use, without what is kept for the system's.
func (d *osDir) Room() (int64, error) {
	f, err := d.self()
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var st unix.Statfs_t
	if onFD(f, func(fd int) { err = unix.Fstatfs(fd, &st) }) != nil || err != nil {
		return 0, d.named("statfs", "", err)
	}
	return int64(min(st.Bavail*uint64(st.Bsize), math.MaxInt64)), nil
}
