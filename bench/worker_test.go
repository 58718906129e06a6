package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// checkpointBytes is a checkpoint as the limit and Pebble write it.
const checkpointBytes = 64

// BenchmarkCheckpoints: workers under supervision, each of which handles one event, waits for its durable checkpoint, and
// goes on. The limit and Pebble do nothing but write checkpoints.
func BenchmarkCheckpoints(b *testing.B) {
	wanted := map[int]float64{64: 100_000, 1000: 200_000}
	for _, workers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				limit := turn(b, durableLimit(workers, checkpointBytes), workers, 1)
				peer := turn(b, checkpointPebble(workers), workers, 1)
				ours := checkpointTurn(b, workers)
				f.compare("ckpt/s", limit.perSecond, peer.perSecond, ours, "")
				if w := wanted[workers]; w > 0 {
					f.add(fmt.Sprintf("ckpt/s>=%g", w), ours)
				}
			}
			f.report()
		})
	}
}

// checkpointTurn lets workers read the same log, longer than they can read in a turn.
func checkpointTurn(b *testing.B, workers int) (perSecond float64) {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	events := max(loadBatch, int(30_000*turnTime.Seconds()))
	load(b, dir, events)
	st := openStore(b, dir, store.Options{})
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
	sys := start(b, st, children...)
	time.Sleep(*turnTime / 2)
	before, began := handled.Load(), time.Now()
	time.Sleep(*turnTime)
	after, took := handled.Load(), time.Since(began)
	must(b, sys.Stop(b.Context()))
	must(b, st.Close())
	if after == int64(events*workers) {
		b.Fatal("the log was too short")
	}
	return float64(after-before) / took.Seconds()
}

// BenchmarkCatchUp: one worker that handles a whole log, with a checkpoint per batch of 256, beside reading the same log.
func BenchmarkCatchUp(b *testing.B) {
	for _, events := range []int{10_000, *logEvents} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			dir := openLibrary(b).events
			if events != *logEvents {
				small, remove := newDir(b)
				defer remove()
				load(b, small, events)
				dir = small
			}
			f := newFigures(b)
			for b.Loop() {
				st := openStore(b, dir, store.Options{})
				limit := rate(b, events, func() (int, error) { return replayPenstock(b, st, store.Region{}) })
				ours := catchUp(b, st, "catch-up", events)
				f.add("read-ev/s", limit)
				f.add("penstock-ev/s", ours)
				f.add("x-read", ours/limit)
				must(b, st.Close())
			}
			f.report()
		})
	}
}

// catchUp gives the events per second from the first event handled to the last checkpoint, and removes that checkpoint.
func catchUp(b *testing.B, st *store.Store, name string, events int) float64 {
	b.Helper()
	var began time.Time
	handled, done := 0, make(chan struct{})
	sys := start(b, st, cursor.Worker{Name: name, Handle: func(_ context.Context, batch *cursor.Batch) (cursor.Action, error) {
		if handled == 0 {
			began = time.Now()
		}
		for i := range batch.Events {
			if len(batch.Events[i].Payload) == payloadBytes {
				handled++
			}
		}
		if handled == events {
			close(done)
		}
		return cursor.Continue, nil
	}})
	<-done
	must(b, sys.WaitApplied(b.Context(), name, everything(st)))
	took := time.Since(began)
	must(b, sys.Stop(b.Context()))
	must(b, checkpoint.Delete(b.Context(), st, checkpoint.ID(name)))
	return perSecond(events, took)
}

// everything is the receipt of whatever is in the log.
func everything(st *store.Store) store.Receipt {
	return store.Receipt{History: st.History(), Events: []store.Recorded{{Position: st.Head()}}}
}

// start runs children under supervision.
func start(b *testing.B, st *store.Store, children ...supervision.Child) *actors.System {
	b.Helper()
	sys, err := actors.Start(b.Context(), st, actors.Options{}, supervision.Group{Name: "bench", Children: children})
	must(b, err)
	return sys
}

// load writes a log into an empty directory.
func load(b *testing.B, dir string, events int) {
	b.Helper()
	st := openStore(b, dir, store.Options{Sync: store.SyncNever})
	must(b, loadEvents(b, st, events))
	must(b, st.Close())
}
