package cursor_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// keyed appends one order of each of the keys, in one commit.
func keyed(t tb, st *store.Store, keys ...string) {
	t.Helper()
	var b store.Batch
	for i, key := range keys {
		b.Events = append(b.Events, store.Proposal{At: store.At("order:"+key, "shop"), Payload: placed{N: i}})
	}
	_, err := st.Commit(t.Context(), b)
	require.NoError(t, err)
}

// brokenAt is reactAll, but fails at one event.
func brokenAt(bad store.Position) cursor.Handler {
	return func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			b.Begin(i)
			if e.Position == bad {
				return cursor.Continue, cursor.Failed(i, errBroken)
			}
			react(b, i)
		}
		return cursor.Continue, nil
	}
}

// failing takes a step that fails at an event.
func failing(t tb, r *cursor.Runner) {
	t.Helper()
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
}

// park takes a step that fails at an event, and sets that aside.
func park(t tb, r *cursor.Runner, at store.Position) {
	t.Helper()
	failing(t, r)
	require.NoError(t, r.Park(at, errBroken, 3))
	_, err := r.Commit(t.Context())
	require.NoError(t, err)
}

func TestParkingInALongBatchLeavesACheckpointThatCanBeRead(t *testing.T) {
	st := open(t)
	keys := []string{"bad"}
	for i := range 6000 {
		keys = append(keys, fmt.Sprint(i))
	}
	keyed(t, st, append(keys, "bad")...)
	w := cursor.Worker{Region: orders, BatchSize: cursor.MaxBatchSize, Handle: brokenAt(1)}
	park(t, runner(t, st, w), 1)
	require.Len(t, record(t, st, "reserve").Pending, 6000, "the last one is held, and so done")
	drain(t, runner(t, st, w))
	require.Len(t, reactions(t, st), 6000)
}
