package workload

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
)

// Outcome is what the writers of one turn got acknowledged.
type Outcome struct {
	PerSecond float64
	P50, P99  time.Duration
	Each      PerOp
}

// PerOp is what the whole process used up, divided by the number of operations.
type PerOp struct {
	CPU            time.Duration
	Bytes, Objects float64 // allocated
}

// EachOf divides what a number of operations used up.
func EachOf(c machine.Cost, ops int) PerOp {
	n := float64(max(ops, 1))
	return PerOp{CPU: time.Duration(float64(c.CPU) / n), Bytes: float64(c.Bytes) / n, Objects: float64(c.Objects) / n}
}

// Drive lets writers work in closed loops: for half a turn unmeasured, then for a turn. op does the
// i-th piece of work in the name of a writer, and returns when it is acknowledged.
func Drive(writers int, turn time.Duration, op func(writer, i int) error) (Outcome, error) {
	var (
		next    atomic.Int64
		waiting sync.WaitGroup
		took    = make([][]time.Duration, writers)
		failed  = make([]error, writers)
		from    = time.Now().Add(turn / 2)
		to      = from.Add(turn)
	)
	for w := range writers {
		waiting.Go(func() {
			for began := time.Now(); began.Before(to); {
				if failed[w] = op(w, int(next.Add(1))); failed[w] != nil {
					return
				}
				now := time.Now()
				if now.After(from) && now.Before(to) {
					took[w] = append(took[w], now.Sub(began))
				}
				began = now
			}
		})
	}
	time.Sleep(time.Until(from))
	before := machine.CostSoFar()
	time.Sleep(time.Until(to))
	used := machine.CostSoFar().Since(before)
	waiting.Wait()
	var all []time.Duration
	for w := range writers {
		all = append(all, took[w]...)
	}
	return Outcome{
		PerSecond: figures.PerSecond(len(all), turn),
		P50:       figures.Quantile(all, 0.5),
		P99:       figures.Quantile(all, 0.99),
		Each:      EachOf(used, len(all)),
	}, errors.Join(failed...)
}
