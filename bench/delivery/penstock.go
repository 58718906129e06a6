package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// house is an open store with a system over it.
type house struct {
	st  *store.Store
	sys *actors.System
}

// openHouse opens a store and starts workers.
func openHouse(ctx context.Context, dir string, children ...supervision.Child) (*house, error) {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return nil, err
	}
	sys, err := Supervise(ctx, st, children...)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &house{st: st, sys: sys}, nil
}

func (h *house) close(ctx context.Context) error { return errors.Join(h.sys.Stop(ctx), h.st.Close()) }

// Supervise runs children in a group of their own.
func Supervise(ctx context.Context, st *store.Store, children ...supervision.Child) (*actors.System, error) {
	return actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "bench", Children: children})
}

// Everything is the receipt of whatever is in the log.
func Everything(ctx context.Context, st *store.Store) (store.Receipt, error) {
	end, err := st.AnchorAt(ctx, st.Head())
	last := store.Recorded{ID: end.Event, Position: end.Position}
	return store.Receipt{Origin: st.Origin(), Events: []store.Recorded{last}}, err
}

// PenstockLog fills a directory with events.
func PenstockLog(ctx context.Context, dir string, events int, proposal func(i int) store.Proposal) error {
	st, err := store.Open(dir, store.Options{Sync: store.SyncNever})
	if err != nil {
		return err
	}
	return errors.Join(workload.Load(ctx, st, events, proposal), st.Close())
}

// PenstockCheckpoints lets workers under supervision read the same log, longer than they can read
// in a turn; each waits for its synced checkpoint before it takes the next event.
func PenstockCheckpoints(workers int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		events := logForCheckpoints(t)
		if err := PenstockLog(ctx, t.Dir, events, workload.Proposal); err != nil {
			return nil, err
		}
		var handled atomic.Int64
		children := make([]supervision.Child, workers)
		for w := range children {
			children[w] = cursor.Worker{
				Name:            fmt.Sprintf("worker-%d", w),
				BatchSize:       1,
				SyncCheckpoints: true,
				Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
					handled.Add(1)
					return cursor.Continue, nil
				},
			}
		}
		h, err := openHouse(ctx, t.Dir, children...)
		if err != nil {
			return nil, err
		}
		res := sampleRate(t, &handled)
		if handled.Load() == int64(events*workers) {
			err = errShortLog
		}
		return res, errors.Join(err, h.close(ctx))
	}
}

// logForCheckpoints is how many events no worker can handle one by one in a turn.
func logForCheckpoints(t Turn) int { return max(workload.LoadBatch, int(30_000*t.Time.Seconds())) }

var errShortLog = errors.New("the log was too short for the turn")

// sampleRate is how fast a counter grows in a turn, after half a turn to warm up.
func sampleRate(t Turn, counter *atomic.Int64) Result {
	time.Sleep(t.Time / 2)
	used, before, began := machine.CostSoFar(), counter.Load(), time.Now()
	time.Sleep(t.Time)
	n, took := int(counter.Load()-before), time.Since(began)
	return Result{unitCheckpoints: figures.PerSecond(n, took)}.Use(workload.EachOf(machine.CostSoFar().Since(used), n))
}

// PreparePenstock makes a log to be read in turns.
func PreparePenstock(events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, filled := t.Shelf(fmt.Sprintf("penstock-%d", events))
		if filled {
			return nil, nil
		}
		return nil, PenstockLog(ctx, dir, events, workload.Proposal)
	}
}

// PenstockRead reads a prepared log, without a worker: what catching up cannot be faster than.
func PenstockRead(events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, _ := t.Shelf(fmt.Sprintf("penstock-%d", events))
		st, err := store.Open(dir, store.Options{})
		if err != nil {
			return nil, err
		}
		n, p := 0, newProgress(events, t.Time)
		for e, err := range st.Read(ctx, store.Region{}, store.Beginning()) {
			if err != nil {
				return nil, errors.Join(err, st.Close())
			}
			if len(e.Payload) == workload.PayloadBytes {
				n++
			}
		}
		p.done = n
		res := p.rate()
		if n != events {
			return nil, errors.Join(fmt.Errorf("read %d events, want %d", n, events), st.Close())
		}
		return res, st.Close()
	}
}

// PenstockCatchUp lets a worker under supervision handle a prepared log, a checkpoint per batch of
// 256: synced each, or as is the default within 10 ms.
func PenstockCatchUp(events int, synced bool) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, _ := t.Shelf(fmt.Sprintf("penstock-%d", events))
		st, err := store.Open(dir, store.Options{})
		if err != nil {
			return nil, err
		}
		res, err := catchUp(ctx, st, events, synced)
		return res, errors.Join(err, st.Close())
	}
}

// catchUp measures from the first event handled to the last checkpoint, and removes that
// checkpoint.
func catchUp(ctx context.Context, st *store.Store, events int, synced bool) (Result, error) {
	const name = "catch-up"
	c := newCounting(name, events)
	c.worker.SyncCheckpoints = synced
	sys, err := Supervise(ctx, st, c.worker)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.done:
	case <-sys.Done():
		return nil, sys.Err()
	}
	end, err := Everything(ctx, st)
	if err == nil {
		err = sys.WaitApplied(ctx, name, end)
	}
	return c.rate(), errors.Join(err, sys.Stop(ctx), remove(ctx, st, name))
}

// counting is a worker that looks at every event and counts it.
type counting struct {
	*progress // since the first batch
	worker    cursor.Worker
	done      chan struct{} // closed when all have come
}

func newCounting(name string, events int) *counting {
	c := &counting{done: make(chan struct{})}
	c.worker = cursor.Worker{Name: name, Handle: func(_ context.Context, batch *cursor.Batch) (cursor.Action, error) {
		if c.progress == nil {
			c.progress = newProgress(events, 0)
		}
		for i := range batch.Events {
			if len(batch.Events[i].Payload) == workload.PayloadBytes {
				c.progress.done++
			}
		}
		if c.progress.done == events {
			close(c.done)
		}
		return cursor.Continue, nil
	}}
	return c
}

// PenstockReactor lets a reactor under supervision catch up with a log of orders: JSON in, one
// reaction per event, JSON out, each batch durable with its checkpoint.
func PenstockReactor(events, batch int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		if err := PenstockLog(ctx, t.Dir, events, workload.OrderProposal); err != nil {
			return nil, err
		}
		var p *progress // since the first event
		r := reactor.New("reserve", reactor.On(
			func(ctx context.Context, e reactor.Event[workload.Placed], out *reactor.Reactions) error {
				if p == nil {
					p = newProgress(events, t.Time)
				}
				return workload.Reserve(ctx, e, out)
			}))
		r.BatchSize = batch
		st, err := store.Open(t.Dir, store.Options{})
		if err != nil {
			return nil, err
		}
		inputs, err := Everything(ctx, st)
		if err != nil {
			return nil, errors.Join(err, st.Close())
		}
		sys, err := Supervise(ctx, st, r)
		if err != nil {
			return nil, errors.Join(err, st.Close())
		}
		err = sys.WaitApplied(ctx, "reserve", inputs)
		if err != nil {
			return nil, errors.Join(err, sys.Stop(ctx), st.Close())
		}
		p.done = events
		res := p.rate()
		err = sys.Stop(ctx)
		if got := int(st.Head()); err == nil && got != 2*events {
			err = fmt.Errorf("%d events in the log, want %d", got, 2*events)
		}
		return res, errors.Join(err, st.Close())
	}
}

// PenstockReaction takes the time from the start of an append to its durable reaction, which a
// reader sees; the part until the acknowledgement of the append apart.
func PenstockReaction(ctx context.Context, t Turn) (Result, error) {
	h, err := openHouse(ctx, t.Dir, reactor.New("reserve", reactor.On(workload.Reserve)))
	if err != nil {
		return nil, err
	}
	var appends []time.Duration
	res, err := Idly(t, func(i int) (time.Duration, error) {
		began := time.Now()
		receipt, err := h.st.Append(ctx, workload.OrderAt(i), store.Any, workload.Order(i))
		if err != nil {
			return 0, err
		}
		appends = append(appends, time.Since(began))
		_, err = h.st.Wait(ctx, receipt.Position())
		return time.Since(began), err
	})
	if err == nil {
		res["append-p50-us"] = figures.Micros(figures.Quantile(appends, 0.5))
	}
	return res, errors.Join(err, h.close(ctx))
}

// remove deletes the checkpoint of a worker, so that the next round starts from scratch.
func remove(ctx context.Context, st *store.Store, name string) error {
	_, err := checkpoint.Apply(ctx, st, checkpoint.ID(name), checkpoint.Delete{}, checkpoint.Request{})
	return err
}
