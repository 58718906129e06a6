package delivery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/workload"
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
// of another store.
func PenstockIdle(workers int) Run {
	return func(ctx context.Context, t Turn) (res Result, err error) {
		watched := watchMemory(workers)
		crowd, err := NewIdle(ctx, filepath.Join(t.Dir, "crowd"), workers)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, crowd.Close(ctx)) }()
		res = watched.result()
		alone, err := NewIdle(ctx, filepath.Join(t.Dir, "alone"), 1)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, alone.Close(ctx)) }()
		beside, one, err := appendInTurns(ctx, t, crowd, alone)
		res["append-us"], res["append-one-us"] = figures.Micros(beside), figures.Micros(one)
		return res, err
	}
}

// appendInTurns returns the medians of appends to two stores, which take turns of four.
func appendInTurns(ctx context.Context, t Turn, a, b *Idle) (ofA, ofB time.Duration, err error) {
	var took [2][]time.Duration
	for ends := time.Now().Add(t.Time); time.Now().Before(ends); {
		for k, d := range []*Idle{a, b} {
			for i := range 5 {
				one, err := d.Append(ctx, 0)
				if err != nil {
					return 0, 0, err
				}
				if i > 0 { // the first comes after the other store
					took[k] = append(took[k], one)
				}
				for settled := time.Now().Add(200 * time.Microsecond); time.Now().Before(settled); {
				} // without a sleep, which would cool down the processor
			}
		}
	}
	return figures.Quantile(took[0], 0.5), figures.Quantile(took[1], 0.5), nil
}
