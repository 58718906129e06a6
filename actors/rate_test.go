package actors_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func TestAWorkerThatWaitsForItsRateIsThrottledAndNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := reacting("w")
		w.Rate = 0.001
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 3)
		time.Sleep(16 * time.Minute)
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Throttled, s.State)
		require.NoError(t, s.Reason)
		require.False(t, s.Stalled)
		require.Equal(t, 2, s.Lag, "they wait all the same")
		time.Sleep(time.Hour)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		requireExactlyOnce(t, st, "w")
		require.NoError(t, sys.Stop(t.Context()))
	})
}

func TestARateHoldsOverLanesAndAHandlerThatTakesItsTime(t *testing.T) {
	for _, lanes := range []int{0, 8} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			began := make(chan time.Time, 100)
			w := handling("w", func(_ context.Context, b *cursor.Batch) error {
				for range b.Events {
					began <- time.Now()
				}
				time.Sleep(100 * time.Millisecond)
				return nil
			})
			w.Rate, w.Lanes = 5, lanes
			sys := start(t, st, w)
			receipt := appendInputs(t, st, 21)
			require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
			require.NoError(t, sys.Stop(t.Context()))
			require.Len(t, began, 21)
			first := <-began
			var last time.Time
			for len(began) > 0 {
				last = <-began
			}
			require.InDelta(t, 4*time.Second, last.Sub(first), float64(time.Millisecond))
		})
	}
}

func TestARateOutsideOfItsRangeFailsStart(t *testing.T) {
	for _, bad := range []float64{-1, 1e-7, 1e7, math.NaN(), math.Inf(1)} {
		w := reacting("w")
		w.Rate = bad
		_, err := actors.Start(t.Context(), memory(t, store.Options{}), actors.Options{}, tree(w))
		require.ErrorIs(t, err, cursor.ErrWorker)
		require.ErrorContains(t, err, "Rate")
	}
}
