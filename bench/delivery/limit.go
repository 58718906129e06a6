package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// CheckpointBytes is a checkpoint as the limit and plain stores write it.
const CheckpointBytes = 64

// LimitCheckpoints writes checkpoints to a journal: one goroutine takes what waits, one write and
// one fdatasync per group.
func LimitCheckpoints(workers int) Run {
	return func(_ context.Context, t Turn) (Result, error) {
		z, err := machine.NewZeroed(t.Dir)
		if err != nil {
			return nil, err
		}
		j := machine.NewJournal(z)
		o, err := workload.Drive(workers, t.Time, func(_, i int) error {
			return j.Append(workload.Payload(i)[:CheckpointBytes])
		})
		return checkpoints(o), errors.Join(err, j.Close())
	}
}

func checkpoints(o workload.Outcome) Result {
	return Result{unitCheckpoints: o.PerSecond, UnitP50: figures.Micros(o.P50), UnitP99: figures.Micros(o.P99)}.Use(o.Each)
}

// LimitReactor decodes and encodes the same JSON on one goroutine, and does one write and one
// fdatasync per batch.
func LimitReactor(events, batch int) Run {
	return func(_ context.Context, t Turn) (Result, error) {
		z, err := machine.NewZeroed(t.Dir)
		if err != nil {
			return nil, err
		}
		inputs := make([][]byte, workload.LoadBatch)
		for i := range inputs {
			inputs[i] = workload.OrderJSON(i)
		}
		var buf []byte
		p := newProgress(events, t.Time)
		for i := range events {
			_, out, err := workload.ReactJSON(inputs[i%len(inputs)])
			if err != nil {
				return nil, errors.Join(err, z.Close())
			}
			buf = machine.AppendFrame(append(buf, workload.Payload(i)[:workload.MetadataBytes]...), out)
			if (i+1)%batch == 0 || i == events-1 {
				if err := errors.Join(z.Write(buf), z.Sync()); err != nil {
					return nil, errors.Join(err, z.Close())
				}
				buf = buf[:0]
			}
		}
		p.done = events
		return p.rate(), z.Close()
	}
}

// LimitReaction does two writes with an fdatasync each.
func LimitReaction(_ context.Context, t Turn) (Result, error) {
	z, err := machine.NewZeroed(t.Dir)
	if err != nil {
		return nil, err
	}
	rec := make([]byte, workload.RecordBytes)
	res, err := Idly(t, func(i int) (time.Duration, error) {
		workload.EncodeRecord(rec, i)
		first, err1 := z.Append(rec, true)
		second, err2 := z.Append(rec, true)
		return first + second, errors.Join(err1, err2)
	})
	return res, errors.Join(err, z.Close())
}

// Idly takes samples in a process that is idle in between.
func Idly(t Turn, sample func(i int) (time.Duration, error)) (Result, error) {
	took := make([]time.Duration, max(20, int(t.Time.Milliseconds())))
	for i := range took {
		time.Sleep(workload.Spacing())
		var err error
		if took[i], err = sample(i); err != nil {
			return nil, err
		}
	}
	return Latencies(took), nil
}

// channelIdle keeps goroutines that wait on a channel each.
func channelIdle(workers int) Result {
	idle := watchMemory(workers)
	gates := make([]chan int, workers)
	for w := range gates {
		gates[w] = make(chan int, 1)
		go func() {
			for range gates[w] {
			}
		}()
	}
	res := idle.result()
	for _, gate := range gates {
		close(gate)
	}
	return res
}
