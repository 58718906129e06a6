//go:build !linux

package machine

import (
	"os"
	"runtime"
	"time"
)

// Kernel names the operating system.
func Kernel() string { return runtime.GOOS }

// Load is not known here.
func Load() string { return "unknown" }

// FileSystem is not known here.
func FileSystem(string) string { return "unknown" }

// Resident is not known here.
func Resident() int64 { return 0 }

func processorTime() time.Duration { return 0 }

// Datasync waits until a file is on disk.
func Datasync(f *os.File) error { return f.Sync() }

// Settle does nothing here.
func Settle() {}

// Processor is not known here but for its kind.
func Processor() string { return runtime.GOARCH }
