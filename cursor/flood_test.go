package cursor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// flooded is a worker that handles what it has scheduled, some events at a time, and calls handled
// with the number of each order.
func flooded(t *testing.T, w *wall, overdues int, handled func(order int, reminder bool)) (*store.Store, *cursor.Runner) {
	t.Helper()
	st := openAt(t, w)
	worker := reminding()
	worker.Region, worker.BatchSize = store.Region{Scope: "shop"}, 16
	worker.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			var body struct{ N, Order int }
			if err := e.Decode(&body); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
			handled(body.N+body.Order, e.Kind == overdue{}.Kind())
			if e.Kind == (overdue{}).Kind() || body.N > 1 {
				continue
			}
			_, err := b.Schedule(i, b.Now(i).Add(time.Minute), store.Proposal{At: bills, Payload: overdue{Order: 1}})
			if err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
		}
		return cursor.Continue, nil
	}
	r := runner(t, st, worker)
	for range overdues {
		order(t, st, 1)
	}
	drain(t, r)
	w.move(time.Hour)
	return st, r
}

// However many events are overdue, the log has some of them before what comes then.
func TestAnInputWaitsForSomeOfManyOverdueEventsNotForAll(t *testing.T) {
	const overdues, late = 600, 2
	reminders, before, came := 0, 0, -1
	w := newWall()
	st, r := flooded(t, w, overdues, func(order int, reminder bool) {
		if reminder {
			reminders++
		}
		if order == late {
			came = reminders
		}
	})
	for i := 0; came < 0 || reminders < overdues; i++ {
		require.Less(t, i, 1000)
		if due := cursor.Due(r); !due.IsZero() && !due.After(st.Now()) {
			_, err := cursor.Ring(t.Context(), r, st.Now())
			require.NoError(t, err)
		}
		if i == 10 {
			before = reminders
			order(t, st, late)
		}
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
	}
	require.Less(t, came-before, 250)
	require.Equal(t, overdues, reminders)
}

// Others may wait for what a worker has scheduled that is stuck itself.
func TestEventsThatAreOverdueAreWrittenThoughTheWorkerHandlesNone(t *testing.T) {
	const overdues = 300
	w := newWall()
	st, r := flooded(t, w, overdues, func(int, bool) {})
	written := 0
	for i := 0; written < overdues; i++ {
		require.Less(t, i, 10)
		n, err := cursor.Ring(t.Context(), r, st.Now())
		require.NoError(t, err)
		if written += n; written == overdues {
			break
		}
		require.True(t, cursor.Due(r).After(st.Now()), "it would flood the log")
		w.move(100 * time.Millisecond)
		require.False(t, cursor.Due(r).After(st.Now()))
	}
	require.Zero(t, cursor.Due(r))
}
