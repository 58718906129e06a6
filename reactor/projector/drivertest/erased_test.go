package drivertest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

func erase(t *testing.T, st *store.Store, entity string) {
	t.Helper()
	_, err := store.Erase(t.Context(), st, store.Erasure{
		Entity: entity, Reason: "asked for", By: "an officer", Sides: checkpoint.ErasedSides(st),
	})
	require.NoError(t, err)
}

// An erased event that is replayed reaches no handler. The tables know that it is done anyway,
// or each start would go back to it.
func TestAParkedEventThatWasErasedIsDoneInTheTables(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12) // positions 2 to 13; order:2 has 4, 8 and 12
	h, _ := broken(4)
	p := totals(db, h)
	r := newRunner(t, st, p)
	stepParking(t, r)
	erase(t, st, "order:2")
	replayAll(t, r)
	requireExact(t, st, db, 4, 8, 12)
	require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
	appendOrders(t, st, 4)
	erase(t, st, "order:1") // those that are still to come, too
	stepAll(t, newRunner(t, st, p))
	require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
}

// The audit event of one that was skipped is erased with it.
func TestAProjectorStartsThoughWhatIsSaidOfASkippedEventIsErased(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	h, _ := broken(4)
	p := totals(db, h)
	r := newRunner(t, st, p)
	stepParking(t, r)
	older := copyOf(t, db)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{Position: 4}, checkpoint.Request{})
	require.NoError(t, err)
	_, err = r.Step(t.Context(), 0, 0)
	require.Error(t, err)
	require.NoError(t, r.Settle(4, supervision.Verdict{Action: supervision.ActionSkip, Reason: errBroken, Attempt: 1}))
	stepAll(t, r)
	requireExact(t, st, db, 4)
	erase(t, st, "order:2")
	older.restore(t, db)
	stepAll(t, newRunner(t, st, p))
	require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
}

// A row before the first event of the log is no outage that ends.
func TestAProjectorHaltsWhoseRowLiesBeforeTheFirstEvent(t *testing.T) {
	db := newDatabase(t)
	st, err := storetest.Open(store.Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	p := totals(db, &handlers{})
	appendOrders(t, st, 12)
	finish(t, st, p)
	for range 100 {
		_, err := st.Append(t.Context(), store.At("noise", "shop"), store.Any,
			store.Raw{Type: "noise.made", Data: bytes.Repeat([]byte{'x'}, 4000)})
		require.NoError(t, err)
	}
	report, err := store.Retain(t.Context(), st, nil, store.RetainOptions{Before: st.Head()})
	require.NoError(t, err)
	require.Positive(t, report.Segments)
	_, err = checkpoint.Apply(t.Context(), st, "totals", checkpoint.Reset{}, checkpoint.Request{})
	require.NoError(t, err, "so that the row alone lies before")
	w, err := p.CursorWorker()
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, store.ErrDropped)
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionHalt, d.Action)
}
