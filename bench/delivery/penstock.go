package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

const synced = "synced, exactly once in the log"

func openPenstock(dir string) (*store.Store, error) { return store.Open(dir, store.Options{}) }

func startPenstock(st *store.Store, children ...supervision.Child) (*actors.System, error) {
	return actors.Start(context.Background(), st, actors.Options{}, supervision.Group{Name: "bench", Children: children})
}

// within opens a store, and closes it after use.
func within(dir string, use func(*store.Store) ([]float64, error)) (figures []float64, err error) {
	st, err := openPenstock(dir)
	if err != nil {
		return nil, err
	}
	figures, err = use(st)
	if closed := st.Close(); err == nil {
		err = closed
	}
	return figures, err
}

// loadOrders fills a store. Nobody waits for it here.
func loadOrders(st *store.Store, events int) error {
	for i := 0; i < events; i += loadBatch {
		list := make([]store.Proposal, min(loadBatch, events-i))
		for k := range list {
			list[k] = store.Proposal{At: OrderAt(i + k), Payload: Order(i + k)}
		}
		if _, err := st.Commit(context.Background(), store.Batch{Events: list}); err != nil {
			return err
		}
	}
	return nil
}

// everything is the receipt of whatever is in the log.
func everything(st *store.Store) store.Receipt {
	return store.Receipt{History: st.History(), Events: []store.Recorded{{Position: st.Head()}}}
}

// penstockCheckpoints: workers that handle one event, wait for its synced checkpoint, and go on.
func penstockCheckpoints(workers int) Contestant {
	return Contestant{Name: "penstock", Promise: "synced, after each event", Run: func(env Env) ([]float64, error) {
		return within(env.Dir, func(st *store.Store) ([]float64, error) {
			if err := loadOrders(st, max(loadBatch, int(20_000*env.Turn.Seconds()))); err != nil {
				return nil, err
			}
			var handled atomic.Int64
			children := make([]supervision.Child, workers)
			for w := range children {
				children[w] = cursor.Worker{
					Name: fmt.Sprintf("worker-%d", w), BatchSize: 1, SyncCheckpoints: true,
					Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
						handled.Add(1)
						return cursor.Continue, nil
					},
				}
			}
			sys, err := startPenstock(st, children...)
			if err != nil {
				return nil, err
			}
			rate := during(env.Turn, handled.Load)
			return []float64{rate}, sys.Stop(context.Background())
		})
	}}
}

// penstockCatchUp: one worker that handles a whole log, with a checkpoint per 256.
func penstockCatchUp() Contestant {
	return Contestant{Name: "penstock", Promise: "in the log after each batch, synced within 10 ms", Run: func(env Env) ([]float64, error) {
		return within(env.Dir, func(st *store.Store) ([]float64, error) {
			if err := loadOrders(st, env.Events); err != nil {
				return nil, err
			}
			began := time.Now()
			sys, err := startPenstock(st, cursor.Worker{Name: "catch-up", BatchSize: batchSize, Handle: nothing})
			if err != nil {
				return nil, err
			}
			err = sys.WaitApplied(context.Background(), "catch-up", everything(st))
			took := time.Since(began)
			if stopped := sys.Stop(context.Background()); err == nil {
				err = stopped
			}
			return []float64{perSecond(env.Events, took)}, err
		})
	}}
}

func nothing(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil }

// penstockByHand: the same without actors, in a loop over a cursor.Runner.
func penstockByHand() Contestant {
	return Contestant{Name: "penstock, no actors", Promise: "the same, in a loop of the caller's", Run: func(env Env) ([]float64, error) {
		return within(env.Dir, func(st *store.Store) ([]float64, error) {
			if err := loadOrders(st, env.Events); err != nil {
				return nil, err
			}
			ctx := context.Background()
			began := time.Now()
			r, err := cursor.NewRunner(ctx, st, cursor.Worker{Name: "by-hand", BatchSize: batchSize, Handle: nothing})
			for caughtUp := false; err == nil && !caughtUp; {
				var out cursor.Outcome
				out, err = r.Step(ctx, 0, 0)
				caughtUp = out.CaughtUp
			}
			return []float64{perSecond(env.Events, time.Since(began))}, err
		})
	}}
}

func reserve(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, Scope), Answer(e.Body))
	return nil
}

// penstockReactor: one reactor that catches up.
func penstockReactor(name string, batch int) Contestant {
	return Contestant{Name: name, Promise: synced, Run: func(env Env) ([]float64, error) {
		return within(env.Dir, func(st *store.Store) ([]float64, error) {
			if err := loadOrders(st, env.Events); err != nil {
				return nil, err
			}
			inputs := everything(st)
			r := reactor.New("reserve", reactor.On(reserve))
			r.BatchSize = batch
			began := time.Now()
			sys, err := startPenstock(st, r)
			if err != nil {
				return nil, err
			}
			err = sys.WaitApplied(context.Background(), "reserve", inputs)
			took := time.Since(began)
			if stopped := sys.Stop(context.Background()); err == nil {
				err = stopped
			}
			if got := int(st.Head()); err == nil && got != 2*env.Events {
				err = fmt.Errorf("%d events in the log, want %d", got, 2*env.Events)
			}
			return []float64{perSecond(env.Events, took)}, err
		})
	}}
}

// penstockReaction: from the start of an append to its durable reaction, on an idle system.
func penstockReaction() Contestant {
	return Contestant{Name: "penstock", Promise: synced, Run: func(env Env) ([]float64, error) {
		return within(env.Dir, func(st *store.Store) ([]float64, error) {
			ctx := context.Background()
			sys, err := startPenstock(st, reactor.New("reserve", reactor.On(reserve)))
			if err != nil {
				return nil, err
			}
			var took []time.Duration
			for i := range samples(env) {
				time.Sleep(spacing())
				began := time.Now()
				receipt, err := st.Append(ctx, OrderAt(i), store.Any, Order(i))
				if err == nil {
					err = sys.WaitApplied(ctx, "reserve", receipt)
				}
				if err != nil {
					return nil, err
				}
				took = append(took, time.Since(began))
			}
			return latencies(took), sys.Stop(ctx)
		})
	}}
}

// penstockIdle: workers that wait.
func penstockIdle() Contestant {
	return Contestant{Name: "penstock", Promise: "a checkpoint, a region, a place in the tree", Run: func(env Env) ([]float64, error) {
		return within(env.Dir, func(st *store.Store) ([]float64, error) {
			before := footprint()
			children := make([]supervision.Child, idlers)
			for w := range children {
				name := fmt.Sprintf("worker-%d", w)
				children[w] = cursor.Worker{Name: name, Region: store.Region{Entity: name}, Handle: nothing}
			}
			sys, err := startPenstock(st, children...)
			if err != nil {
				return nil, err
			}
			time.Sleep(100 * time.Millisecond) // until all of them wait
			after := footprint()
			return after.since(before), sys.Stop(context.Background())
		})
	}}
}
