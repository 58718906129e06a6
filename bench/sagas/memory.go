package sagas

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
)

// Figures of instances that wait.
const (
	unitMemory     = "bytes/instance"
	unitGoroutines = "goroutines"
	unitOpen       = "open-ms"
)

// memory is what instances that wait take: heap that is reachable and stacks, goroutines beyond
// those of the process, and the time until all of them wait again after the log was opened.
func (h herd) memory(n int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		dir, _ := t.Shelf(h.shelf(n))
		before, goroutines := machine.MemoryInUse(), runtime.NumGoroutine()
		began := time.Now()
		w, err := h.open(ctx, dir, n)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.Close(ctx)) }()
		if _, err := w.Signal(ctx, n/2); err != nil {
			return nil, err
		}
		ready := time.Since(began)
		return delivery.Result{
			unitMemory:     (machine.MemoryInUse() - before) / float64(n),
			unitGoroutines: float64(runtime.NumGoroutine() - goroutines),
			unitOpen:       figures.Millis(ready),
		}, nil
	}
}
