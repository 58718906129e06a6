package cursor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// readsUpTo is a worker of a build that reads the schema versions of orders up to one.
func readsUpTo(newest uint16) cursor.Worker {
	return cursor.Worker{
		Region: orders, SchemaVersions: map[string]uint16{"order.placed": newest},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				if e.SchemaVersion > newest {
					return cursor.Continue, cursor.FailedAt(i, supervision.Park(errBroken))
				}
				react(b, i)
			}
			return cursor.Continue, nil
		},
	}
}

func TestABatchHandlerSaysWhichSchemaVersionsItReads(t *testing.T) {
	st := open(t)
	_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any,
		store.Raw{Type: "order.placed", SchemaVersion: 3, Data: []byte(`{}`)})
	require.NoError(t, err)
	keyed(t, st, "1", "2")
	park(t, runner(t, st, readsUpTo(1)), 1)
	require.Equal(t, checkpoint.Schema{Kind: "order.placed", Version: 3}, parkedEntries(t, st)[0].Newer)

	for _, older := range []cursor.Worker{readsUpTo(1), readsUpTo(2), {Region: orders, Handle: reactAll}} {
		drain(t, runner(t, st, older))
		require.Len(t, parkedEntries(t, st), 2, "it is not known to read that")
	}
	drain(t, runner(t, st, readsUpTo(3)))
	require.Empty(t, parkedEntries(t, st))
	require.ElementsMatch(t, []store.Position{1, 2, 3}, reactions(t, st))
}

func parkedEntries(t *testing.T, st *store.Store) (all []checkpoint.Parked) {
	t.Helper()
	for entry, err := range checkpoint.ParkedEvents(st, "reserve") {
		require.NoError(t, err)
		all = append(all, entry)
	}
	return all
}
