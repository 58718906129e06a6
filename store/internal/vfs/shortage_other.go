//go:build !windows

package vfs

import "syscall"

func fullErrors() []syscall.Errno { return []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} }

func filesErrors() []syscall.Errno { return []syscall.Errno{syscall.EMFILE, syscall.ENFILE} }
