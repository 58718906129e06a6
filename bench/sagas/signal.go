package sagas

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cschleiden/go-workflows/client"
	"github.com/cschleiden/go-workflows/core"
	"github.com/cschleiden/go-workflows/worker"
	"github.com/cschleiden/go-workflows/workflow"
	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// unitFew is the ratio to the same beside few instances.
const unitFew = "x-few"

// waiting are instances that wait for signals.
type waiting interface {
	// Signal sends a signal to an instance, and returns once that was handled and is kept, with the
	// whole time.
	Signal(ctx context.Context, i int) (time.Duration, error)
	Close(ctx context.Context) error
}

// herd is a kind of instances that wait.
type herd struct {
	name string
	fill func(ctx context.Context, dir string, n int) error
	open func(ctx context.Context, dir string, n int) (waiting, error)
}

func (h herd) shelf(n int) string { return fmt.Sprintf("sagas-%s-%d", h.name, n) }

// prepare puts instances into the library.
func (h herd) prepare(sizes ...int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
		for _, n := range sizes {
			dir, filled := t.Shelf(h.shelf(n))
			if filled {
				continue
			}
			if err := mkdir(dir); err != nil {
				return nil, err
			}
			if err := h.fill(ctx, dir, n); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

// signals takes the times of signals in a process that is idle in between; with more than one size,
// beside the first number of instances, and in turns with it beside the second.
func (h herd) signals(sample sampler, sizes ...int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		var open []waiting
		for _, n := range sizes {
			dir, _ := t.Shelf(h.shelf(n))
			w, err := h.open(ctx, dir, n)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, w.Close(ctx)) }()
			open = append(open, w)
		}
		var many []time.Duration
		res, err = besideSyncs(t, sample, func(i int) (time.Duration, error) {
			for k, w := range open[1:] {
				took, err := w.Signal(ctx, scattered(i, sizes[k+1]))
				if err != nil {
					return 0, err
				}
				many = append(many, took)
				time.Sleep(workload.Spacing())
			}
			return open[0].Signal(ctx, scattered(i, sizes[0]))
		})
		if err == nil && len(many) > 0 {
			res[unitFew] = figures.Micros(figures.Quantile(many, 0.5)) / res[delivery.UnitP50]
		}
		return res, err
	}
}

// scattered is an instance far from that of the next signal.
func scattered(i, n int) int { return (i*7919 + 13) % n }

// inPenstock are instances of a saga.
var inPenstock = herd{
	name: "penstock",
	fill: func(ctx context.Context, dir string, n int) error {
		w, err := OpenWaiting(ctx, dir, store.SyncNever)
		if err != nil {
			return err
		}
		return errors.Join(w.Fill(ctx, 0, n, Far), w.Close(ctx))
	},
	open: func(ctx context.Context, dir string, _ int) (waiting, error) {
		return OpenWaiting(ctx, dir, store.SyncAlways)
	},
}

// waitingInDBOS are workflows of DBOS that receive messages.
type waitingInDBOS struct {
	hall
	*systemOfDBOS
	flow dbos.Workflow[string, int]
	wait atomic.Int64 // how often one has begun to wait
}

const signalTopic = "paid"

func openWaitingInDBOS(ctx context.Context, dir, synchronous string) (w *waitingInDBOS, err error) {
	w = new(waitingInDBOS)
	if w.systemOfDBOS, err = newDBOS(ctx, dir, synchronous); err != nil {
		return nil, err
	}
	w.flow = func(ctx dbos.Context, id string) (int, error) {
		for {
			w.wait.Add(1)
			if _, err := dbos.Recv[string](ctx, signalTopic, 24*time.Hour); err != nil {
				return 0, err
			}
			w.announce(id)
		}
	}
	dbos.RegisterWorkflow(w.Context, w.flow, dbos.WithWorkflowName("waiting"))
	if err := dbos.Launch(w.Context); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return w, nil
}

// all waits until so many instances wait.
func (w *waitingInDBOS) all(ctx context.Context, n int) error {
	for w.wait.Load() < int64(n) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// Signal sends a message, which is kept as a step once the workflow has it.
func (w *waitingInDBOS) Signal(_ context.Context, i int) (time.Duration, error) {
	handled := w.enter(id(i))
	began := time.Now()
	if err := dbos.Send(w.Context, id(i), "paid", signalTopic); err != nil {
		return 0, err
	}
	<-handled
	return time.Since(began), nil
}

// Close shuts it down. What waits stays pending.
func (w *waitingInDBOS) Close(ctx context.Context) error { return w.close(ctx) }

var inDBOS = herd{
	name: "dbos",
	fill: func(ctx context.Context, dir string, n int) error {
		w, err := openWaitingInDBOS(ctx, dir, "OFF")
		if err != nil {
			return err
		}
		err = each(n, 8, func(i int) error {
			_, err := dbos.RunWorkflow(w.Context, w.flow, id(i-1), dbos.WithWorkflowID(id(i-1)))
			return err
		})
		if err == nil {
			err = w.all(ctx, n)
		}
		return errors.Join(err, w.Close(ctx))
	},
	open: func(ctx context.Context, dir string, n int) (waiting, error) {
		w, err := openWaitingInDBOS(ctx, dir, "FULL")
		if err != nil {
			return nil, err
		}
		return w, w.all(ctx, n)
	},
}

// waitingWorkflows are workflows of go-workflows that receive signals.
type waitingWorkflows struct {
	hall
	*inWorkflows
}

func receive(ctx workflow.Context, _ string) error {
	for channel := workflow.NewSignalChannel[string](ctx, signalTopic); ; {
		channel.Receive(ctx)
	}
}

func openWaitingWorkflows(ctx context.Context, dir string) (w *waitingWorkflows, err error) {
	w = new(waitingWorkflows)
	stored := func(id string, _ core.WorkflowInstanceState) { w.announce(id) }
	w.inWorkflows, err = newWorkflows(ctx, dir, quickPolls, stored, func(in *worker.Worker) error { return in.RegisterWorkflow(receive) })
	return w, err
}

// Signal sends a signal, and waits for the commit of the piece of work that has it.
func (w *waitingWorkflows) Signal(ctx context.Context, i int) (time.Duration, error) {
	handled := w.enter(id(i))
	began := time.Now()
	if err := w.SignalWorkflow(ctx, id(i), signalTopic, "paid"); err != nil {
		return 0, err
	}
	<-handled
	return time.Since(began), nil
}

// Close stops the worker.
func (w *waitingWorkflows) Close(ctx context.Context) error { return w.close(ctx) }

var inGoWorkflows = herd{
	name: "workflows",
	fill: func(ctx context.Context, dir string, n int) error {
		w, err := openWaitingWorkflows(ctx, dir)
		if err != nil {
			return err
		}
		err = each(n, 8, func(i int) error {
			begun := w.enter(id(i - 1))
			_, err := w.CreateWorkflowInstance(ctx, client.WorkflowInstanceOptions{InstanceID: id(i - 1)}, receive, id(i-1))
			if err == nil {
				<-begun
			}
			return err
		})
		return errors.Join(err, w.Close(ctx))
	},
	open: func(ctx context.Context, dir string, _ int) (waiting, error) { return openWaitingWorkflows(ctx, dir) },
}
