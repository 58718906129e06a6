package bench

import (
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/bench/delivery"
)

// BenchmarkReactor: one reactor that catches up, JSON in, one reaction per event, JSON out, each
// batch durable. The limit decodes and encodes the same JSON on one goroutine, and does one write
// and one fdatasync per batch.
func BenchmarkReactor(b *testing.B) {
	const target, unit = 200_000, "ev/s"
	events := *logEvents / 10
	for _, batch := range []int{256, 4096} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := newRecorder(b)
			for b.Loop() {
				limit := deliver(b, delivery.LimitReactor(events, batch))[unit]
				ours := deliver(b, delivery.PenstockReactor(events, batch))[unit]
				f.add("limit-"+unit, limit)
				f.add(fmt.Sprintf("penstock-%s>=%d", unit, target), ours)
				f.add("x-limit", ours/limit)
			}
			f.report()
		})
	}
}

// BenchmarkReaction: from the start of an append to the durable reaction, in a process that is idle
// in between. The limit is two writes with an fdatasync each. "append" is the part until the
// acknowledgement.
func BenchmarkReaction(b *testing.B) {
	f := newRecorder(b)
	for b.Loop() {
		limit, ours := deliver(b, delivery.LimitReaction), deliver(b, delivery.PenstockReaction)
		for _, figure := range []string{"p50-us", "p99-us"} {
			f.add("limit-"+figure, limit[figure])
			f.add("penstock-"+figure, ours[figure])
		}
		f.add("append-p50-us", ours["append-p50-us"])
		f.add("fdatasyncs<=2.5", 2*ours["p50-us"]/limit["p50-us"])
	}
	f.report()
}
