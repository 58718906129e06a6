//go:build unix

package vfs

import "golang.org/x/sys/unix"

// writable reports whether this process may create files in dir: by its effective
// user, and by the file system being mounted for writing.
func writable(dir string) error {
	return asPermission(unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS))
}
