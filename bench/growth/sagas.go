package growth

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/sagas"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// Sagas are instances of a saga that wait, each with a timer and an alias.
type Sagas struct {
	Dir       string
	Instances int
	Samples   int // how often things are done
}

// SagaFigures are what was seen of instances that wait.
type SagaFigures struct {
	Filling    time.Duration
	Each       workload.PerOp // of an instance, while they were made
	Disk       int64
	Heap       float64 // for each, in bytes, of the log that was opened again
	Goroutines int
	OpenClean  time.Duration
	OpenKilled time.Duration
	Ready      time.Duration // from opening to the first signal that was handled
	Few, Many  Sample        // signals beside fewInstances and beside all, synced
	Stuck      Listing       // those that are stuck: none
	All        Listing       // all of them
	Late       Sample        // until the handler of a timer was called, of overdueTimers evenly over a second
	Overdue    sagas.OverdueFigures
}

const (
	fewInstances  = 1000
	overdueShare  = 10 // a tenth as many instances have timers that come due
	dueShare      = 20
	timersAreOver = time.Second
)

// Measure does all of it.
func (s Sagas) Measure(ctx context.Context) (f SagaFigures, err error) {
	for _, step := range []func(context.Context, *SagaFigures) error{s.fill, s.ask, s.time} {
		if err := step(ctx, &f); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (s Sagas) dir(name string) string { return filepath.Join(s.Dir, name) }

func (s Sagas) fill(ctx context.Context, f *SagaFigures) (err error) {
	for dir, n := range map[string]int{"few": fewInstances, "many": s.Instances} {
		before, began := machine.CostSoFar(), time.Now()
		w, err := sagas.OpenWaiting(ctx, s.dir(dir), store.SyncNever)
		if err != nil {
			return err
		}
		err = w.Fill(ctx, 0, n, sagas.Far)
		if dir == "many" {
			f.Filling, f.Each = time.Since(began), workload.EachOf(machine.CostSoFar().Since(before), n)
		}
		if err := errors.Join(err, w.Close(ctx)); err != nil {
			return err
		}
	}
	machine.Settle()
	f.Disk, err = machine.DiskUse(s.dir("many"))
	return err
}

// ask opens the logs again.
func (s Sagas) ask(ctx context.Context, f *SagaFigures) (err error) {
	heap, goroutines, began := machine.HeapInUse(), runtime.NumGoroutine(), time.Now()
	many, err := sagas.OpenWaiting(ctx, s.dir("many"), store.SyncAlways)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, many.Close(ctx)) }()
	f.OpenClean = time.Since(began)
	if _, err := many.Signal(ctx, 0); err != nil {
		return err
	}
	f.Ready = time.Since(began)
	f.Heap = (machine.HeapInUse() - heap) / float64(s.Instances)
	f.Goroutines = runtime.NumGoroutine() - goroutines
	if f.OpenKilled, err = openedAfterKill(s.dir("many"), lazily); err != nil {
		return err
	}
	few, err := sagas.OpenWaiting(ctx, s.dir("few"), store.SyncAlways)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, few.Close(ctx)) }()
	if f.Few, err = s.signals(ctx, few, fewInstances); err != nil {
		return err
	}
	if f.Many, err = s.signals(ctx, many, s.Instances); err != nil {
		return err
	}
	f.Stuck, err = beside(ctx, many.Store, func(int) error { return wants(0)(many.Count(sagas.Stuck())) })
	if err == nil {
		f.All, err = beside(ctx, many.Store, func(int) error { return wants(s.Instances)(many.Count()) })
	}
	return err
}

// wants requires a number of instances.
func wants(want int) func(n int, err error) error {
	return func(n int, err error) error {
		if err == nil && n != want {
			err = fmt.Errorf("%d instances, want %d", n, want)
		}
		return err
	}
}

func (s Sagas) signals(ctx context.Context, w *sagas.Waiting, n int) (Sample, error) {
	return sample("signal", s.Samples, func(i int) error {
		_, err := w.Signal(ctx, (i*7919+13)%n)
		return err
	})
}

// time looks at timers: such that are due over a second, and such that are overdue.
func (s Sagas) time(ctx context.Context, f *SagaFigures) error {
	w, err := sagas.OpenWaiting(ctx, s.dir("timers"), store.SyncAlways)
	if err != nil {
		return err
	}
	n := s.Instances / dueShare
	_, err = w.FillSoon(ctx, n, timersAreOver)
	if err == nil {
		err = w.WaitFired(ctx, n)
	}
	f.Late = sampled("late", w.Late())
	if err := errors.Join(err, w.Close(ctx)); err != nil {
		return err
	}
	f.Overdue, err = sagas.Overdue(ctx, s.dir("overdue"), s.Instances/overdueShare, s.Samples)
	return err
}
