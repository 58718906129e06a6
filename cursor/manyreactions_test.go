package cursor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// They and the audit event of a replay are one commit.
func TestAnEventWithAsManyReactionsAsThereMayBeCanBeReplayedAndOneMoreFailsItAtOnce(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b")
	many, ill := cursor.MaxReactions, true
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 2, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			for range many {
				b.React(i, store.At("stock:lamp", "shop"), store.Raw{Type: "stock.reserved", Data: []byte("1")})
			}
		}
		if ill {
			return cursor.Continue, cursor.FailedAt(0, errBroken)
		}
		return cursor.Continue, nil
	}})
	park(t, r, 1)
	ill = false
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	drain(t, r)
	require.Zero(t, r.Progress().Parked)
	n, err := st.Count(t.Context(), stocks, 0, 0, 4*many)
	require.NoError(t, err)
	require.Equal(t, 2*many, n)

	keyed(t, st, "a", "b")
	many++
	_, err = r.Step(t.Context(), 0, 0)
	var failure *cursor.HandlerError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, matching(t, st, orders)[2], failure.Event)
	require.False(t, failure.Evidence)
	var limit *store.InvalidError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, store.InvalidError{Field: "reactions", Limit: cursor.MaxReactions, Value: int64(many)}, *limit)
}
