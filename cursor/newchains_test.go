package cursor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// answer answers each order by another one, at once and later.
func answer(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i := range b.Events {
		b.Begin(i)
		b.React(i, store.At("order:1", "shop"), placed{})
		_, err := b.Schedule(i, b.Now(i).Add(time.Millisecond), store.Proposal{At: bills, Payload: overdue{}})
		if err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
	}
	return cursor.Continue, nil
}

// Causes and correlations are those of any reaction: what led to an event is found in either case.
func TestTheReactionsOfAWorkerWithNewChainsNeverGetDeeper(t *testing.T) {
	for name, newChains := range map[string]bool{"as any": false, "new": true} {
		t.Run(name, func(t *testing.T) {
			const rounds = 100
			w := newWall()
			st := openAt(t, w)
			order(t, st, 1)
			r := runner(t, st, cursor.Worker{Region: orders, Handle: answer, BatchSize: 1, NewChains: newChains})
			for range rounds {
				_, err := r.Step(t.Context(), 0, 0)
				require.NoError(t, err)
			}
			w.move(time.Second)
			require.Equal(t, rounds, ring(t, st, r))
			first, err := st.GetAt(t.Context(), 1)
			require.NoError(t, err)
			depths := []uint32{0}
			for e, err := range st.Read(t.Context(), store.Region{}, store.After(1)) {
				require.NoError(t, err)
				cause, err := st.Get(t.Context(), e.Cause)
				require.NoError(t, err)
				require.Equal(t, first.Correlation, e.Correlation)
				want := uint32(1)
				if !newChains {
					want += cause.Depth
				}
				require.Equal(t, want, e.Depth)
				depths = append(depths, e.Depth)
			}
			require.Len(t, depths, 1+2*rounds)
		})
	}
}

func TestABatchHasTheLogOfItsEvents(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	var got *store.Store
	drain(t, runner(t, st, cursor.Worker{Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		got = b.Store()
		return cursor.Continue, nil
	}}))
	require.Same(t, st, got)
	require.Nil(t, cursor.NewBatch(handmade(1), cursor.Ownership{}).Store())
}
