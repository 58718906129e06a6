package machine

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// Kernel names the operating system and its release.
func Kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "linux"
	}
	return "linux " + string(bytes.TrimSpace(release))
}

// Load is the average number of threads that ran or waited for the disk within the last minute, or
// "unknown".
func Load() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := bytes.Cut(load, []byte(" "))
	return string(minute)
}

// FileSystem names the kind of file system that a directory lies on.
func FileSystem(dir string) string {
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

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Datasync waits until the data of a file is on disk.
func Datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// Settle writes out what earlier work has left in the page cache, so that later work does not pay
// for it.
func Settle() { syscall.Sync() }

// Processor names the model of the processor.
func Processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range bytes.Lines(info) {
		if name, model, ok := bytes.Cut(line, []byte(":")); ok && bytes.HasPrefix(name, []byte("model name")) {
			return string(bytes.TrimSpace(model))
		}
	}
	return runtime.GOARCH
}
