package index

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASeekProbesTheLogarithmOfItsDistance(t *testing.T) {
	const size = 1 << 20
	for _, start := range []int{0, 1000, size / 2} {
		for distance := 0; start+distance <= size; distance = distance*3 + 1 {
			probes := 0
			goal := start + distance
			at := gallop(start, size, func(i int) bool { probes++; return i >= goal })
			require.Equal(t, goal, at)
			require.LessOrEqual(t, probes, 2*bits.Len(uint(distance))+2, "from %d to %d", start, goal)
		}
	}
}

// counted is a finder whose cursors count their seeks.
type counted struct {
	finder
	seeks *int
}

type countedCursor struct {
	cursor
	seeks *int
}

func (c counted) find(f field, text string) cursor {
	if list := c.finder.find(f, text); list != nil {
		return countedCursor{list, c.seeks}
	}
	return nil
}

func (c countedCursor) seek(ord uint32) uint32 {
	*c.seeks++
	return c.cursor.seek(ord)
}

func TestAPageCostsItsSizeWhereverInTheSegmentItLies(t *testing.T) {
	const events, limit = 100_000, 64
	m := shop(events, 1)
	for _, x := range both(t, m) {
		for _, q := range []Query{
			{Scope: "shop"},
			{Entity: "order", Scope: "shop"},
			{Entity: "order:0", Scope: "shop", Kinds: []string{
				"order.placed", "order.paid", "order.shipped", "stock.reserved", "stock.released",
			}},
		} {
			for _, from := range []uint32{0, events / 2, events - limit} {
				seeks := 0
				c := plan(q, counted{x.Index.(finder), &seeks}, from, events)
				ords, next := collect(c, from, events, limit, nil)
				require.Len(t, ords, limit)
				require.Equal(t, from+limit, next)
				// One seek a list and event, and five to set up the union.
				require.LessOrEqual(t, seeks, 3*limit+5, "%T %+v from %d", x, q, from)
			}
		}
	}
}

func TestListsThatNeverMeetAreNotReadBeyondTheRange(t *testing.T) {
	m := model{}
	for i := range uint32(10_000) {
		m.events = append(m.events, Terms{Entity: fmt.Sprint(i % 2), Scope: fmt.Sprint((i + 1) % 2)})
		m.offsets = append(m.offsets, i)
	}
	for _, x := range both(t, m) {
		seeks := 0
		ords, next := collect(plan(Query{Entity: "0", Scope: "0"}, counted{x.Index.(finder), &seeks}, 5000, 5020), 5000, 5020, 10, nil)
		require.Empty(t, ords)
		require.Equal(t, uint32(5020), next)
		require.LessOrEqual(t, seeks, 21)
	}
}

func TestTheShortestListLeads(t *testing.T) {
	m := shop(10_000, 1)
	m.events[7777].Scope = "rare"
	for _, x := range both(t, m) {
		seeks := 0
		q := Query{Entity: "order", Scope: "rare", Category: category(m.events[7777].Kind)}
		ords, _ := collect(plan(q, counted{x.Index.(finder), &seeks}, 0, 10_000), 0, 10_000, 10, nil)
		require.Equal(t, []uint32{7777}, ords)
		require.LessOrEqual(t, seeks, 4)
	}
}

func TestAnAddOfKnownTermsAllocatesOnlyToGrow(t *testing.T) {
	m := shop(20_000, 100)
	a := m.active()
	i := 0
	allocs := testing.AllocsPerRun(10_000, func() {
		a.Add(Entry{Terms: m.events[i%len(m.events)]})
		i++
	})
	require.Zero(t, allocs, "less than one in the average")
}

func TestReadersSeeEverythingPublishedWhileTheWriterAdds(t *testing.T) {
	const events = 5000
	m := shop(events, 10)
	a := NewActive()
	x := sure{a}
	var published atomic.Uint32
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			q := []Query{{}, {Entity: "order:3"}, {Entity: "order", Category: "stock"}, {Kinds: []string{"order.paid", "order.placed"}}}[i]
			seen, at := []uint32{}, uint32(0)
			for at < events {
				to := published.Load()
				seen, at = x.Select(q, at, to, 50, seen)
				if at == to && x.Count(q, 0, to, events) != len(seen) {
					t.Errorf("%+v: %d found one by one below %d, but counted otherwise", q, len(seen), to)
					return
				}
				if to > 0 && x.Offset(to-1) != m.offsets[to-1] {
					t.Errorf("wrong offset of %d", to-1)
				}
				if last, ok := x.LastOf(m.events[0].Entity); to > 0 && (!ok || m.events[last].Entity != m.events[0].Entity) {
					t.Errorf("wrong last event %d", last)
				}
				x.FindKey("key")
			}
			if want := m.find(q, 0, events); len(want) != len(seen) {
				t.Errorf("%+v: %d events found, want %d", q, len(seen), len(want))
			}
		})
	}
	for i, terms := range m.events {
		a.Add(Entry{Offset: m.offsets[i], Terms: terms})
		a.AddKey(fmt.Sprint("key", i), uint32(i))
		a.SetSide(sideAt(fmt.Sprint("side", i%10), uint32(i)))
		published.Store(uint32(i + 1))
	}
	readers.Wait()
}
