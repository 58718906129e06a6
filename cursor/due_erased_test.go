package cursor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Until it was written an event was a side value, named after the one that it is a reaction to.
func TestAnErasedEventThatHadBeenScheduledLeavesNothingOfThat(t *testing.T) {
	w, dir := newWall(), t.TempDir()
	st, err := store.Open(dir, store.Options{Clock: w.now, SegmentBytes: 64 << 10})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	order(t, st, 10, 4711, 20)
	r := runner(t, st, reminding())
	drain(t, r)
	for st.Stats().Segments < 3 { // what it was lies in another one than what it is
		_, err := st.Append(t.Context(), store.At("noise", "shop"), store.Any, store.Raw{Type: "noise", Data: make([]byte, 8<<10)})
		require.NoError(t, err)
	}
	w.move(10 * time.Minute)
	require.Equal(t, 1, ring(t, st, r))
	w.move(4711 * time.Minute)
	require.Equal(t, 2, ring(t, st, r))
	require.Equal(t, []int{10, 20, 4711}, reminded(t, st))

	require.Equal(t, 2, strings.Count(inFiles(t, dir), `{"Order":4711}`), "as it was scheduled, and as it was written")
	forget(t, st, bills.Entity)
	require.NotContains(t, inFiles(t, dir), `{"Order":4711}`)
	require.Zero(t, cursor.Due(r))
}

// An erasure may leave a worker something to do, which it learns of whether it runs or not.
func TestAWorkerWritesWhatAnErasureHasScheduledForIt(t *testing.T) {
	for _, runs := range []bool{true, false} {
		st := open(t)
		fill(t, st, 2, 0)
		r := runner(t, st, cursor.Worker{Region: orders, Handle: nothing})
		drain(t, r)
		require.Zero(t, cursor.Due(r))
		_, err := store.Erase(t.Context(), st, store.Erasure{
			Entity: "order:1", Reason: "asked for", By: "an officer",
			Sides: func(ctx context.Context, erased func(store.Position) bool) ([]store.SideWrite, error) {
				sides, err := checkpoint.ErasedSides(st)(ctx, erased)
				e, bad := st.GetAt(ctx, 2)
				require.NoError(t, bad)
				if _, before := e.Erased(); before {
					return sides, err
				}
				due, bad := cursor.Remind("reserve", st.Now(), &e, store.Proposal{At: bills, Payload: overdue{Order: 1}})
				return append(sides, due), errors.Join(err, bad)
			},
		})
		require.NoError(t, err)
		if !runs {
			r = runner(t, st, cursor.Worker{Region: orders, Handle: nothing})
		}
		require.Equal(t, 1, ring(t, st, r))
		require.Equal(t, []int{1}, reminded(t, st))
		require.Zero(t, cursor.Due(r))
	}
}
