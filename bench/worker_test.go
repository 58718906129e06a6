package bench

import (
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/workload"
)

// BenchmarkCheckpoints: workers under supervision, each of which handles one event, waits for its
// durable checkpoint, and takes the next. The limit and Pebble do nothing but write checkpoints.
func BenchmarkCheckpoints(b *testing.B) {
	const unit = "ckpt/s"
	wanted := map[int]float64{64: 100_000, 1000: 200_000}
	for _, workers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			f := newRecorder(b)
			for b.Loop() {
				limit := deliver(b, delivery.LimitCheckpoints(workers))[unit]
				peer := deliver(b, delivery.PebbleCheckpoints(workers))[unit]
				ours := deliver(b, delivery.PenstockCheckpoints(workers))[unit]
				f.compare(unit, limit, peer, ours, "")
				if w := wanted[workers]; w > 0 {
					f.add(fmt.Sprintf("%s>=%g", unit, w), ours)
				}
			}
			f.report()
		})
	}
}

// BenchmarkCatchUp: one worker that handles a whole log, with a checkpoint per batch of 256, beside
// reading the same log.
func BenchmarkCatchUp(b *testing.B) {
	for _, events := range []int{10_000, *logEvents} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			dir := openLibrary(b).events
			if events != *logEvents {
				small, remove := newDir(b)
				defer remove()
				must(b, delivery.PenstockLog(b.Context(), small, events, workload.Proposal))
				dir = small
			}
			f := newRecorder(b)
			for b.Loop() {
				st := openStore(b, dir, store.Options{})
				limit := rate(b, events, func() (int, error) { return replayPenstock(b, st, store.Region{}) })
				ours, err := delivery.CatchUp(b.Context(), st, "catch-up", events, false)
				must(b, err)
				f.add("read-ev/s", limit)
				f.add("penstock-ev/s", ours)
				f.add("x-read", ours/limit)
				must(b, st.Close())
			}
			f.report()
		})
	}
}
