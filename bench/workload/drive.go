package workload

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
)

// Outcome is what the writers of one turn got acknowledged.
type Outcome struct {
	PerSecond float64
	P50, P99  time.Duration
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
	waiting.Wait()
	var all []time.Duration
	for w := range writers {
		all = append(all, took[w]...)
	}
	return Outcome{
		PerSecond: figures.PerSecond(len(all), turn),
		P50:       figures.Quantile(all, 0.5),
		P99:       figures.Quantile(all, 0.99),
	}, errors.Join(failed...)
}
