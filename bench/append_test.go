package bench

import (
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/workload"
)

// BenchmarkDurableAppend: writers in closed loops, each acknowledgement after the sync.
func BenchmarkDurableAppend(b *testing.B) {
	wanted := map[int]string{1: "x-limit>=1.1", 16: "x-pebble>=1.9", 256: "x-pebble>=1.5", 1024: "x-pebble>=1.5"}
	for _, writers := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			f := newRecorder(b)
			for b.Loop() {
				limit := turn(b, durableLimit(writers, workload.RecordBytes), writers, 1)
				peer := turn(b, durablePebble(writers), writers, 1)
				ours := turn(b, appendPenstock(store.Options{}), writers, 1)
				f.compare("ev/s", limit.PerSecond, peer.PerSecond, ours.PerSecond, wanted[writers])
				f.costs(limit.Each, peer.Each, ours.Each)
				if writers >= 256 {
					f.add("x-pebble-cpu<=0.65", float64(ours.Each.CPU)/float64(peer.Each.CPU))
				}
				f.add("limit-p99-us", figures.Micros(limit.P99))
				f.add("pebble-p99-us", figures.Micros(peer.P99))
				f.add("penstock-p50-us", figures.Micros(ours.P50))
				f.add("penstock-p99-us", figures.Micros(ours.P99))
			}
			f.report()
		})
	}
}

// BenchmarkUnsyncedAppend: one writer, acknowledged when the operating system has the bytes.
func BenchmarkUnsyncedAppend(b *testing.B) {
	wanted := map[int]string{1: "x-pebble>=1", 1000: "x-pebble>=1.5"}
	for _, batch := range []int{1, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := newRecorder(b)
			for b.Loop() {
				limit := turn(b, unsyncedLimit(batch), 1, batch)
				peer := turn(b, unsyncedPebble(batch), 1, batch)
				open := appendPenstock(store.Options{Sync: store.SyncNever})
				if batch > 1 {
					open = commitPenstock(store.Options{Sync: store.SyncNever}, batch)
				}
				ours := turn(b, open, 1, batch)
				f.compare("ev/s", limit.PerSecond, peer.PerSecond, ours.PerSecond, wanted[batch])
				f.costs(limit.Each, peer.Each, ours.Each)
			}
			f.report()
		})
	}
}

// compare notes what limit, Pebble and Penstock did, and the ratios; wanted is one of the ratios
// with its target.
func (f *recorder) compare(unit string, limit, peer, ours float64, wanted string) {
	f.add("limit-"+unit, limit)
	f.add("pebble-"+unit, peer)
	f.add("penstock-"+unit, ours)
	for name, ratio := range map[string]float64{"x-limit": ours / limit, "x-pebble": ours / peer} {
		if len(wanted) > len(name) && wanted[:len(name)] == name {
			name = wanted
		}
		f.add(name, ratio)
	}
}

// costs notes what an event cost each contestant, beside the rate: a machine that is shared changes
// the rate.
func (f *recorder) costs(limit, peer, ours workload.PerOp) {
	for name, each := range map[string]workload.PerOp{"limit": limit, "pebble": peer, "penstock": ours} {
		f.add(name+"-cpu-us/ev", figures.Micros(each.CPU))
		f.add(name+"-B/ev", each.Bytes)
		f.add(name+"-allocs/ev", each.Objects)
	}
}

func openStore(b *testing.B, dir string, o store.Options) *store.Store {
	b.Helper()
	st, err := store.Open(dir, o)
	must(b, err)
	return st
}

// appendPenstock appends one event at a time.
func appendPenstock(o store.Options) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		st, ctx := openStore(b, dir, o), b.Context()
		return contestant{close: st.Close, op: func(_, i int) error {
			_, err := st.Append(ctx, workload.Coordinates[i%workload.Entities], store.Any, workload.Event(i))
			return err
		}}
	}
}

// commitPenstock commits batches.
func commitPenstock(o store.Options, batch int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		st, ctx := openStore(b, dir, o), b.Context()
		return contestant{close: st.Close, op: func(_, i int) error {
			_, err := st.Commit(ctx, store.Batch{Events: workload.Proposals(i*batch, batch, workload.Proposal)})
			return err
		}}
	}
}
