package index

import (
	"fmt"
	"testing"
)

func BenchmarkAdd(b *testing.B) {
	for _, entities := range []int{100, 10_000, 100_000} {
		m := shop(200_000, entities)
		b.Run(fmt.Sprintf("entities=%d", entities), func(b *testing.B) {
			b.ReportAllocs()
			a := m.active()
			for i := 0; b.Loop(); i++ {
				if i%1_000_000 == 0 { // a segment's worth
					b.StopTimer()
					a = m.active()
					b.StartTimer()
				}
				a.Add(Entry{Offset: uint32(i), Terms: m.events[i%len(m.events)]})
			}
		})
	}
}

func BenchmarkSelect(b *testing.B) {
	const events = 1_000_000
	m := shop(events, 100)
	active := m.active()
	blob, _ := active.Footer()
	sealed, err := OpenSealed(blob)
	if err != nil {
		b.Fatal(err)
	}
	for name, x := range map[string]Index{"active": active, "sealed": sealed} {
		for _, q := range []struct {
			name string
			Query
		}{
			{"all", Query{}},
			{"scope", Query{Scope: "shop"}},
			{"entity=1%", Query{Entity: "order:42"}},
			{"entity+category", Query{Entity: "order:42", Category: "order"}},
			{"kinds=3", Query{Kinds: []string{"order.placed", "order.paid", "order.shipped"}}},
		} {
			b.Run(name+"/"+q.name, func(b *testing.B) {
				b.ReportAllocs()
				found, at := 0, uint32(0)
				dst := make([]uint32, 0, 256)
				for b.Loop() {
					dst, at, _ = x.Select(q.Query, at, events, 256, dst[:0])
					if found += len(dst); at == events {
						at = 0
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(found), "ns/match")
			})
		}
		b.Run(name+"/count", func(b *testing.B) {
			for b.Loop() {
				_, _ = x.Count(Query{Scope: "shop", Entity: "order:42"}, 0, events, 10_000)
			}
		})
	}
}

func BenchmarkFooterAndOpen(b *testing.B) {
	for _, entities := range []int{100, 100_000} {
		a := shop(1_000_000, entities).active()
		blob, _ := a.Footer()
		b.Run(fmt.Sprintf("footer/entities=%d", entities), func(b *testing.B) {
			for b.Loop() {
				a.Footer()
			}
			b.ReportMetric(float64(len(blob))/1e6, "B/event")
		})
		b.Run(fmt.Sprintf("open/entities=%d", entities), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := OpenSealed(blob); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
