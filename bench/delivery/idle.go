package delivery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Idle is a store with workers, each of which waits for events of an entity of its own.
type Idle struct {
	Store  *store.Store
	System *actors.System // nil without workers
}

// NewIdle starts the workers and waits until they are idle. Without workers there is no system
// either.
func NewIdle(ctx context.Context, dir string, workers int) (*Idle, error) {
	st, err := store.Open(dir, store.Options{})
	if err != nil || workers == 0 {
		return &Idle{Store: st}, err
	}
	children := make([]supervision.Child, workers)
	for w := range children {
		children[w] = cursor.Worker{
			Name:   idleName(w),
			Region: store.Region{Entity: idleAt(w).Entity, Scope: workload.Scope},
			Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
		}
	}
	sys, err := Supervise(ctx, st, children...)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	idle := &Idle{Store: st, System: sys}
	idle.Settle()
	return idle, nil
}

func idleName(worker int) string { return fmt.Sprintf("worker-%d", worker) }

func idleAt(worker int) store.Coordinate {
	return store.At(fmt.Sprintf("idle:%d", worker), workload.Scope)
}

// Settle waits until all workers are idle.
func (d *Idle) Settle() {
	for busy := true; busy; {
		busy = false
		for _, w := range d.System.Status().Workers {
			busy = busy || w.State != actors.Idle
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Append appends an event for a worker, or for none where there is none, waits until that has
// handled it, and returns the time of the append alone.
func (d *Idle) Append(ctx context.Context, worker int) (took time.Duration, err error) {
	at := idleAt(worker)
	if d.System == nil {
		at.Entity = "unmatched:0"
	}
	began := time.Now()
	receipt, err := d.Store.Append(ctx, at, store.Any, workload.Event(0))
	took = time.Since(began)
	if err == nil && d.System != nil {
		err = d.System.WaitApplied(ctx, idleName(worker), receipt)
	}
	return took, err
}

// Close stops the workers and closes the store.
func (d *Idle) Close(ctx context.Context) error {
	if d.System == nil {
		return d.Store.Close()
	}
	return errors.Join(d.System.Stop(ctx), d.Store.Close())
}

// PenstockIdle keeps idle workers, and appends for one of them and, in turns, for the only worker
// of another store, and to one without workers.
func PenstockIdle(workers int) Run {
	return func(ctx context.Context, t Turn) (res Result, err error) {
		var stores []appender
		watched := watchMemory(workers)
		for k, n := range []int{workers, 1, 0} {
			idle, err := NewIdle(ctx, filepath.Join(t.Dir, fmt.Sprint(n)), n)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, idle.Close(ctx)) }()
			if k == 0 {
				res = watched.result()
			}
			stores = append(stores, func() (time.Duration, error) { return idle.Append(ctx, 0) })
		}
		medians, err := appendInTurns(t, stores...)
		if err != nil {
			return nil, err
		}
		res["append-us"] = figures.Micros(medians[0])
		res["x-one"] = float64(medians[0]) / float64(medians[1])
		res["x-none"] = float64(medians[0]) / float64(medians[2])
		return res, nil
	}
}

// LimitIdle keeps goroutines that wait on a channel each, and writes and syncs records, with and
// without waking another one.
func LimitIdle(workers int) Run {
	return func(_ context.Context, t Turn) (res Result, err error) {
		res = channelIdle(workers)
		z, err := machine.NewZeroed(t.Dir)
		if err != nil {
			return nil, err
		}
		wake, awake := make(chan struct{}, 1), make(chan struct{}, 1)
		go func() {
			for range wake {
				awake <- struct{}{}
			}
		}()
		defer close(wake)
		rec := make([]byte, workload.RecordBytes)
		medians, err := appendInTurns(t,
			func() (time.Duration, error) {
				began := time.Now()
				_, err := z.Append(rec, true)
				wake <- struct{}{}
				took := time.Since(began)
				<-awake
				return took, err
			},
			func() (time.Duration, error) { return z.Append(rec, true) })
		if err := errors.Join(err, z.Close()); err != nil {
			return nil, err
		}
		res["append-us"] = figures.Micros(medians[0])
		res["x-none"] = float64(medians[0]) / float64(medians[1])
		return res, nil
	}
}

// appender appends an event, and returns what that took. It returns when all that the event has
// woken is idle again.
type appender func() (time.Duration, error)

// appendInTurns returns the medians of appends to several stores, which take turns of four.
func appendInTurns(t Turn, stores ...appender) (medians []time.Duration, err error) {
	took := make([][]time.Duration, len(stores))
	for ends := time.Now().Add(t.Time); time.Now().Before(ends); {
		for k, add := range stores {
			for i := range 5 {
				one, err := add()
				if err != nil {
					return nil, err
				}
				if i > 0 { // the first comes after the other stores
					took[k] = append(took[k], one)
				}
				for settled := time.Now().Add(200 * time.Microsecond); time.Now().Before(settled); {
				} // without a sleep, which would cool down the processor
			}
		}
	}
	for _, times := range took {
		medians = append(medians, figures.Quantile(times, 0.5))
	}
	return medians, nil
}
