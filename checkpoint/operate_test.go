package checkpoint_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func TestEveryOperatorCallFencesTheReaderThatRuns(t *testing.T) {
	for name, call := range map[string]func(context.Context, *store.Store) error{
		"reset": func(ctx context.Context, st *store.Store) error { return apply(ctx, st, "index", checkpoint.Reset{}) },
		"rewind": func(ctx context.Context, st *store.Store) error {
			return apply(ctx, st, "index", checkpoint.Rewind{To: 2})
		},
		"rebind": func(ctx context.Context, st *store.Store) error {
			return apply(ctx, st, "index", checkpoint.Rebind{Region: store.Region{}})
		},
		"delete": func(ctx context.Context, st *store.Store) error { return apply(ctx, st, "index", checkpoint.Delete{}) },
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			fill(t, st, 5)
			l := acquire(t, st, "index", bound)
			require.NoError(t, move(t, st, l, 3))
			require.NoError(t, call(t.Context(), st))
			require.ErrorIs(t, move(t, st, l, 4), checkpoint.ErrFenced)
			if info, err := checkpoint.Inspect(st, "index"); err == nil {
				require.Equal(t, uint64(2), info.Record.Epoch)
			}
		})
	}
}

func TestOperatorCallsWantACheckpoint(t *testing.T) {
	st := open(t)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Reset{}), checkpoint.ErrNotFound)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rewind{}), checkpoint.ErrNotFound)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: orders}), checkpoint.ErrNotFound)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Delete{}), checkpoint.ErrNotFound)
}

func TestRewindGoesOnlyBackwardsAndNeverBeyondTheHead(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 3))

	require.Equal(t, &checkpoint.RewindError{ID: "index", Position: 3, To: 4},
		apply(t.Context(), st, "index", checkpoint.Rewind{To: 4}))
	require.Equal(t, uint64(1), inspect(t, st, "index").Record.Epoch, "nothing was written")

	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rewind{To: 2}))
	r := inspect(t, st, "index").Record
	require.Equal(t, store.Position(2), r.Scanned)
	require.Equal(t, store.Position(2), r.Delivered)

	r.Scanned = 100
	plant(t, st, "index", r.Encode())
	require.Equal(t, &checkpoint.AheadError{ID: "index", Position: 50, Head: st.Head()},
		apply(t.Context(), st, "index", checkpoint.Rewind{To: 50}))
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rewind{To: 5}), "a position that is ahead can be brought back")
	acquire(t, st, "index", bound)
}

func TestResetBeginsAgainAlsoInAForeignHistory(t *testing.T) {
	st := open(t)
	foreign := checkpoint.Record{
		Origin: store.Origin{Store: uuid.New()}, Region: orders.Identity(), Epoch: 4, Scanned: 77, Delivered: 70,
	}
	plant(t, st, "index", foreign.Encode())
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rewind{}), store.ErrForeignHistory)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: orders}), store.ErrForeignHistory)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Reset{}))
	require.Equal(t, checkpoint.Record{Origin: st.Origin(), Region: orders.Identity(), Epoch: 5},
		inspect(t, st, "index").Record)
	acquire(t, st, "index", bound)
}

func TestRebindKeepsThePosition(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 3))
	other := checkpoint.Binding{Region: store.Region{Scope: "shop"}, Kinds: []string{"b", "a"}}
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: other.Region, Kinds: []string{""}}), store.ErrInvalid)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: other.Region, Kinds: other.Kinds}))
	require.Equal(t, store.Position(3), acquire(t, st, "index", other).Record().Scanned)
	_, err := checkpoint.Acquire(t.Context(), st, "index", bound)
	require.ErrorIs(t, err, checkpoint.ErrRegion)
}

func TestADeletedCheckpointBeginsAtItsStart(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 3))
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Delete{}))
	_, err := checkpoint.Inspect(st, "index")
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
	r := acquire(t, st, "index", bound).Record()
	require.Equal(t, store.Position(0), r.Scanned)
	require.Equal(t, uint64(1), r.Epoch)
}

func TestACorruptCheckpointIsListedWithItsErrorAndCanOnlyBeDeleted(t *testing.T) {
	st := open(t)
	acquire(t, st, "a", bound)
	plant(t, st, "b", []byte("rubbish"))
	acquire(t, st, "c", bound)

	var ids []checkpoint.ID
	for info, err := range checkpoint.List(st) {
		ids = append(ids, info.ID)
		require.NotZero(t, info.Revision)
		if info.ID == "b" {
			require.ErrorIs(t, err, checkpoint.ErrCorrupt)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, inspect(t, st, info.ID), info)
	}
	require.Equal(t, []checkpoint.ID{"a", "b", "c"}, ids)
	for _, err := range checkpoint.List(st) {
		require.NoError(t, err)
		break // may be left at any time
	}

	require.ErrorIs(t, apply(t.Context(), st, "b", checkpoint.Reset{}), checkpoint.ErrCorrupt)
	require.NoError(t, apply(t.Context(), st, "b", checkpoint.Delete{}))
	acquire(t, st, "b", bound)
}

func TestAnEndedContextWritesNothing(t *testing.T) {
	st := open(t)
	before := acquire(t, st, "index", bound).Record()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := checkpoint.Acquire(ctx, st, "index", bound)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, apply(ctx, st, "index", checkpoint.Reset{}), context.Canceled)
	require.ErrorIs(t, apply(ctx, st, "index", checkpoint.Delete{}), context.Canceled)
	require.Equal(t, before, inspect(t, st, "index").Record)
}
