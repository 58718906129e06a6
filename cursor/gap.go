package cursor

import "github.com/penstock-io/penstock/store"

// Range is a range of positions, both inclusive.
type Range struct{ From, To store.Position }

// Gap says that positions between two deliveries will never hold a visible event: they belong to
// what was cancelled. It looks at positions alone, whatever the region.
type Gap struct {
	Expected  store.Position // the position after the event delivered before
	Delivered store.Position // the position of the event that came instead
	Cancelled []Range        // within [Expected, Delivered), ascending
}

// gaps is a ring of the latest observations. The zero value keeps none.
type gaps struct {
	limit   int
	ring    []Gap // oldest first
	dropped uint64
}

// observe notes the cancelled ranges between the event delivered before and the one delivered now,
// clipped to what lies between them. Where nothing is left of them there is no gap.
func (g *gaps) observe(before, delivered store.Position, cancelled []Range) {
	if g.limit == 0 || delivered <= before+1 {
		return
	}
	gap := Gap{Expected: before + 1, Delivered: delivered}
	for _, r := range cancelled {
		r.From, r.To = max(r.From, gap.Expected), min(r.To, delivered-1)
		if r.From <= r.To {
			gap.Cancelled = append(gap.Cancelled, r)
		}
	}
	if len(gap.Cancelled) == 0 {
		return
	}
	if len(g.ring) == g.limit {
		g.ring = g.ring[1:]
		g.dropped++
	}
	g.ring = append(g.ring, gap)
}

// take empties the ring.
func (g *gaps) take() (taken []Gap, dropped uint64) {
	taken, dropped = g.ring, g.dropped
	g.ring, g.dropped = nil, 0
	return taken, dropped
}
