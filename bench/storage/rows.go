package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// Rows are all rows. Those that read do so from logs of a number of events.
func Rows(events int) []delivery.Row {
	rows := []delivery.Row{
		appendRow(1, wanted{relation: ">=", bound: 1.1, than: limit}),
		appendRow(16, wanted{relation: ">=", bound: 1.9, than: pebbleDB}),
		appendRow(256, wanted{relation: ">=", bound: 1.5, than: pebbleDB}),
		appendRow(1024, wanted{relation: ">=", bound: 1.5, than: pebbleDB}),
		unsyncedRow(1, 1), unsyncedRow(1000, 1.5),
		readRow(events), matchingRow(events), openRow(events),
	}
	return rows
}

// wanted is how many times as much as another contestant Penstock should do.
type wanted struct {
	relation string
	bound    float64
	than     string
}

// targets are the ratios to each contestant; those that are wanted come first.
func targets(unit string, contestants []delivery.Contestant, want ...wanted) (list []delivery.Target) {
	named := map[string]bool{penstock: true, penstockScan: true}
	for _, w := range want {
		named[w.than] = true
		list = append(list, delivery.Target{Name: "× " + w.than, Relation: w.relation, Bound: w.bound, Of: ratio(unit, penstock, w.than)})
	}
	for _, c := range contestants {
		if !named[c.Name] {
			list = append(list, delivery.Target{Name: "× " + c.Name, Of: ratio(unit, penstock, c.Name)})
		}
	}
	return list
}

// ratio of a figure of two contestants.
func ratio(unit, ours, theirs string) func(delivery.Round) float64 {
	return func(r delivery.Round) float64 { return r[ours][unit] / r[theirs][unit] }
}

func appendRow(writers int, want wanted) delivery.Row {
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
	r.Targets = targets(r.Unit, r.Contestants, want)
	return r
}

func unsyncedRow(batch int, bound float64) delivery.Row {
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
	r.Targets = targets(r.Unit, r.Contestants, wanted{relation: ">=", bound: bound, than: pebbleDB})
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
	r.Targets = append(targets(r.Unit, r.Contestants, wanted{relation: ">=", bound: 2.5, than: pebbleDB}),
		delivery.Target{Name: "Scan × Pebble", Relation: ">=", Bound: 5.5, Of: ratio(r.Unit, penstockScan, pebbleDB)})
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
	r.Targets = append(targets(r.Unit, r.Contestants, wanted{relation: ">=", bound: 3, than: pebbleDB}),
		delivery.Target{Name: "first × Pebble", Relation: ">=", Bound: 3, Of: ratio(unitFirst, penstock, pebbleDB)},
		delivery.Target{Name: "Scan × Pebble", Relation: ">=", Bound: 8, Of: ratio(r.Unit, penstockScan, pebbleDB)})
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

func openRow(events int) delivery.Row {
	r := delivery.Row{
		Name: "open", Unit: unitMillis, Less: true, Title: "Opening after a clean close",
		Does: fmt.Sprintf("a log of %s events, until it can be written to", figures.Short(float64(events))),
	}
	for _, k := range kinds() {
		if k.name == limit {
			continue
		}
		r.Contestants = append(r.Contestants, delivery.Contestant{
			Name: k.name, Durable: true, Promise: "what was acknowledged is there", Prepare: preparing(k, events),
			Run: func(ctx context.Context, t delivery.Turn) (delivery.Result, error) {
				before, began := machine.CostSoFar(), time.Now()
				r, err := k.open(ctx, shelf(t, k), settings{synced: true, writers: 1, indexed: true})
				took := time.Since(began)
				if err != nil {
					return nil, err
				}
				used := machine.CostSoFar().Since(before)
				return delivery.Result{
					unitMillis: figures.Millis(took), "cpu-ms": figures.Millis(used.CPU), "alloc-MB": float64(used.Bytes) / 1e6,
				}, closing(r, nil)
			},
		})
	}
	r.Targets = []delivery.Target{
		{Name: "Penstock " + unitMillis, Relation: "<=", Bound: 10, Of: func(r delivery.Round) float64 { return r[penstock][unitMillis] }},
		{Name: "× Pebble", Of: ratio(unitMillis, penstock, pebbleDB)},
	}
	return r
}

// shelf is where a kind of store keeps its log between the turns of a row.
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

func closing(r records, err error) error { return errors.Join(err, r.close()) }
