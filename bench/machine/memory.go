package machine

import "runtime"

// HeapInUse is what is reachable, in bytes.
func HeapInUse() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools gave up in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// MemoryInUse is what is reachable and the stacks, in bytes.
func MemoryInUse() float64 {
	heap := HeapInUse()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap + float64(m.StackInuse)
}
