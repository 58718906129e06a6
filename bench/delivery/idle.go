package delivery

import "runtime"

// idlers is how many of them wait in the row about idle workers.
const idlers = 10_000

// use is what a process needs.
type use struct {
	bytes      uint64 // of heap and stacks
	goroutines int
}

func footprint() use {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return use{bytes: m.HeapAlloc + m.StackInuse, goroutines: runtime.NumGoroutine()}
}

// since gives the bytes per idler and the goroutines in all.
func (u use) since(before use) []float64 {
	return []float64{float64(int64(u.bytes)-int64(before.bytes)) / idlers, float64(u.goroutines - before.goroutines)}
}
