package machine

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "linux"
	}
	return "linux " + string(bytes.TrimSpace(release))
}

// fileSystem names the kind of file system that a directory lies on.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	names := map[int64]string{
		0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x2fc12fc1: "zfs", 0xf2f52010: "f2fs",
		0x01021994: "tmpfs (memory: synced figures mean nothing)", 0x794c7630: "overlay",
	}
	if name, ok := names[int64(s.Type)]; ok { //nolint:unconvert // an int32 on some processors
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

// Resident is the memory of the process in RAM, in bytes.
func Resident() int64 {
	var total, rss int64
	b, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(b), &total, &rss)
	}
	if err != nil {
		return 0
	}
	return rss * int64(os.Getpagesize())
}
