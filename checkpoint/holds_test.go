package checkpoint_test

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// longLog is a log of many small segments.
func longLog(t *testing.T, n int) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	for i := range n {
		placed := store.Raw{Type: "order.placed", Data: bytes.Repeat([]byte{'x'}, 4000)}
		_, err := st.Append(t.Context(), store.At("order:"+strconv.Itoa(i%3), "shop"), store.Any, placed)
		require.NoError(t, err)
	}
	return st
}

func TestEventsStayUntilEveryReaderIsDoneWithThem(t *testing.T) {
	st := longLog(t, 200)
	ctx := t.Context()
	retain := func(ignore ...string) store.RetainReport {
		report, err := store.Retain(ctx, st, checkpoint.Holds, store.RetainOptions{Before: st.Head(), Ignore: ignore})
		require.NoError(t, err)
		return report
	}
	slow, fast := acquire(t, st, "slow", bound), acquire(t, st, "fast", bound)
	require.NoError(t, move(t, st, fast, 140))
	report := retain()
	require.Zero(t, report.Segments)
	require.Equal(t, []store.Hold{
		{Kind: "checkpoint", Who: "slow", From: 1}, {Kind: "checkpoint", Who: "fast", From: 141},
	}, report.Holds)

	require.NoError(t, move(t, st, slow, 120))
	b := store.Batch{Sides: []store.SideWrite{
		checkpoint.Parked{Position: 60, Key: "a", Error: "no", Since: time.Now()}.Write("fast"),
		checkpoint.Parked{Position: 100, Key: "a", Held: true, Since: time.Now()}.Write("fast"),
	}}
	_, err := st.Commit(ctx, b)
	require.NoError(t, err)
	report = retain()
	require.Equal(t, store.Hold{Kind: "parked event of", Who: "fast", From: 60}, report.Holds[0])
	require.LessOrEqual(t, report.First, store.Position(60))
	require.Greater(t, report.First, store.Position(30))

	_, err = st.Commit(ctx, store.Batch{Sides: []store.SideWrite{checkpoint.Unpark("fast", 60), checkpoint.Unpark("fast", 100)}})
	require.NoError(t, err)
	report = retain()
	require.Equal(t, store.Hold{Kind: "checkpoint", Who: "slow", From: 121}, report.Holds[0])
	require.LessOrEqual(t, report.First, store.Position(121))
	require.Greater(t, report.First, store.Position(90))

	report = retain("slow")
	require.Equal(t, store.Hold{Kind: "checkpoint", Who: "fast", From: 141}, report.Holds[0])
	require.Greater(t, report.First, store.Position(121))

	_, err = checkpoint.Acquire(ctx, st, "slow", bound)
	var dropped *store.DroppedError
	require.ErrorAs(t, err, &dropped, "it would skip events")
	require.Equal(t, store.DroppedError{Position: 121, First: report.First}, *dropped)
	_, err = checkpoint.Apply(ctx, st, "fast", checkpoint.Rewind{To: 20}, checkpoint.Request{By: "test", Reason: "test"})
	require.ErrorIs(t, err, store.ErrDropped)
	fresh := acquire(t, st, "new", bound)
	require.Equal(t, report.First-1, fresh.Floor(), "it says where it starts")
	_, err = checkpoint.Apply(ctx, st, "slow", checkpoint.Reset{}, checkpoint.Request{By: "test", Reason: "test"})
	require.NoError(t, err)
	acquire(t, st, "slow", bound)
}
