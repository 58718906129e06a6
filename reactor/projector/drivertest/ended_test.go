package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// meddling makes a projector whose handler does something to the transaction after it has written
// the event at a position.
func meddling(t *testing.T, db *sql.DB, at store.Position, meddle func(tx *sql.Tx) error) *projector.Projector {
	t.Helper()
	h := &handlers{}
	on := func(tx *sql.Tx, e store.Event, err error) error {
		if err == nil && e.Position == at {
			err = meddle(tx)
		}
		return err
	}
	return projector.New("totals", db,
		projector.On(func(ctx context.Context, tx *sql.Tx, e reactor.Event[paid]) error {
			return on(tx, e.Event, h.paid(ctx, tx, e))
		}),
		projector.On(func(ctx context.Context, tx *sql.Tx, e reactor.Event[refunded]) error {
			return on(tx, e.Event, h.refunded(ctx, tx, e))
		}),
	)
}

// stepUntilHalted lets a runner try, as after restarts, until an error says that it is no use.
func stepUntilHalted(t *testing.T, st *store.Store, p *projector.Projector) error {
	t.Helper()
	w, err := p.CursorWorker()
	require.NoError(t, err)
	r, err := cursor.NewRunner(t.Context(), st, w)
	for range 20 {
		if err == nil {
			_, err = r.Step(t.Context(), 0, 0)
		}
		if d, _ := supervision.DirectiveOf(err); err != nil && d.Action == supervision.ActionHalt {
			return err
		}
		var failure *cursor.HandlerError
		if errors.As(err, &failure) && failure.Panic {
			r, err = cursor.NewRunner(t.Context(), st, w)
			continue
		}
		err = nil
	}
	return nil
}

// moveRow is what an operator that knows what is in the tables does to a row.
func moveRow(t *testing.T, db *sql.DB, st *store.Store, to store.Position) {
	t.Helper()
	at, err := st.AnchorAt(t.Context(), to)
	require.NoError(t, err)
	execute(t, db, "UPDATE penstock_position SET position = $1, event = $2", int64(to), at.Event.String())
}

func TestAHandlerThatEndsTheTransactionHaltsTheProjector(t *testing.T) {
	for name, meddle := range map[string]struct {
		do        func(tx *sql.Tx) error
		committed bool
	}{
		"commits":              {func(tx *sql.Tx) error { return tx.Commit() }, true},
		"commits and fails":    {func(tx *sql.Tx) error { return errors.Join(errBroken, tx.Commit()) }, true},
		"commits and panics":   {func(tx *sql.Tx) error { panic(errors.Join(errBroken, tx.Commit())) }, true},
		"rolls back":           {func(tx *sql.Tx) error { return tx.Rollback() }, false},
		"rolls back and fails": {func(tx *sql.Tx) error { return errors.Join(errBroken, tx.Rollback()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			db, st := newDatabase(t), newStore(t)
			appendOrders(t, st, 12) // positions 2 to 13
			require.ErrorIs(t, stepUntilHalted(t, st, meddling(t, db, 6, meddle.do)), projector.ErrTransactionEnded)

			mended := totals(db, &handlers{})
			if meddle.committed { // what it has committed is there, and that nothing else is known shows
				require.Equal(t, "2 3 4 5 6", column(t, db, "SELECT position FROM handled ORDER BY position"))
				require.ErrorIs(t, stepUntilHalted(t, st, mended), projector.ErrTransactionEnded)
				moveRow(t, db, st, 6)
			}
			stepAll(t, newRunner(t, st, mended))
			requireExact(t, st, db)
		})
	}
}

// The driver does not know of what a statement does to the transaction.
func TestAHandlerThatRollsBackByAStatementHaltsTheProjector(t *testing.T) {
	db, _ := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 12)
	err := stepUntilHalted(t, st, meddling(t, db, 6, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "ROLLBACK")
		return err
	}))
	require.ErrorIs(t, err, projector.ErrTransactionEnded)
	require.Equal(t, "0", column(t, db, "SELECT position FROM penstock_position"))
}

// The exceptions to the position are written by statements that no condition guards.
func TestAHandlerThatRollsBackByAStatementWhileItIsReplayedLosesNothing(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12) // positions 2 to 13; order:2 has 4, 8 and 12
	h, heal := broken(4)
	p := totals(db, h)
	r := newRunner(t, st, p)
	stepParking(t, r)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	err = stepUntilHalted(t, st, meddling(t, db, 4, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "ROLLBACK")
		return err
	}))
	require.ErrorIs(t, err, projector.ErrTransactionEnded)
	require.Equal(t, "4 8 12", column(t, db, "SELECT position FROM penstock_exception ORDER BY position"))
	heal()
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

func TestAHandlerThatCommitsByAStatementLosesNothing(t *testing.T) {
	db, _ := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 12)
	commit := func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "COMMIT")
		return err
	}
	require.NoError(t, stepUntilHalted(t, st, meddling(t, db, 6, commit)))
	requireExact(t, st, db)

	appendOrders(t, st, 12) // positions 15 to 26
	err := stepUntilHalted(t, st, meddling(t, db, 17, func(tx *sql.Tx) error { return errors.Join(commit(tx), errBroken) }))
	require.ErrorIs(t, err, projector.ErrTransactionEnded)
	moveRow(t, db, st, 17)
	stepAll(t, newRunner(t, st, totals(db, &handlers{})))
	requireExact(t, st, db)
}

// PostgreSQL refuses whatever follows an error in a transaction, and rolls back where it is to
// commit.
func TestAHandlerThatSwallowsAnErrorOfTheTransactionFailsAtItsEvent(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 12)
	aborted := false
	f.fail = func(at string) bool {
		aborted = aborted && at != "begin"
		return aborted && (at == "exec" || at == "commit")
	}
	r := newRunner(t, st, meddling(t, db, 6, func(*sql.Tx) error { aborted = true; return nil }))
	failure := stepUntilNamed(t, r)
	require.Equal(t, store.Position(6), failure.Event)
	require.NoError(t, r.Settle(6, toPark(failure, 3)))
	stepAll(t, r)
	requireExact(t, st, db, 6, 10)
}

// SQLite continues after the first statement and does not know the second one; PostgreSQL fails at
// the event.
func TestAnErrorThatAHandlerSwallowsLosesNothing(t *testing.T) {
	for _, statement := range []string{"SELECT nothing FROM nowhere", "SELECT pg_terminate_backend(pg_backend_pid())"} {
		db, st := newDatabase(t), newStore(t)
		appendOrders(t, st, 12)
		r := newRunner(t, st, meddling(t, db, 6, func(tx *sql.Tx) error {
			_, _ = tx.ExecContext(t.Context(), statement)
			return nil
		}))
		var leftOut []store.Position
		for caughtUp := false; !caughtUp; {
			out, err := r.Step(t.Context(), 0, 0)
			var failure *cursor.HandlerError
			if errors.As(err, &failure) && failure.Event != 0 {
				require.Equal(t, store.Position(6), failure.Event)
				require.NoError(t, r.Settle(6, toPark(err, 1)))
				leftOut = []store.Position{6, 10}
			}
			caughtUp = err == nil && out.CaughtUp
		}
		requireExact(t, st, db, leftOut...)
	}
}

// stepUntilNamed lets a runner halve its batch until what fails stands alone.
func stepUntilNamed(t *testing.T, r *cursor.Runner) *cursor.HandlerError {
	t.Helper()
	for range 20 {
		_, err := r.Step(t.Context(), 0, 0)
		if err == nil {
			continue
		}
		var failure *cursor.HandlerError
		require.ErrorAs(t, err, &failure)
		d, _ := supervision.DirectiveOf(err)
		require.False(t, d.NoAttempt, "%v", err)
		if failure.Event != 0 {
			return failure
		}
	}
	require.Fail(t, "no event is named")
	return nil
}

// One attempt may be all that the policy allows, so an event that was committed must not fail.
func TestACommitWhoseAnswerIsLostIsNoFailure(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 12)
	r := newRunner(t, st, totals(db, &handlers{}))
	f.fail = func(at string) bool { return at == "answer" }
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errLost, "not even the row can be read")
	d, _ := supervision.DirectiveOf(err)
	require.True(t, d.NoAttempt)

	commits := 0
	f.fail = func(at string) bool {
		if at == "answer" {
			commits++
		}
		return at == "answer" && commits%2 == 1 // the handlers' transaction, and not the one that reads the row
	}
	appendOrders(t, st, 12)
	commits = 1
	_, err = r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	stepAll(t, r)
	requireExact(t, st, db)
}

func TestADatabaseThatAHandlerClosesIsWaitedForAndNothingIsLost(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 12)
	p := meddling(t, db, 6, func(*sql.Tx) error { return db.Close() })
	p.BatchSize = 3
	r := newRunner(t, st, p)
	waits := false
	for range 10 {
		if _, err := r.Step(t.Context(), 0, 0); err != nil {
			d, _ := supervision.DirectiveOf(err)
			require.True(t, d.NoAttempt, "%v", err)
			waits = true
		}
	}
	require.True(t, waits)
	again := prepared(t, sql.OpenDB(f))
	stepAll(t, newRunner(t, st, totals(again, &handlers{})))
	requireExact(t, st, again)
}
