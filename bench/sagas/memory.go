package sagas

import (
	"context"
	"errors"
	"fmt"
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
	unitStuck      = "stuck-us" // to list those that are
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
		res = delivery.Result{
			unitMemory:     (machine.MemoryInUse() - before) / float64(n),
			unitGoroutines: float64(runtime.NumGoroutine() - goroutines),
			unitOpen:       figures.Millis(ready),
		}
		if ours, ok := w.(*Waiting); ok {
			res[unitStuck], err = ours.stuck()
		}
		return res, err
	}
}

// stuck is the time of a list of those that are stuck, which none is.
func (w *Waiting) stuck() (micros float64, err error) {
	took := make([]time.Duration, 20)
	for i := range took {
		began := time.Now()
		n, err := w.Count(Stuck())
		if err != nil || n > 0 {
			return 0, errors.Join(err, fmt.Errorf("%d instances are stuck", n))
		}
		took[i] = time.Since(began)
	}
	return figures.Micros(figures.Quantile(took, 0.5)), nil
}
