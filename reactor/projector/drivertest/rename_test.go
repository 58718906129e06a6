package drivertest

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// renamed is totals under other names, of which the first is the present one.
func renamed(db *sql.DB, h *handlers, names ...string) *projector.Projector {
	p := projector.New(names[0], db, projector.On(h.paid), projector.On(h.refunded))
	p.Formerly = names[1:]
	return p
}

// sickAtFour are handlers that fail at position 4 until they are healed.
func sickAtFour() (h *handlers, healed *bool) {
	healed = new(bool)
	return &handlers{trouble: func(e store.Event) error {
		if e.Position == 4 && !*healed {
			return supervision.Park(errBroken)
		}
		return nil
	}}, healed
}

func TestARenamedProjectorTakesItsRowsAlong(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12) // positions 2 to 13; order:2 has 4, 8 and 12
	h, healed := sickAtFour()
	former := newRunner(t, st, totals(db, h))
	_, err := former.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, former.Settle(4, toPark(err, 1)))
	*healed = true
	stepAll(t, former)
	requireExact(t, st, db, 4, 8, 12)

	r := newRunner(t, st, renamed(db, &handlers{}, "sums", "totals"))
	require.Equal(t, "sums", column(t, db, "SELECT worker FROM penstock_position"))
	require.Equal(t, "sums sums sums", column(t, db, "SELECT worker FROM penstock_exception"))
	appendOrders(t, st, 3)
	_, err = former.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	stepAll(t, r)
	requireExact(t, st, db)

	// A copy of the database from before the rename, and another rename meanwhile.
	for _, table := range []string{"penstock_position", "penstock_exception"} {
		_, err = db.ExecContext(t.Context(), "UPDATE "+table+" SET worker = 'totals'")
		require.NoError(t, err)
	}
	r = newRunner(t, st, renamed(db, &handlers{}, "cents", "totals", "sums"))
	require.Equal(t, "cents", column(t, db, "SELECT worker FROM penstock_position"))
	appendOrders(t, st, 3)
	stepAll(t, r)
	requireExact(t, st, db)
}

func TestAnOwnerUnderAFormerNameWritesNothing(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	former := newRunner(t, st, totals(db, &handlers{}))
	r := newRunner(t, st, renamed(db, &handlers{}, "sums", "totals"))
	appendOrders(t, st, 3)
	_, err := former.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, projector.ErrForgotten, "its row is gone")
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionHalt, d.Action)
	require.Empty(t, column(t, db, "SELECT position FROM handled"), "the database refused it before the log could")
	stepAll(t, r)
	requireExact(t, st, db)
}

func TestARenameOfAProjectorIsFinishedByTheNextStartWhereverItWasCutShort(t *testing.T) {
	for _, where := range []string{"begin", "commit", "answer"} {
		t.Run(where, func(t *testing.T) {
			db, f := newFlaky(t)
			st := newStore(t)
			appendOrders(t, st, 12)
			stepAll(t, newRunner(t, st, totals(db, &handlers{})))
			w, err := renamed(db, &handlers{}, "sums", "totals").CursorWorker()
			require.NoError(t, err)
			f.fail = func(at string) bool { return at == where }
			_, err = cursor.NewRunner(t.Context(), st, w)
			require.ErrorIs(t, err, errLost)
			f.fail = nil
			_, err = checkpoint.Inspect(st, "sums")
			require.NoError(t, err, "the log has the new name")

			appendOrders(t, st, 3)
			stepAll(t, newRunner(t, st, renamed(db, &handlers{}, "sums"))) // which knows the former name from the log
			require.Equal(t, "sums", column(t, db, "SELECT worker FROM penstock_position"))
			requireExact(t, st, db)
		})
	}
}

func TestAnEventThatWasSkippedUnderAFormerNameIsNotOwedUnderTheNewOne(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	h, healed := sickAtFour()
	former := newRunner(t, st, totals(db, h))
	_, err := former.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, former.Settle(4, toPark(err, 1)))
	*healed = true
	_, err = former.Discard(t.Context(), cursor.ParkedFilter{Position: 4}, checkpoint.Request{Reason: "not needed"})
	require.NoError(t, err)
	stepAll(t, former)
	requireExact(t, st, db, 4)

	r := newRunner(t, st, renamed(db, h, "sums", "totals"))
	require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
	stepAll(t, r)
	requireExact(t, st, db, 4)
}

func TestWhatANeighbourDiscardedIsStillOwed(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	stepAll(t, newRunner(t, st, totals(db, &handlers{})))
	for _, q := range []string{ // as in an older copy, in which 8 was parked
		"DELETE FROM handled WHERE position = 8", "INSERT INTO penstock_exception (worker, position) VALUES ('totals', 8)",
	} {
		_, err := db.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	a := checkpoint.Audit{Worker: "totals:2", Position: 8}
	_, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{a.Proposal(checkpoint.AuditDiscarded)}})
	require.NoError(t, err)
	stepAll(t, newRunner(t, st, totals(db, &handlers{})))
	require.Equal(t, "8", column(t, db, "SELECT position FROM handled WHERE position = 8"))
}

func TestEffectKeysOfAProjectorOutliveARename(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	var keys []string
	route := projector.On(func(_ context.Context, _ *sql.Tx, e reactor.Event[paid]) error {
		keys = append(keys, e.EffectKey())
		return nil
	})
	appendOrders(t, st, 1)
	stepAll(t, newRunner(t, st, projector.New("totals", db, route)))
	appendOrders(t, st, 1)
	p := projector.New("sums", db, route)
	p.Formerly = []string{"totals"}
	stepAll(t, newRunner(t, st, p))
	require.Len(t, keys, 2)
	for _, key := range keys {
		require.True(t, strings.HasPrefix(key, "totals/"), key)
	}
}
