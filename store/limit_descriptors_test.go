//go:build linux || darwin

package store

import "syscall"

// limitFiles lets this process have so many descriptors and no more.
func limitFiles(n int) error {
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: uint64(n)})
}
