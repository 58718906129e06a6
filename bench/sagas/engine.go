package sagas

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// Units, which are the names of figures.
const (
	unitSagas = "sagas/s"
	unitSyncs = "syncs"
	unitDisk  = "bytes/saga"
)

// steps of a saga.
const steps = 3

// engine runs sagas of three steps that do nothing.
type engine interface {
	// run starts a saga with an id that is new, and returns once its end is acknowledged. It is called
	// by many goroutines.
	run(ctx context.Context, id string) error
	close(ctx context.Context) error
}

// opener opens an engine in a directory. acted is to be called by each step, with its number from
// 0.
type opener func(ctx context.Context, dir string, acted func(step int)) (engine, error)

// use opens an engine, lets do have it, closes it, and requires that each step of so many sagas was
// carried out.
func use(ctx context.Context, dir string, open opener, do func(e engine) (sagas int, err error)) (err error) {
	var acts atomic.Int64
	e, err := open(ctx, dir, func(int) { acts.Add(1) })
	if err != nil {
		return err
	}
	sagas, err := do(e)
	if err = errors.Join(err, e.close(ctx)); err == nil && acts.Load() < int64(sagas*steps) {
		err = fmt.Errorf("%d steps of %d sagas", acts.Load(), sagas)
	}
	return err
}

func mkdir(dir string) error { return os.MkdirAll(dir, 0o755) }

func id(i int) string { return fmt.Sprintf("order-%08d", i) }

// throughput runs a number of sagas, so many at the same time.
func throughput(sagas, inFlight int, open opener) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		err = use(ctx, t.Dir, open, func(e engine) (int, error) {
			res, err = measured(sagas, inFlight, func(i int) error { return e.run(ctx, id(i)) })
			return sagas, err
		})
		return res, err
	}
}

// measured does a piece of work for each of a number of sagas, so many at the same time.
func measured(sagas, inFlight int, do func(i int) error) (delivery.Result, error) {
	began, before := time.Now(), machine.CostSoFar()
	if err := each(sagas, inFlight, do); err != nil {
		return nil, err
	}
	took, used := time.Since(began), machine.CostSoFar().Since(before)
	return delivery.Result{unitSagas: figures.PerSecond(sagas, took)}.Use(workload.EachOf(used, sagas)), nil
}

// each calls do for each number below n on so many goroutines.
func each(n, goroutines int, do func(i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make([]error, goroutines)
	for g := range failed {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n) && failed[g] == nil; i = next.Add(1) {
				failed[g] = do(int(i))
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// idle takes the time of sagas in a process that is idle in between.
func idle(open opener) delivery.Run { return idleTimes(open, delivery.Idly) }

// idleFew is idle for what takes a second or so each time.
func idleFew(open opener) delivery.Run { return idleTimes(open, fewSamples) }

// fewSamples takes three samples, or one in a short turn.
func fewSamples(t delivery.Turn, sample func(i int) (time.Duration, error)) (delivery.Result, error) {
	var took []time.Duration
	for i := range max(1, min(3, int(t.Time/(100*time.Millisecond)))) {
		one, err := sample(i)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	return delivery.Latencies(took), nil
}

// sampler takes samples, as delivery.Idly does.
type sampler func(t delivery.Turn, sample func(i int) (time.Duration, error)) (delivery.Result, error)

func idleTimes(open opener, sample sampler) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		dir := filepath.Join(t.Dir, "engine")
		if err := mkdir(dir); err != nil {
			return nil, err
		}
		err = use(ctx, dir, open, func(e engine) (sagas int, err error) {
			res, err = besideSyncs(t, sample, func(i int) (time.Duration, error) {
				sagas++
				began := time.Now()
				err := e.run(ctx, id(i))
				return time.Since(began), err
			})
			return sagas, err
		})
		return res, err
	}
}

// besideSyncs takes samples, and before each of them the time of a bare write with its fdatasync.
func besideSyncs(t delivery.Turn, sample sampler, do func(i int) (time.Duration, error)) (delivery.Result, error) {
	z, err := machine.NewZeroed(t.Dir)
	if err != nil {
		return nil, err
	}
	var syncs []time.Duration
	rec := make([]byte, workload.RecordBytes)
	res, err := sample(t, func(i int) (time.Duration, error) {
		workload.EncodeRecord(rec, i)
		took, err := z.Append(rec, true)
		if err != nil {
			return 0, err
		}
		syncs = append(syncs, took)
		return do(i)
	})
	if err == nil {
		res[unitSyncs] = res[delivery.UnitP50] / figures.Micros(figures.Quantile(syncs, 0.5))
	}
	return res, errors.Join(err, z.Close())
}

// reserving is an engine whose files have room that is reserved.
type reserving interface {
	// used is the part of its files that holds something.
	used() int64
}

// disk runs sagas and says what their files hold, after a clean close.
func disk(sagas, inFlight int, open opener) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
		var bytes int64
		err := use(ctx, t.Dir, open, func(e engine) (int, error) {
			err := each(sagas, inFlight, func(i int) error { return e.run(ctx, id(i)) })
			if r, ok := e.(reserving); ok {
				bytes = r.used()
			}
			return sagas, err
		})
		if err == nil && bytes == 0 {
			bytes, err = machine.DiskUse(t.Dir)
		}
		return delivery.Result{unitDisk: float64(bytes) / float64(sagas)}, err
	}
}

// hall is where those wait whose saga has not ended yet.
type hall struct {
	mu    sync.Mutex
	doors map[string]chan struct{}
}

// enter returns a channel that is closed once the end of a saga is announced.
func (h *hall) enter(id string) <-chan struct{} {
	door := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.doors == nil {
		h.doors = make(map[string]chan struct{})
	}
	h.doors[id] = door
	return door
}

// announce lets the one go who waits for a saga, if there is one.
func (h *hall) announce(id string) {
	h.mu.Lock()
	door := h.doors[id]
	delete(h.doors, id)
	h.mu.Unlock()
	if door != nil {
		close(door)
	}
}
