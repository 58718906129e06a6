package cursor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// waiting returns the holds of events that are come back to.
func waiting(t tb, st *store.Store) (list []store.Hold) {
	t.Helper()
	all, err := checkpoint.Holds(st, nil)
	require.NoError(t, err)
	for _, h := range all {
		if h.Kind == "waiting event of" {
			list = append(list, h)
		}
	}
	return list
}

func TestAnEventThatIsComeBackToIsHeldFromTheCommitThatMakesItDone(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 0)
	bad := store.Position(3)
	handle := func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			if err := b.Hold(i, e.Position, "for a reason"); err != nil {
				return cursor.Continue, err
			}
			if e.Position == bad {
				return cursor.Continue, cursor.FailedAt(i, errors.New("not yet"))
			}
			if e.Position == 5 {
				for p := range store.Position(4) {
					if err := b.ReleaseHold(i, p+1); err != nil {
						return cursor.Continue, err
					}
				}
			}
		}
		return cursor.Continue, nil
	}
	r := runner(t, st, stateful(handle))
	_, err := r.Step(t.Context(), 0, 0)
	require.Error(t, err)
	require.Equal(t, []store.Hold{{Kind: "waiting event of", Who: "reserve", From: 1, Note: "for a reason"}}, waiting(t, st))
	_, found, err := st.Side("needed/reserve/0000000000000003")
	require.NoError(t, err)
	require.False(t, found, "its handler has failed")
	bad = 0
	drain(t, r)
	require.Equal(t, store.Position(5), waiting(t, st)[0].From)

	req := checkpoint.Request{By: "test", Reason: "test"}
	_, err = checkpoint.Apply(t.Context(), st, "reserve", checkpoint.Rename{To: "booking"}, req)
	require.NoError(t, err)
	require.Equal(t, "booking", waiting(t, st)[0].Who)
	_, err = checkpoint.Apply(t.Context(), st, "booking", checkpoint.Reset{}, req)
	require.NoError(t, err)
	require.Empty(t, waiting(t, st))
}

func TestAWorkerWithoutStateHoldsNothing(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		require.ErrorIs(t, b.Hold(0, 1, ""), cursor.ErrStateless)
		require.ErrorIs(t, b.ReleaseHold(0, 1), cursor.ErrStateless)
		return cursor.Continue, nil
	}})
	drain(t, r)
}
