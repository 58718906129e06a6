package sagas

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// Figures of timers.
const (
	unitTimer = "us/timer"
	unitIdle  = "x-idle"
)

// timers sets timers that are due evenly over a span, and says how late each was until its handler
// was called.
func timers(n int, span time.Duration) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		w, err := OpenWaiting(ctx, t.Dir, store.SyncAlways)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.Close(ctx)) }()
		first, err := w.FillSoon(ctx, n, span)
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Until(first))
		used := machine.CostSoFar()
		if err := w.WaitFired(ctx, n); err != nil {
			return nil, err
		}
		return delivery.Latencies(w.Late()).Use(workload.EachOf(machine.CostSoFar().Since(used), n)), nil
	}
}

// limitTimers has Go's timers wake a goroutine.
func limitTimers(n int, span time.Duration) delivery.Run {
	return func(context.Context, delivery.Turn) (delivery.Result, error) {
		first := time.Now().Add(100 * time.Millisecond)
		late := make([]time.Duration, n)
		var fired atomic.Int64
		all := make(chan struct{})
		for i := range late {
			due := first.Add(span * time.Duration(i) / time.Duration(n))
			time.AfterFunc(time.Until(due), func() {
				late[i] = time.Since(due)
				if fired.Add(1) == int64(n) {
					close(all)
				}
			})
		}
		<-all
		return delivery.Latencies(late), nil
	}
}

// bystander is the first of instances that have ids of their own.
const bystander = 50_000_000

// FillSoon begins as many bystanders, whose timers are never due, and then instances whose timers
// are due evenly over a span, the first of them once all instances should be there, by the time
// that the bystanders took. It returns when that is.
func (w *Waiting) FillSoon(ctx context.Context, n int, span time.Duration) (first time.Time, err error) {
	began := time.Now()
	if err := w.Fill(ctx, bystander, n, Far); err != nil {
		return first, err
	}
	const slack = 500 * time.Millisecond
	first = time.Now().Add(2*time.Since(began) + slack)
	err = w.Fill(ctx, 0, n, func(i int) time.Time { return first.Add(span * time.Duration(i) / time.Duration(n)) })
	if late := time.Since(first); err == nil && late > 0 {
		err = fmt.Errorf("instances were there %v after their first timer was due", late)
	}
	return first, err
}

// WaitFired waits until so many timers have fired since Late was called.
func (w *Waiting) WaitFired(ctx context.Context, n int) error {
	for w.Fired() < n {
		select {
		case <-w.System.Done():
			return w.System.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// OverdueFigures are what was seen of timers that came due while the log was closed.
type OverdueFigures struct {
	Took      time.Duration   // from opening the log until the handlers of all were called
	Meanwhile []time.Duration // signals to other instances
	Idle      []time.Duration // the same, after that
}

// Overdue makes a log in an empty directory in which so many timers come due while it is closed,
// and opens it again.
func Overdue(ctx context.Context, dir string, n, samples int) (f OverdueFigures, err error) {
	w, err := OpenWaiting(ctx, dir, store.SyncAlways)
	if err != nil {
		return f, err
	}
	first, err := w.FillSoon(ctx, n, 0)
	if err := errors.Join(err, w.Close(ctx)); err != nil {
		return f, err
	}
	if late := time.Since(first); late > 0 {
		return f, fmt.Errorf("the log was closed %v after the timers were due", late)
	}
	time.Sleep(time.Until(first))
	began := time.Now()
	if w, err = OpenWaiting(ctx, dir, store.SyncAlways); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, w.Close(ctx)) }()
	signal := func(i int) (time.Duration, error) {
		return w.Signal(ctx, bystander+scattered(i, n))
	}
	for i := 0; w.Fired() < n; i++ {
		took, err := signal(i)
		if err != nil {
			return f, err
		}
		f.Meanwhile = append(f.Meanwhile, took)
		f.Took = time.Since(began)
	}
	for i := range samples {
		time.Sleep(workload.Spacing())
		took, err := signal(i)
		if err != nil {
			return f, err
		}
		f.Idle = append(f.Idle, took)
	}
	return f, nil
}

// overdue is the row of that: the time for each timer, and how much longer the longest percent of
// signals takes meanwhile.
func overdue(n int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
		f, err := Overdue(ctx, t.Dir, n, max(20, int(t.Time/time.Millisecond)))
		if err != nil {
			return nil, err
		}
		meanwhile, idle := figures.Quantile(f.Meanwhile, 0.99), figures.Quantile(f.Idle, 0.99)
		return delivery.Result{
			unitTimer: figures.Micros(f.Took) / float64(n), delivery.UnitP99: figures.Micros(meanwhile),
			unitIdle: float64(meanwhile) / float64(idle),
		}, nil
	}
}
