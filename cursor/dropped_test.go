package cursor_test

import (
	"bytes"
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// segmented is a log of small segments.
func segmented(t *testing.T) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// large appends n large events of three orders.
func large(t *testing.T, st *store.Store, n int) {
	t.Helper()
	for i := range n {
		placed := store.Raw{Type: "order.placed", Data: bytes.Repeat([]byte{'x'}, 4000)}
		_, err := st.Append(t.Context(), store.At("order:"+strconv.Itoa(i%3), "shop"), store.Any, placed)
		require.NoError(t, err)
	}
}

// drop drops all that can be, whatever readers need.
func drop(t *testing.T, st *store.Store, ignore ...string) store.Position {
	t.Helper()
	report, err := store.Retain(t.Context(), st, checkpoint.Holds, store.RetainOptions{Before: st.Head(), Ignore: ignore})
	require.NoError(t, err)
	require.Positive(t, report.Segments)
	return report.First
}

// A lossy reader continues where the log begins, and counts what was dropped with what it left out.
func TestASubscriptionGoesOnAfterWhatWasDropped(t *testing.T) {
	for _, window := range []int{5, 1000} {
		st := segmented(t)
		large(t, st, 10)
		s, err := cursor.Subscribe(t.Context(), st, orders, window)
		require.NoError(t, err)
		large(t, st, 200)
		first := drop(t, st)
		require.Greater(t, first, store.Position(50))
		events, err := s.PullBatch(t.Context(), 1000, 0)
		require.NoError(t, err)
		if window == 5 {
			require.Len(t, events, 5)
		} else {
			require.Equal(t, first, events[0].Position)
		}
		require.Equal(t, uint64(200-len(events)), s.Lost())
	}
}

// What is parked and was dropped, as its hold was ignored, cannot be handled again. It stays parked
// with the reason, stops nothing else, and can be discarded: then what was held for it is handled,
// if that was not dropped, too.
func TestAParkedEventThatWasDroppedStopsNothing(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := segmented(t)
		large(t, st, 6)
		w := cursor.Worker{Region: orders, Lanes: lanes, Handle: brokenAt(1)}
		r := runner(t, st, w)
		park(t, r, 1)
		large(t, st, 60)
		drain(t, r)
		first := drop(t, st, "reserve")
		var seen []store.Position
		w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			seen = append(seen, at(b.Events)...)
			return cursor.Continue, nil
		}
		r = trusting(t, st, w)
		list := parkedIn(t, st)
		require.Greater(t, list[len(list)-1].Position, first)
		_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		large(t, st, 6)
		drain(t, r)
		require.Len(t, seen, 4, "the others are held")
		for _, p := range parkedIn(t, st) {
			require.False(t, p.Replaying)
			require.Equal(t, p.Position == 1, !p.Held)
		}
		require.Contains(t, parkedIn(t, st)[0].Error, "was dropped")
		for seen = nil; len(parkedIn(t, st)) > 0; drain(t, r) {
			p := parkedIn(t, st)[0]
			require.Less(t, p.Position, first)
			require.NoError(t, discard(t.Context(), r, p.Position))
		}
		require.NotEmpty(t, seen)
		require.GreaterOrEqual(t, seen[0], first)
	}
}
