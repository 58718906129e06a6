//go:build !linux

package bench

import (
	"os"
	"runtime"
)

func kernel() string { return runtime.GOOS }

func fileSystem(string) string { return "unknown" }

// resident is not known here.
func resident() int64 { return 0 }

func datasync(f *os.File) error { return f.Sync() }
