package delivery

import (
	"math"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/penstock-io/penstock/bench/machine"
)

// memory is what the process holds before workers are started.
type memory struct {
	workers    int
	bytes      float64
	goroutines int
}

func watchMemory(workers int) memory {
	bytes := settledMemory()
	return memory{workers: workers, bytes: bytes, goroutines: runtime.NumGoroutine()}
}

// settledMemory waits until what earlier turns have left behind is gone: goroutines that still end,
// pools, finalizers.
func settledMemory() float64 {
	last := machine.MemoryInUse()
	for range 50 {
		time.Sleep(10 * time.Millisecond)
		debug.FreeOSMemory()
		now := machine.MemoryInUse()
		if math.Abs(now-last) < 0.001*last {
			return now
		}
		last = now
	}
	return last
}

// result is what the workers have added: what is reachable and the stacks, and goroutines.
func (m memory) result() Result {
	bytes := settledMemory()
	n := float64(m.workers)
	return Result{
		unitIdle:            (bytes - m.bytes) / n,
		"goroutines/worker": float64(runtime.NumGoroutine()-m.goroutines) / n,
		"workers":           n,
	}
}
