package sagas

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// Figures of an instance with many inputs.
const (
	unitInput  = "us/input"
	unitFirst  = "x-first" // to the first inputs
	inputsOnce = 100       // are appended at once, and measured together
)

// inputs has one instance handle so many inputs, and compares the last with the first, by processor
// time too: x-first is the ratio of medians of some batches.
func inputs(n int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		w, err := OpenWaiting(ctx, t.Dir, store.SyncNever)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.Close(ctx)) }()
		if err := w.Fill(ctx, 0, 1, Far); err != nil {
			return nil, err
		}
		batches := n / inputsOnce
		edge := min(50, batches/3) // batches that are looked at
		took := make([]time.Duration, batches)
		var before, after machine.Cost
		for b := range took {
			if b == batches-edge {
				before = machine.CostSoFar()
			}
			began := time.Now()
			if err := w.inputs(ctx, inputsOnce); err != nil {
				return nil, err
			}
			took[b] = time.Since(began)
		}
		after = machine.CostSoFar()
		first, last := figures.Quantile(took[1:1+edge], 0.5), figures.Quantile(took[batches-edge:], 0.5)
		return delivery.Result{
			unitInput: figures.Micros(last) / inputsOnce, unitFirst: float64(last) / float64(first),
		}.Use(workload.EachOf(after.Since(before), edge*inputsOnce)), nil
	}
}

// inputs sends signals to the first instance, and waits until all are handled.
func (w *Waiting) inputs(ctx context.Context, n int) error {
	_, err := w.Store.Commit(ctx, store.Batch{Events: workload.Proposals(0, n, func(int) store.Proposal {
		return store.Proposal{At: store.At("payment:"+id(0), workload.Scope), Payload: paid{Reference: reference(id(0))}}
	})})
	if err != nil {
		return err
	}
	return w.settled(ctx)
}
