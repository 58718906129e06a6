package cursor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func subscribed(t *testing.T, region store.Region, window int) (*store.Store, *cursor.Subscription) {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	happen(t, st, "before", 3)
	s, err := cursor.Subscribe(t.Context(), st, region, window)
	require.NoError(t, err)
	return st, s
}

func happen(t *testing.T, st *store.Store, entity string, times int) {
	t.Helper()
	for range times {
		_, err := st.Append(t.Context(), store.At(entity, "test"), store.Any, store.Raw{Type: "x", Data: []byte("1")})
		require.NoError(t, err)
	}
}

func pulled(t *testing.T, s *cursor.Subscription, limit int) (positions []store.Position) {
	t.Helper()
	events, err := s.PullBatch(t.Context(), limit, 0)
	require.NoError(t, err)
	for _, e := range events {
		positions = append(positions, e.Position)
	}
	return positions
}

func TestASubscriptionBeginsNowAndLosesNothingWithinItsWindow(t *testing.T) {
	st, s := subscribed(t, store.Region{}, 5)
	require.Empty(t, pulled(t, s, 10))
	happen(t, st, "a", 5)
	require.Equal(t, []store.Position{4, 5}, pulled(t, s, 2))
	happen(t, st, "a", 2)
	require.Equal(t, []store.Position{6, 7, 8, 9, 10}, pulled(t, s, 10))
	require.Zero(t, s.Lost())
}

func TestASlowSubscriptionLeavesOutTheOldestAndCountsThem(t *testing.T) {
	st, s := subscribed(t, store.Region{Entity: "a"}, 4)
	happen(t, st, "a", 6) // 4..9
	happen(t, st, "b", 2) // 10, 11
	require.Empty(t, pulled(t, s, 0), "a limit of 0 moves nothing")
	require.Zero(t, s.Lost())
	require.Equal(t, []store.Position{8, 9}, pulled(t, s, 10))
	require.Equal(t, uint64(4), s.Lost(), "what does not match is not lost")
	happen(t, st, "b", 100)
	require.Empty(t, pulled(t, s, 10))
	require.Equal(t, uint64(4), s.Lost())
}

func TestASubscriptionWaitsForNewsAndEndsWithTheStore(t *testing.T) {
	st, s := subscribed(t, store.Region{}, 0)
	got := make(chan []store.Event)
	go func() {
		events, _ := s.PullBatch(context.WithoutCancel(t.Context()), 10, time.Minute)
		got <- events
	}()
	happen(t, st, "a", 1)
	require.Len(t, <-got, 1)
	require.NoError(t, st.Close())
	_, err := s.PullBatch(t.Context(), 10, time.Minute)
	require.ErrorIs(t, err, store.ErrClosed)
}

func TestASubscriptionRefusesBadInput(t *testing.T) {
	st, s := subscribed(t, store.Region{}, 0)
	var invalid *store.InvalidError
	for _, c := range []struct {
		call func() error
		want store.InvalidError
	}{
		{func() error {
			_, err := cursor.Subscribe(t.Context(), st, store.Region{}, -1)
			return err
		}, store.InvalidError{Field: "window", Rule: "must not be negative", Value: -1}},
		{func() error {
			_, err := cursor.Subscribe(t.Context(), st, store.Region{Entity: "a\x00"}, 0)
			return err
		}, store.InvalidError{Field: "region entity", Rule: "must not hold control characters", Value: "a\x00"}},
		{func() error {
			_, err := s.PullBatch(t.Context(), -1, 0)
			return err
		}, store.InvalidError{Field: "limit", Rule: "must not be negative", Value: -1}},
	} {
		require.ErrorAs(t, c.call(), &invalid)
		require.Equal(t, c.want, *invalid)
	}
}
