package cursor

import "github.com/penstock-io/penstock/store"

// Gap says that positions between two deliveries will never hold a visible event: they belong to
// fences that were cancelled. It looks at positions alone, whatever the region: events that do not
// match are no gap, and a cancelled range is one although its events would not have matched. One at
// the end of the log is seen once a later event is delivered.
type Gap struct {
	Expected  store.Position // the position after the event delivered before
	Delivered store.Position // the position of the event that came instead
	Cancelled []store.Range  // within [Expected, Delivered), ascending
}

// gaps is a ring of the latest observations. The zero value keeps none.
type gaps struct {
	limit   int
	ring    []Gap // oldest first
	dropped uint64
}

// observe notes the cancelled ranges between the event delivered before and the one delivered now.
// Where there are none there is no gap.
func (g *gaps) observe(st *store.Store, before, delivered store.Position) {
	if g.limit == 0 || delivered <= before+1 {
		return
	}
	gap := Gap{Expected: before + 1, Delivered: delivered}
	if gap.Cancelled = store.CancelledRanges(st, before+1, delivered-1); len(gap.Cancelled) == 0 {
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
