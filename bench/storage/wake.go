package storage

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

func wakeRow() delivery.Row {
	return delivery.Row{
		Name: "wake-up", Unit: unitP50, Less: true, Title: "Waking a reader",
		Does: "from the acknowledgement of a synced append to the waiting reader that runs, in an idle process",
		Contestants: []delivery.Contestant{
			{Name: limit, Durable: true, Promise: "a bare write, synced; a condition variable", Run: waking(openBell)},
			{Name: penstock, Durable: true, Promise: shared, Run: waking(openWait)},
		},
	}
}

// waker is a store with a goroutine waiting: wait returns once ring has been called as often as it
// says, or was stopped.
type waker struct {
	ring  func() error
	wait  func(rung int) error
	close func() error // wait returns an error from then on
}

// waking rings at random intervals and takes the time from the return of ring to that of wait.
func waking(open func(ctx context.Context, dir string) (waker, error)) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
		w, err := open(ctx, t.Dir)
		if err != nil {
			return nil, err
		}
		woken := make(chan time.Time)
		go func() {
			defer close(woken)
			for rung := 1; w.wait(rung) == nil; rung++ {
				woken <- time.Now()
			}
		}()
		var took []time.Duration
		for ends := time.Now().Add(2 * t.Time); err == nil && time.Now().Before(ends); {
			time.Sleep(workload.Spacing())
			if err = w.ring(); err == nil {
				acknowledged := time.Now()
				took = append(took, (<-woken).Sub(acknowledged))
			}
		}
		err = errors.Join(err, w.close())
		for range woken {
		}
		return delivery.Result{
			unitP50: figures.Micros(figures.Quantile(took, 0.5)), unitP99: figures.Micros(figures.Quantile(took, 0.99)),
		}, err
	}
}

var errStopped = errors.New("stopped")

// openBell is a counter under a mutex with a condition variable.
func openBell(_ context.Context, dir string) (waker, error) {
	z, err := machine.NewZeroed(dir)
	if err != nil {
		return waker{}, err
	}
	var mu sync.Mutex
	moved := sync.NewCond(&mu)
	count, closed := 0, false
	return waker{
		ring: func() error {
			_, err := z.Append(record(count), true)
			mu.Lock()
			count++
			moved.Broadcast()
			mu.Unlock()
			return err
		},
		wait: func(rung int) error {
			mu.Lock()
			defer mu.Unlock()
			for count < rung && !closed {
				moved.Wait()
			}
			if closed {
				return errStopped
			}
			return nil
		},
		close: func() error {
			mu.Lock()
			closed = true
			moved.Broadcast()
			mu.Unlock()
			return z.Close()
		},
	}, nil
}

func openWait(ctx context.Context, dir string) (waker, error) {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return waker{}, err
	}
	i := 0
	return waker{
		ring: func() error {
			i++
			_, err := st.Append(ctx, workload.Coordinates[0], store.Any, workload.Event(i))
			return err
		},
		wait: func(rung int) error {
			_, err := st.Wait(ctx, store.Position(rung-1))
			return err
		},
		close: st.Close,
	}, nil
}
