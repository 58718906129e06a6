package cursor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// oneByOne is a worker that has read ahead: it handled events 1 to 3 of ten, each alone.
func oneByOne(t *testing.T, w cursor.Worker) (*cursor.Runner, *[]store.Position) {
	t.Helper()
	st := open(t)
	keyed(t, st, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	var handled []store.Position
	w.BatchSize = 1
	w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		handled = append(handled, at(b.Events)...)
		return cursor.Continue, nil
	}
	r := runner(t, st, w)
	for range 3 {
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
	}
	require.Equal(t, []store.Position{1, 2, 3}, handled)
	handled = nil
	return r, &handled
}

func TestWhatWasReadAheadIsForgottenWhereTheWorkerIsMoved(t *testing.T) {
	by := checkpoint.Request{Reason: "test", By: "test"}
	for name, c := range map[string]struct {
		change checkpoint.Change
		want   []store.Position
	}{
		"rewind": {checkpoint.Rewind{To: 1}, []store.Position{2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"skip":   {checkpoint.SkipTo{To: 8}, []store.Position{9, 10}},
		"reset":  {checkpoint.Reset{}, []store.Position{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		r, handled := oneByOne(t, cursor.Worker{Region: orders})
		_, err := r.Apply(t.Context(), c.change, by)
		require.NoError(t, err, name)
		drain(t, r)
		require.Equal(t, c.want, *handled, name)
	}
}

// The position stays, so that only the region says that what was read is of no use any more.
func TestWhatWasReadAheadIsForgottenWhereTheRegionChanges(t *testing.T) {
	r, handled := oneByOne(t, cursor.Worker{Region: orders})
	_, err := r.Apply(t.Context(), checkpoint.Rebind{Region: store.Region{Entity: "order:e"}}, checkpoint.Request{Reason: "test", By: "test"})
	require.NoError(t, err)
	drain(t, r)
	require.Equal(t, []store.Position{5}, *handled)
}

func TestAStepReadsNoFurtherThanItIsAllowedThoughItHasReadAhead(t *testing.T) {
	r, handled := oneByOne(t, cursor.Worker{Region: orders})
	for range 4 {
		_, err := r.Step(t.Context(), 5, 0)
		require.NoError(t, err)
	}
	require.Equal(t, []store.Position{4, 5}, *handled)
	drain(t, r)
	require.Equal(t, []store.Position{4, 5, 6, 7, 8, 9, 10}, *handled)
}

func TestACheckpointOfOneEventCostsFewAllocations(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	fill(t, st, 3000, 0)
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 1, Handle: nothing})
	step := func() {
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		_ = r.Progress()
	}
	step()
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = r.Progress() }))
	most := 7.0
	if thinned > 1 { // the race detector has pools lose a part of what is in them
		most = 10
	}
	require.LessOrEqual(t, testing.AllocsPerRun(1000, step), most, "4 where no pool is emptied meanwhile")
}
