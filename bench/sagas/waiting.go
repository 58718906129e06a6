package sagas

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// paid is a signal, which finds its instance by an alias.
type paid struct{ Reference string }

// Kind of the event.
func (paid) Kind() string { return "saga-bench.paid" }

// noted is the reaction to a signal.
type noted struct{ ID string }

// Kind of the event.
func (noted) Kind() string { return "saga-bench.noted" }

// opened begins an instance that waits.
type opened struct {
	ID  string
	Due time.Time
}

// Kind of the event.
func (opened) Kind() string { return "saga-bench.opened" }

// account is the state of an instance that waits.
type account struct {
	ID     string
	Signal int
}

// Waiting is a log with instances of a saga of Penstock that wait, each with a timer and an alias,
// and the system that runs it. Its methods but Close may be called from many goroutines.
type Waiting struct {
	Store  *store.Store
	System *actors.System
	Saga   *saga.Instances[account]

	mu   sync.Mutex
	late []time.Duration // of the timers that have fired
}

// waitingName is that of the saga.
const waitingName = "waiting"

func reference(id string) string { return "payment-" + id }

func (w *Waiting) definition() *saga.Saga[account] {
	return saga.New(waitingName,
		saga.Start(func(e opened) string { return e.ID }, func(_ context.Context, e reactor.Event[opened], tx *saga.Tx[account]) error {
			tx.State.ID = e.Body.ID
			tx.Alias("payment", reference(e.Body.ID))
			tx.At("expire", e.Body.Due)
			tx.Goto("waiting")
			return nil
		}),
		saga.Via("payment", func(e paid) string { return e.Reference }, func(_ context.Context, e reactor.Event[paid], tx *saga.Tx[account]) error {
			tx.State.Signal++
			tx.Emit(e.Coordinate, noted{ID: tx.State.ID})
			return nil
		}),
		saga.OnTimer("expire", func(_ context.Context, f saga.Fired, tx *saga.Tx[account]) error {
			w.mu.Lock()
			w.late = append(w.late, time.Since(f.Due))
			w.mu.Unlock()
			tx.Complete()
			return nil
		}),
	)
}

// OpenWaiting opens a log and runs the saga.
func OpenWaiting(ctx context.Context, dir string, mode store.SyncMode) (*Waiting, error) {
	st, err := store.Open(dir, store.Options{Sync: mode})
	if err != nil {
		return nil, err
	}
	w := &Waiting{Store: st}
	s := w.definition()
	w.Saga = s.In(st)
	if w.System, err = delivery.Supervise(ctx, st, s); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return w, nil
}

// Fill begins instances, so many at once, and waits until all of them wait. due is when the timer
// of each is due.
func (w *Waiting) Fill(ctx context.Context, from, n int, due func(i int) time.Time) error {
	for i := from; i < from+n; i += workload.LoadBatch {
		b := store.Batch{Events: workload.Proposals(i, min(workload.LoadBatch, from+n-i), func(i int) store.Proposal {
			return store.Proposal{At: store.At("order:"+id(i), workload.Scope), Payload: opened{ID: id(i), Due: due(i)}}
		})}
		if _, err := w.Store.Commit(ctx, b); err != nil {
			return err
		}
	}
	return w.settled(ctx)
}

// settled waits until all that is in the log was handled.
func (w *Waiting) settled(ctx context.Context) error {
	all, err := delivery.Everything(ctx, w.Store)
	if err != nil {
		return err
	}
	return w.System.WaitApplied(ctx, waitingName, all)
}

// Signal sends a signal to an instance, and returns once its reaction is acknowledged, with the
// whole time.
func (w *Waiting) Signal(ctx context.Context, i int) (time.Duration, error) {
	began := time.Now()
	at := store.At("payment:"+id(i), workload.Scope)
	receipt, err := w.Store.Append(ctx, at, store.Any, paid{Reference: reference(id(i))})
	if err != nil {
		return 0, err
	}
	answers := store.Region{Entity: at.Entity, Kinds: []string{noted{}.Kind()}}
	for head := receipt.Position(); ; {
		if head, err = w.Store.Wait(ctx, head); err != nil {
			return 0, err
		}
		took := time.Since(began)
		page, err := w.Store.ReadPage(ctx, answers, receipt.Position(), head, 1)
		if err != nil || len(page.Events) > 0 {
			return took, err
		}
	}
}

// Late takes what is known of timers that have fired: how late each was, until its handler was
// called.
func (w *Waiting) Late() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := w.late
	w.late = nil
	return late
}

// Fired is how many timers have fired since Late was called.
func (w *Waiting) Fired() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.late)
}

// Count lists instances, and returns how many there are: all, or those that match a filter.
func (w *Waiting) Count(only ...saga.Filter) (n int, err error) {
	for _, err := range w.Saga.List(only...) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Stuck are those that an operator would look for.
func Stuck() saga.Filter { return saga.Filter{Lives: []saga.Life{saga.Stuck}} }

// Close stops the system and closes the log.
func (w *Waiting) Close(ctx context.Context) error {
	return errors.Join(w.System.Stop(ctx), w.Store.Close())
}

// Far is a time that no measurement reaches.
func Far(int) time.Time { return time.Now().AddDate(1, 0, 0) }
