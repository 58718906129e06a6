//go:build linux || darwin

package vfs

import (
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
