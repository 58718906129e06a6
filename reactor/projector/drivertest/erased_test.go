package drivertest

import (
	"bytes"
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
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

// An event that was erased before it was handled has a handler of its own, in the transaction of
// the others: in its turn, and as a replay of what was parked.
func TestAProjectorIsToldOfErasedEvents(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12) // positions 2 to 13; order:2 has 4, 8 and 12
	h, _ := broken(4)
	told := func(ctx context.Context, tx *sql.Tx, e reactor.Event[paid]) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO handled (position) VALUES ($1)", -int64(e.Position))
		return err
	}
	p := projector.New("totals", db, projector.OnErased(told), projector.On(h.paid), projector.On(h.refunded))
	erase(t, st, "order:1") // 3, 7 and 11; refunds, as 4 and 7, have no such handler
	r := newRunner(t, st, p)
	stepParking(t, r)
	erase(t, st, "order:2")
	replayAll(t, r)
	require.Equal(t, "-12 -11 -8 -3 2 5 6 9 10 13", column(t, db, "SELECT position FROM handled ORDER BY position"))
	require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
	stepAll(t, newRunner(t, st, p))
}

// A projector of erasures deletes the rows of events that were handled long ago.
func TestAProjectorOfErasuresDeletesRows(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	finish(t, st, totals(db, &handlers{}))
	forget := projector.New("forget", db, projector.On(func(ctx context.Context, tx *sql.Tx, e reactor.Event[store.ErasureAudit]) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM totals WHERE entity = $1", e.Body.Entity)
		return err
	}))
	forget.Region.Scope = store.ReservedScope
	erase(t, st, "order:2")
	finish(t, st, forget)
	require.Equal(t, "order:0 order:1 order:3", column(t, db, "SELECT entity FROM totals ORDER BY entity"))
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
