package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/growth"
	"github.com/penstock-io/penstock/bench/machine"
)

func openRow(events int) delivery.Row {
	r := delivery.Row{
		Name: "open", Unit: unitMillis, Less: true, Title: "Opening a log",
		Does: fmt.Sprintf("a log of %s events that was closed, until it can be written to; Penstock's after a kill, too (%s)",
			figures.Short(float64(events)), unitKilled),
	}
	for _, k := range kinds() {
		if k.name == limit {
			continue
		}
		r.Contestants = append(r.Contestants, delivery.Contestant{
			Name: k.name, Durable: true, Promise: "what was acknowledged is there", Prepare: preparing(k, events),
			Run: func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
				res, err := opening(ctx, k, shelf(t, k))
				if err != nil || k.name != penstock {
					return res, err
				}
				left := filepath.Join(t.Dir, "killed")
				if err := growth.Killed(left, shelf(t, k)+killedSuffix); err != nil {
					return nil, err
				}
				killed, err := opening(ctx, k, left)
				if err == nil {
					res[unitKilled] = killed[unitMillis]
				}
				return res, err
			},
		})
	}
	return r
}

// opening opens a store for writing, and closes it.
func opening(ctx context.Context, k kind, dir string) (delivery.Result, error) {
	before, began := machine.CostSoFar(), time.Now()
	r, err := k.open(ctx, dir, settings{synced: true, writers: 1, indexed: true})
	took := time.Since(began)
	if err != nil {
		return nil, err
	}
	used := machine.CostSoFar().Since(before)
	return delivery.Result{
		unitMillis: figures.Millis(took), "cpu-ms": figures.Millis(used.CPU), "alloc-MB": float64(used.Bytes) / 1e6,
	}, closing(r, nil)
}

// killedSuffix is that of a directory which a kill of Penstock's writer would have left, beside the
// one that was closed.
const killedSuffix = "-killed"

func keepKilled(dir string) error { return growth.Killed(dir+killedSuffix, dir) }

// entitiesRow looks for one entity and one key among many, and appends new ones.
func entitiesRow(l growth.Log) delivery.Row {
	in := func(t delivery.Turn) growth.Log {
		l.Dir = filepath.Join(t.Library, "entities")
		return l
	}
	return delivery.Row{
		Name: "entities", Unit: unitCold, Less: true, Title: "One entity among many",
		Does: fmt.Sprintf("reading one of %s entities in a log of %s events, for the first time since it was opened (%s) and again "+
			"(%s); appending to a new one and with a new key, above what any append takes; nothing is synced",
			figures.Short(float64(l.Entities)), figures.Short(float64(l.Events)), unitCold, unitWarm),
		Contestants: []delivery.Contestant{{
			Name: penstock, Promise: written + " (`SyncNever`)",
			Prepare: func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
				f, err := in(t).Fill(ctx)
				return delivery.Result{
					"writer-heap-MB": f.Heap / 1e6, "first-tenth-entities/s": f.FirstTenth, "last-tenth-entities/s": f.LastTenth,
				}, err
			},
			Run: func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
				a, err := in(t).Ask(ctx, filepath.Base(t.Dir))
				if err != nil {
					return nil, err
				}
				micros := func(sample int) float64 { return figures.Micros(a.Samples[sample].Median) }
				return delivery.Result{
					unitCold: micros(growth.ReadCold), unitWarm: micros(growth.ReadWarm), "append-us": micros(growth.AppendAny),
					"new-extra-us": micros(growth.AppendNew) - micros(growth.AppendAny),
					"key-extra-us": micros(growth.AppendNewKey) - micros(growth.AppendAny),
					"heap-MB":      a.Heap / 1e6,
				}, nil
			},
		}},
	}
}

func closing(r records, err error) error { return errors.Join(err, r.close()) }
