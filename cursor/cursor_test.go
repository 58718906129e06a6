package cursor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ cursor.Canal = (*cursor.Cursor)(nil)

func openCursor(t tb, st *store.Store, r store.Region, o cursor.Options) *cursor.Cursor {
	t.Helper()
	c, err := cursor.Open(t.Context(), st, r, o)
	require.NoError(t, err)
	return c
}

func TestEveryShapeDeliversTheSameEventsOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st, err := storetest.Open(store.Options{})
		require.NoError(t, err)
		defer st.Close()
		n := rapid.IntRange(0, 60).Draw(t, "events")
		for range n {
			entity := rapid.SampledFrom([]string{"order", "order:1", "order:2", "orders", "stock:1"}).Draw(t, "entity")
			payload := rapid.SampledFrom([]store.Payload{placed{}, cancelled{}}).Draw(t, "payload")
			_, err := st.Append(t.Context(), store.At(entity, "shop"), store.Any, payload)
			require.NoError(t, err)
		}
		region := rapid.SampledFrom([]store.Region{
			{}, orders, {Kinds: []string{"order.placed"}}, {Entity: "order:1", Category: "order"}, {Entity: "none"}, {MinVersion: 3},
		}).Draw(t, "region")
		start := store.Position(rapid.IntRange(0, n).Draw(t, "start"))
		var want []store.Position
		for _, p := range matching(t, st, region) {
			if p > start {
				want = append(want, p)
			}
		}

		shapes := []struct {
			name string
			pull func(*rapid.T, *cursor.Cursor) ([]store.Event, error) // nothing at the end of the log
		}{{"All", someOfAll}, {"Poll", poll}, {"PollBatch", pollBatch}, {"PullBatch", pullBatch}}
		for _, shape := range shapes {
			c := openCursor(t, st, region, cursor.Options{Start: store.After(start)})
			var got []store.Position
			for {
				events, err := shape.pull(t, c)
				require.NoError(t, err)
				if len(events) == 0 {
					break
				}
				got = append(got, at(events)...)
			}
			require.Equal(t, want, got, shape.name)
			require.Equal(t, st.Head(), c.Position(), shape.name)
		}
	})
}

// someOfAll leaves the loop over All after any event.
func someOfAll(t *rapid.T, c *cursor.Cursor) ([]store.Event, error) {
	var list []store.Event
	for e, err := range c.All(t.Context()) {
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if rapid.Bool().Draw(t, "leave") {
			break
		}
	}
	return list, nil
}

func poll(t *rapid.T, c *cursor.Cursor) ([]store.Event, error) {
	e, ok, err := c.Poll(t.Context())
	if !ok {
		return nil, err
	}
	return []store.Event{e}, err
}

func pollBatch(t *rapid.T, c *cursor.Cursor) ([]store.Event, error) {
	return c.PollBatch(t.Context(), rapid.IntRange(1, 20).Draw(t, "limit"))
}

func pullBatch(t *rapid.T, c *cursor.Cursor) ([]store.Event, error) {
	return c.PullBatch(t.Context(), rapid.IntRange(1, 20).Draw(t, "limit"), 0)
}

func TestLimitZeroIsEmptyAndMovesNothing(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	c := openCursor(t, st, orders, cursor.Options{})
	for _, pull := range []func() ([]store.Event, error){
		func() ([]store.Event, error) { return c.PollBatch(t.Context(), 0) },
		func() ([]store.Event, error) { return c.PullBatch(t.Context(), 0, time.Hour) },
	} {
		events, err := pull()
		require.NoError(t, err)
		require.Empty(t, events)
		require.Equal(t, store.Position(0), c.Position())
	}
}

func TestANegativeLimitIsRefused(t *testing.T) {
	c := openCursor(t, open(t), orders, cursor.Options{})
	want := &store.InvalidError{Field: "limit", Rule: "must not be negative", Value: -1}
	_, err := c.PollBatch(t.Context(), -1)
	require.Equal(t, want, err)
	_, err = c.PullBatch(t.Context(), -1, time.Hour)
	require.Equal(t, want, err)
}

func TestTheEndOfTheLogIsNotSticky(t *testing.T) {
	st := open(t)
	c := openCursor(t, st, orders, cursor.Options{})
	for i := range 3 {
		_, ok, err := c.Poll(t.Context())
		require.NoError(t, err)
		require.False(t, ok)
		fill(t, st, 1, 1)
		e, ok, err := c.Poll(t.Context())
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, store.Position(2*i+1), e.Position)
	}
}

func TestAllEndsAtTheHeadAsItWasAtTheBeginning(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	c := openCursor(t, st, orders, cursor.Options{})
	n := 0
	for _, err := range c.All(t.Context()) {
		require.NoError(t, err)
		fill(t, st, 1, 0) // would never end otherwise
		n++
	}
	require.Equal(t, 3, n)
	require.Equal(t, store.Position(3), c.Position())
}

func TestACommitInTheLoopCoversTheEventInHand(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 1)
	c := openCursor(t, st, orders, cursor.Options{ID: "index"})
	for e, err := range c.All(t.Context()) {
		require.NoError(t, err)
		require.NoError(t, c.Commit(t.Context()))
		if e.Position == 5 {
			break
		}
	}
	again := openCursor(t, st, orders, cursor.Options{ID: "index"})
	e, ok, err := again.Poll(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, store.Position(7), e.Position)
}

func TestAfterARollbackInTheLoopThePassContinuesFromTheCommittedPosition(t *testing.T) {
	st := open(t)
	fill(t, st, 4, 0)
	c := openCursor(t, st, orders, cursor.Options{})
	var got []store.Position
	for e, err := range c.All(t.Context()) {
		require.NoError(t, err)
		got = append(got, e.Position)
		switch len(got) {
		case 2:
			require.NoError(t, c.Commit(t.Context()))
		case 4:
			c.Rollback()
		}
	}
	require.Equal(t, []store.Position{1, 2, 3, 4, 3, 4}, got)
}

func TestAPullThatIsOverIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		fill(t, st, 1, 0)
		c := openCursor(t, st, stocks, cursor.Options{})
		began := time.Now()
		events, err := c.PullBatch(t.Context(), 10, time.Hour)
		require.NoError(t, err)
		require.Empty(t, events)
		require.Equal(t, time.Hour, time.Since(began))
		require.Equal(t, store.Position(1), c.Position())
	})
}

func TestAPullWakesForWhatMatchesAndSleepsOnForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		c := openCursor(t, st, orders, cursor.Options{})
		done := make(chan []store.Event)
		go func() {
			events, err := c.PullBatch(t.Context(), 10, time.Hour)
			if err != nil {
				events = nil
			}
			done <- events
		}()
		_, err := st.Append(t.Context(), store.At("noise", "shop"), store.Any, placed{})
		require.NoError(t, err)
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("woke for an event outside the region")
		default:
		}
		fill(t, st, 1, 0)
		require.Equal(t, []store.Position{2}, at(<-done))
	})
}

func TestAnEndedContextIsAnErrorOfThePull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCursor(t, open(t), orders, cursor.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.PullBatch(ctx, 10, time.Hour)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAClosedStoreIsATerminalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		fill(t, st, 1, 0)
		c := openCursor(t, st, orders, cursor.Options{ID: "index"})
		_, _, err := c.Poll(t.Context())
		require.NoError(t, err)
		done := make(chan error)
		go func() {
			_, err := c.PullBatch(t.Context(), 10, time.Hour)
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, st.Close())
		require.ErrorIs(t, <-done, store.ErrClosed)
		for range 2 {
			_, err = c.PullBatch(t.Context(), 10, time.Hour)
			require.ErrorIs(t, err, store.ErrClosed)
			_, err = c.PullBatch(t.Context(), 10, 0)
			require.ErrorIs(t, err, store.ErrClosed, "although there is nothing to read")
		}
		require.ErrorIs(t, c.Commit(t.Context()), store.ErrClosed)
		_, err = cursor.Open(t.Context(), st, orders, cursor.Options{})
		require.ErrorIs(t, err, store.ErrClosed)
	})
}

func TestAnErrorEndsAll(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	c := openCursor(t, st, orders, cursor.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range c.All(ctx) {
		require.ErrorIs(t, err, context.Canceled)
		n++
	}
	require.Equal(t, 1, n)
	require.Equal(t, store.Position(0), c.Position())
}

func TestRollbackGoesBackToTheCommittedPosition(t *testing.T) {
	for _, id := range []checkpoint.ID{"", "index"} {
		t.Run(fmt.Sprintf("id %q", id), func(t *testing.T) {
			st := open(t)
			fill(t, st, 6, 0)
			c := openCursor(t, st, orders, cursor.Options{ID: id, Start: store.After(1)})
			poll := func() []store.Position {
				events, err := c.PollBatch(t.Context(), 2)
				require.NoError(t, err)
				return at(events)
			}
			require.Equal(t, []store.Position{2, 3}, poll())
			c.Rollback()
			require.Equal(t, []store.Position{2, 3}, poll())
			require.NoError(t, c.Commit(t.Context()))
			require.Equal(t, []store.Position{4, 5}, poll())
			c.Rollback()
			require.Equal(t, store.Position(3), c.Position())
			require.Equal(t, []store.Position{4, 5}, poll())
		})
	}
}

func TestACursorResumesAtItsCheckpointAndFencesTheOneBefore(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 3)
	old := openCursor(t, st, orders, cursor.Options{ID: "index", SyncCheckpoints: true})
	_, err := old.PollBatch(t.Context(), 2)
	require.NoError(t, err)
	require.NoError(t, old.Commit(t.Context()))
	require.Equal(t, old.Position(), record(t, st, "index").Scanned)
	_, err = old.PollBatch(t.Context(), 1)
	require.NoError(t, err)

	young := openCursor(t, st, orders, cursor.Options{ID: "index"})
	events, err := young.PollBatch(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []store.Position{9}, at(events))
	require.ErrorIs(t, old.Commit(t.Context()), checkpoint.ErrFenced)
	require.NoError(t, young.Commit(t.Context()))
}

func TestACommitWithNothingNewWritesNothing(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	c := openCursor(t, st, orders, cursor.Options{ID: "index"})
	_, _, err := c.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Commit(t.Context()))
	before, err := checkpoint.Inspect(st, "index")
	require.NoError(t, err)
	require.NoError(t, c.Commit(t.Context()))
	after, err := checkpoint.Inspect(st, "index")
	require.NoError(t, err)
	require.Equal(t, before.Revision, after.Revision)
}

func TestABadRegionOrIDIsRefused(t *testing.T) {
	st := open(t)
	_, err := cursor.Open(t.Context(), st, store.Region{Kinds: []string{"a"}, Category: "b"}, cursor.Options{})
	require.ErrorIs(t, err, store.ErrInvalid)
	_, err = cursor.Open(t.Context(), st, orders, cursor.Options{ID: "a/b"})
	var invalid *store.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "checkpoint id", invalid.Field)
}
