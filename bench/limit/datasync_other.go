//go:build !linux

package limit

import "os"

// Datasync syncs the content of a file.
func Datasync(f *os.File) error { return f.Sync() }
