package vfs

import "syscall"

// largeFile lets a 32-bit program open a file of 2 GiB and more, which os.Root does not: 0 on
// 64-bit systems.
const largeFile = syscall.O_LARGEFILE
