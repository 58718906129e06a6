//go:build !linux

package machine

import "runtime"

func kernel() string { return runtime.GOOS }

func fileSystem(string) string { return "unknown" }

// Resident is the memory of the process in RAM, in bytes; not known here.
func Resident() int64 { return 0 }
