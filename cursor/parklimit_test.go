package cursor_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// A step says that there is no room only where it can handle nothing: a replay makes room.
func TestAStepReplaysWhereThereIsNoRoomToHoldMore(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		keyed(t, st, slices.Repeat([]string{"bad"}, 30)...)
		ill := true
		r := runner(t, st, cursor.Worker{
			Region: orders, BatchSize: 2, MaxParked: 8, Lanes: lanes,
			Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
				if ill {
					return cursor.Continue, cursor.FailedAt(0, errBroken)
				}
				return reactAll(ctx, b)
			},
		})
		park(t, r, 1)
		var full *cursor.RunnerError
		for full == nil {
			_, err := r.Step(t.Context(), 0, 0)
			if err != nil {
				require.ErrorAs(t, err, &full)
			}
		}
		require.ErrorIs(t, full, cursor.ErrParkLimit)
		require.Equal(t, store.Position(9), full.Event)
		require.Equal(t, 8, r.Progress().Parked)
		ill = false
		_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		drain(t, r)
		require.Equal(t, matching(t, st, orders), reactions(t, st), "in order")
	}
}
