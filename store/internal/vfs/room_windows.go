package vfs

import (
	"math"

	"golang.org/x/sys/windows"
)

// Room is what the quota of the user leaves, too.
func (d *osDir) Room() (int64, error) {
	path, err := windows.UTF16PtrFromString(d.root.Name())
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, d.named("room", "", err)
	}
	return int64(min(free, math.MaxInt64)), nil
}
