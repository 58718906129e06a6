package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
)

// scattered is a log of more segments than are asked at once, in which most entities have events
// in a few of them.
func scattered(t *testing.T) (s *Store, events []Event) {
	t.Helper()
	s = diskLog(t, t.TempDir(), Options{Sync: SyncNever, SegmentBytes: minSegmentBytes})
	r := rand.New(rand.NewPCG(3, 4))
	for i := 0; s.Stats().Segments < 2*index.AtOnce+20; i++ {
		b := Batch{IdempotencyKey: fmt.Sprint("key ", i)}
		for range 50 {
			b.Events = append(b.Events, eventsOf(fmt.Sprintf("order:%d", r.IntN(5000)))...)
		}
		write(t, s, b)
	}
	return s, all(t, s, Region{})
}

func TestSegmentsWithoutAnEntityArePassedOverAndNoEventWithThem(t *testing.T) {
	s, events := scattered(t)
	r := rand.New(rand.NewPCG(1, 2))
	count := len(events)
	for i := range 300 / thinning {
		entity := fmt.Sprintf("order:%d", r.IntN(5200))
		if g := (*s.segments.Load())[r.IntN(s.Stats().Segments)]; i%2 == 0 {
			edge := min(int(g.first)+r.IntN(3)-2, count-1) // at the edge of a segment
			entity = events[max(edge, 0)].Coordinate.Entity
		}
		after := Position(r.IntN(count))
		upTo := after + 1 + Position(r.IntN(count-int(after)))
		var want []Position
		last := uint64(0)
		for _, e := range events {
			if e.Coordinate.Entity != entity {
				continue
			}
			last = e.Version
			if e.Position > after && e.Position <= upTo {
				want = append(want, e.Position)
			}
		}
		var got []Position
		for at := after; at < upTo; {
			page, err := s.ReadPage(t.Context(), Region{Entity: entity}, at, upTo, 1+i%5)
			require.NoError(t, err)
			require.Greater(t, page.Scanned, at)
			require.LessOrEqual(t, page.Scanned, upTo)
			for _, e := range page.Events {
				got = append(got, e.Position)
			}
			at = page.Scanned
		}
		require.Equal(t, want, got, "%s in (%d, %d]", entity, after, upTo)
		n, err := s.Count(t.Context(), Region{Entity: entity}, after, upTo, count)
		require.NoError(t, err)
		require.Len(t, want, n)
		require.Equal(t, last, version(t, s, entity))
		require.Len(t, positions(t, History(t.Context(), s, entity)), int(last))
		_, found, err := s.findKey(fmt.Sprint("key ", i))
		require.NoError(t, err)
		require.Equal(t, i < count/50, found)
	}
}
