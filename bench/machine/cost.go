package machine

import (
	"runtime"
	"time"
)

// Cost is what the process has used up since it began.
type Cost struct {
	CPU     time.Duration // of all threads, system calls included; 0 where the system does not tell
	Bytes   uint64        // allocated
	Objects uint64        // allocated
}

// CostSoFar stops all goroutines for a moment.
func CostSoFar() Cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Cost{CPU: processorTime(), Bytes: m.TotalAlloc, Objects: m.Mallocs}
}

// Since returns what was used up since an earlier moment.
func (c Cost) Since(earlier Cost) Cost {
	return Cost{CPU: c.CPU - earlier.CPU, Bytes: c.Bytes - earlier.Bytes, Objects: c.Objects - earlier.Objects}
}
