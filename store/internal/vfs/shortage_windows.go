package vfs

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// ENOSPC and EDQUOT are inventions of package syscall there, which tests use.
func fullErrors() []syscall.Errno {
	return []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT,
		windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
	}
}

func filesErrors() []syscall.Errno {
	return []syscall.Errno{syscall.EMFILE, syscall.ENFILE, windows.ERROR_TOO_MANY_OPEN_FILES}
}
