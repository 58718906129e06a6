package storage

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/growth"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// Sizes of the logs.
type Sizes struct {
	Events int        // of logs that are read
	Large  growth.Log // in which entities are looked for
}

// Full is what the rows are meant for.
func Full() Sizes {
	return Sizes{Events: 1_000_000, Large: growth.Log{Events: 3_000_000, Entities: 1_000_000, Samples: 2000}}
}

// Quick is what shows that they work.
func Quick() Sizes {
	return Sizes{Events: 20_000, Large: growth.Log{Events: 6000, Entities: 2000, Samples: 20}}
}

// Rows are all rows.
func Rows(s Sizes) []delivery.Row {
	return []delivery.Row{
		appendRow(1), appendRow(16), appendRow(256), appendRow(1024), unsyncedRow(1), unsyncedRow(1000),
		readRow(s.Events), matchingRow(s.Events), entitiesRow(s.Large), openRow(s.Events), wakeRow(),
	}
}

func appendRow(writers int) delivery.Row {
	r := delivery.Row{
		Name: fmt.Sprintf("append-%d", writers), Unit: unitEvents,
		Title: fmt.Sprintf("Durable appends, %d at a time", writers),
		Does:  "each writer appends an event of 256 bytes, waits until it is synced, appends the next",
	}
	for _, k := range kinds() {
		r.Contestants = append(r.Contestants, delivery.Contestant{
			Name: k.name, Durable: true, Promise: k.synced, Run: appending(k, settings{synced: true, writers: writers}, 1),
		})
	}
	return r
}

func unsyncedRow(batch int) delivery.Row {
	r := delivery.Row{
		Name: fmt.Sprintf("append-unsynced-%d", batch), Unit: unitEvents,
		Title: fmt.Sprintf("Appends, not synced, %d in a batch", batch),
		Does:  "one writer appends batches of events of 256 bytes, each acknowledged when the operating system has it",
	}
	for _, k := range kinds() {
		r.Contestants = append(r.Contestants, delivery.Contestant{
			Name: k.name, Promise: k.unsynced, Run: appending(k, settings{writers: 1}, batch),
		})
	}
	return r
}

// appending lets writers append batches for the time of a turn.
func appending(k kind, s settings, batch int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
		r, err := k.open(ctx, t.Dir, s)
		if err != nil {
			return nil, err
		}
		o, err := workload.Drive(s.writers, t.Time, func(w, i int) error { return r.append(w, i*batch, batch) })
		res := delivery.Result{
			unitEvents: o.PerSecond * float64(batch), unitP50: figures.Micros(o.P50), unitP99: figures.Micros(o.P99),
		}
		maps.Copy(res, costs(o.Each, batch))
		return res, closing(r, err)
	}
}

func readRow(events int) delivery.Row {
	r := delivery.Row{
		Name: "read", Unit: unitEvents, Title: "Reading the whole log",
		Does: fmt.Sprintf("%s events from the page cache, in a store that was just opened", figures.Short(float64(events))),
	}
	r.Contestants = readers(events, func(kind) bool { return true }, func(r records) (delivery.Result, error) {
		return reading(events, r.readAll)
	})
	return r
}

const entity = 42

func matchingRow(events int) delivery.Row {
	r := delivery.Row{
		Name: "read-matching", Unit: unitEvents, Title: "Reading the 1 % that match",
		Does: fmt.Sprintf("events of one entity of 100 among %s: in a store that was just opened (%s), and once more",
			figures.Short(float64(events)), unitFirst),
	}
	r.Contestants = readers(events, func(k kind) bool { return !k.bare }, func(r records) (delivery.Result, error) {
		want := (events - entity + workload.Entities - 1) / workload.Entities
		read := func() (int, error) { return r.readMatching(entity) }
		first, err := reading(want, read)
		if err != nil {
			return nil, err
		}
		again, err := reading(want, read)
		if err == nil {
			again[unitFirst] = first[unitEvents]
		}
		return again, err
	})
	return r
}

// readers are contestants that read a log which is prepared once. Penstock comes a second time,
// with Scan in the place of Read.
func readers(events int, able func(kind) bool, read func(records) (delivery.Result, error)) (list []delivery.Contestant) {
	for _, k := range kinds() {
		if !able(k) {
			continue
		}
		list = append(list, reader(k, k.name, events, read))
		if k.name == penstock {
			k.open, k.reads = openScanning, "checksums; events that are valid until the next one"
			list = append(list, reader(k, penstockScan, events, read))
		}
	}
	return list
}

func reader(k kind, name string, events int, read func(records) (delivery.Result, error)) delivery.Contestant {
	return delivery.Contestant{
		Name: name, Durable: true, Promise: k.reads, Prepare: preparing(k, events),
		Run: func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
			r, err := k.open(ctx, shelf(t, k), settings{writers: 1, indexed: true})
			if err != nil {
				return nil, err
			}
			res, err := read(r)
			return res, closing(r, err)
		},
	}
}

// reading measures a reader that must find a number of events.
func reading(want int, read func() (int, error)) (delivery.Result, error) {
	before, began := machine.CostSoFar(), time.Now()
	n, err := read()
	took := time.Since(began)
	if err == nil && n != want {
		err = fmt.Errorf("read %d events, want %d", n, want)
	}
	res := delivery.Result{unitEvents: figures.PerSecond(n, took)}
	maps.Copy(res, costs(workload.EachOf(machine.CostSoFar().Since(before), n), 1))
	return res, err
}

// shelf is where a kind of store keeps its log between turns.
func shelf(t delivery.Turn, k kind) string { return filepath.Join(t.Library, filepath.Base(k.name)) }

// preparing makes the log of a kind, unless it is there.
func preparing(k kind, events int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
		dir := shelf(t, k)
		if exists(dir) {
			return nil, nil
		}
		return nil, load(ctx, k, dir, events)
	}
}
