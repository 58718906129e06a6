//go:build linux || darwin

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// Map implements Mapper.
func (f diskFile) Map(size int) (b []byte, unmap func() error, err error) {
	b, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return b, func() error { return unix.Munmap(b) }, nil
}

// View implements Viewer. The system maps whole pages: the first one begins at or before from.
func (f diskFile) View(from int64, size int) (b []byte, unmap func() error, err error) {
	before := int(from % int64(os.Getpagesize()))
	pages, err := unix.Mmap(int(f.Fd()), from-int64(before), before+size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	_ = unix.Madvise(pages, unix.MADV_RANDOM) // a hint
	return pages[before : before+size : before+size], func() error { return unix.Munmap(pages) }, nil
}
