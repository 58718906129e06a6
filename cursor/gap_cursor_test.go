package cursor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// cancel stages so many events in a fence, and cancels it.
func cancel(t *testing.T, st *store.Store, events int) {
	t.Helper()
	f, err := store.OpenFence(t.Context(), st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
	require.NoError(t, err)
	for range events {
		_, err := f.Stage(t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("hidden", "shop"), Payload: placed{}}}})
		require.NoError(t, err)
	}
	require.NoError(t, f.Cancel(t.Context()))
}

func TestOneCancelledFenceBetweenTwoEventsIsOneGapAndTakingItEmptiesTheRing(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	cancel(t, st, 3)
	fill(t, st, 1, 0)
	for name, pull := range map[string]func(c *cursor.Cursor) (events []store.Event){
		"batch": func(c *cursor.Cursor) []store.Event {
			events, err := c.PollBatch(t.Context(), 10)
			require.NoError(t, err)
			return events
		},
		"pass": func(c *cursor.Cursor) (events []store.Event) {
			for e, err := range c.All(t.Context()) {
				require.NoError(t, err)
				events = append(events, e)
			}
			return events
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := cursor.Open(t.Context(), st, store.Region{Entity: "order"}, cursor.Options{Gaps: 8})
			require.NoError(t, err)
			require.Equal(t, []store.Position{1, 5}, at(pull(c)))
			taken, dropped := c.TakeGaps()
			require.Equal(t, []cursor.Gap{{Expected: 2, Delivered: 5, Cancelled: []store.Range{{From: 2, To: 4}}}}, taken)
			require.Zero(t, dropped)
			taken, _ = c.TakeGaps()
			require.Empty(t, taken)
		})
	}
}

func TestACursorThatIsNotAskedToRecordsNoGap(t *testing.T) {
	st := open(t)
	cancel(t, st, 1)
	fill(t, st, 1, 0)
	c, err := cursor.Open(t.Context(), st, store.Region{}, cursor.Options{})
	require.NoError(t, err)
	_, found, err := c.Poll(t.Context())
	require.NoError(t, err)
	require.True(t, found)
	taken, dropped := c.TakeGaps()
	require.Empty(t, taken)
	require.Zero(t, dropped)
}

// Events that do not match are no gap, and what was delivered last is kept in the checkpoint.
func TestAGapIsMeasuredFromTheEventDeliveredLastAlsoByTheNextCursor(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 2)
	options := cursor.Options{ID: "gaps", Gaps: 8}
	c, err := cursor.Open(t.Context(), st, store.Region{Entity: "order"}, options)
	require.NoError(t, err)
	events, err := c.PollBatch(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []store.Position{1}, at(events))
	require.NoError(t, c.Commit(t.Context()))
	cancel(t, st, 2)
	events, err = c.PollBatch(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, events)
	taken, _ := c.TakeGaps()
	require.Empty(t, taken, "at the end of the log it is not known yet")
	require.NoError(t, c.Commit(t.Context()))
	fill(t, st, 1, 0)

	c, err = cursor.Open(t.Context(), st, store.Region{Entity: "order"}, options)
	require.NoError(t, err)
	require.Equal(t, store.Position(5), c.Position())
	events, err = c.PollBatch(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []store.Position{6}, at(events))
	taken, _ = c.TakeGaps()
	require.Equal(t, []cursor.Gap{{Expected: 2, Delivered: 6, Cancelled: []store.Range{{From: 4, To: 5}}}}, taken)
}

func TestACursorOfOneEventAtATimeStepsOverWhatACancelledFenceHides(t *testing.T) {
	st := open(t)
	for range 3 {
		fill(t, st, 1, 1)
		cancel(t, st, 2)
	}
	fill(t, st, 1, 0)
	cancel(t, st, 1)
	all, placed := []store.Position{1, 2, 5, 6, 9, 10, 13}, []store.Position{1, 5, 9, 13}
	for _, c := range []struct {
		region store.Region
		want   []store.Position
	}{
		{store.Region{}, all},
		{store.Region{Scope: "shop"}, all},
		{orders, placed},
		{store.Region{Kinds: []string{"order.placed"}}, placed},
		{store.Region{Entity: "order", Scope: "shop", Category: "order"}, placed},
		{store.Region{Entity: "order:0", MinVersion: 2, MaxVersion: 3}, []store.Position{5, 9}},
		{store.Region{Entity: "hidden"}, nil},
	} {
		reader := openCursor(t, st, c.region, cursor.Options{})
		var got []store.Position
		for {
			events, err := reader.PollBatch(t.Context(), 1)
			require.NoError(t, err)
			if len(events) == 0 {
				break
			}
			require.Len(t, events, 1)
			got = append(got, events[0].Position)
		}
		require.Equal(t, c.want, got, "%+v", c.region)
		require.Equal(t, st.Head(), reader.Position(), "what is hidden at the end of the log is passed, too")
	}
}
