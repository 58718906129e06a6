package limit

import (
	"os"
	"syscall"
)

// Datasync syncs the content of a file.
func Datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
