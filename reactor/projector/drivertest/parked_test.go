package drivertest

import (
	"database/sql"
	"errors"
	"fmt"
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

// The list of parked events lies in the log, and the list of what the database lacks in the
// database: in these tests the two disagree.

// copied is what all tables hold.
type copied map[string][][]any

func copyOf(tb testing.TB, db *sql.DB) copied {
	tb.Helper()
	all := copied{}
	for _, table := range []string{"handled", "totals", "penstock_position", "penstock_exception"} {
		list, err := db.QueryContext(tb.Context(), "SELECT * FROM "+table)
		require.NoError(tb, err)
		columns, err := list.Columns()
		require.NoError(tb, err)
		all[table] = nil
		for list.Next() {
			row, fields := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				fields[i] = &row[i]
			}
			require.NoError(tb, list.Scan(fields...))
			all[table] = append(all[table], row)
		}
		require.NoError(tb, list.Err())
		require.NoError(tb, list.Close())
	}
	return all
}

// restore replaces what is there by the copy.
func (c copied) restore(tb testing.TB, db *sql.DB) {
	tb.Helper()
	tx, err := db.BeginTx(tb.Context(), nil)
	require.NoError(tb, err)
	for table, list := range c {
		_, err := tx.ExecContext(tb.Context(), "DELETE FROM "+table)
		require.NoError(tb, err)
		for _, row := range list {
			marks := make([]string, len(row))
			for i := range row {
				marks[i] = fmt.Sprintf("$%d", i+1)
			}
			_, err := tx.ExecContext(tb.Context(), fmt.Sprintf("INSERT INTO %s VALUES (%s)", table, strings.Join(marks, ",")), row...)
			require.NoError(tb, err)
		}
	}
	require.NoError(tb, tx.Commit())
}

// broken makes handlers that fail at some positions until they are healed.
func broken(positions ...store.Position) (h *handlers, heal func()) {
	bad := map[store.Position]bool{}
	for _, p := range positions {
		bad[p] = true
	}
	return &handlers{trouble: func(e store.Event) error {
		if bad[e.Position] {
			return supervision.Park(errBroken)
		}
		return nil
	}}, func() { clear(bad) }
}

// stepParking lets a runner handle everything, and parks what fails.
func stepParking(tb testing.TB, r *cursor.Runner) {
	tb.Helper()
	for {
		out, err := r.Step(tb.Context(), 0, 0)
		var failure *cursor.HandlerError
		if errors.As(err, &failure) && failure.Event != 0 {
			require.NoError(tb, r.Settle(failure.First, toPark(err, 1)))
			continue
		}
		require.NoError(tb, err)
		if out.CaughtUp {
			return
		}
	}
}

func replayAll(tb testing.TB, r *cursor.Runner) {
	tb.Helper()
	_, err := r.Replay(tb.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(tb, err)
	stepAll(tb, r)
	parked := r.Progress().Parked
	require.Zero(tb, parked)
}

func TestADatabaseRestoredFromAnOlderCopyGetsWhatWasReplayedSince(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12) // positions 2 to 13; order:2 has 4, 8 and 12
	h, heal := broken(4)
	p := totals(db, h)
	r := newRunner(t, st, p)
	stepParking(t, r)
	requireExact(t, st, db, 4, 8, 12)
	older := copyOf(t, db)

	heal()
	replayAll(t, r)
	appendOrders(t, st, 12)
	stepAll(t, r)
	requireExact(t, st, db)

	older.restore(t, db)
	for range 2 { // the second time there is nothing left to replay
		stepAll(t, newRunner(t, st, p))
		requireExact(t, st, db)
		require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
	}
}

func TestARestoredDatabaseGetsTheEventsBeforeAParkedOneInTheirOrder(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 0)
	h, heal := broken(12)
	p := totals(db, h)
	stepAll(t, newRunner(t, st, p))
	older := copyOf(t, db)
	appendOrders(t, st, 12) // positions 3 to 14; order:1 has 4, 8 and 12
	stepParking(t, newRunner(t, st, p))
	requireExact(t, st, db, 12)

	older.restore(t, db)
	var order []store.Position
	trouble := h.trouble
	h.trouble = func(e store.Event) error {
		if err := trouble(e); err != nil {
			return err
		}
		order = append(order, e.Position)
		return nil
	}
	p.BatchSize = 2
	heal()
	r := newRunner(t, st, p)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{Reason: "before the others are there again"})
	require.NoError(t, err)
	stepAll(t, r)
	requireExact(t, st, db)
	require.IsIncreasing(t, order, "the replay waits for what lies before")
	parked := r.Progress().Parked
	require.Zero(t, parked)
}

// An event fails that lies before a parked one of its key while that is being replayed.
func TestInARestoredDatabaseAnEventMayFailBeforeAParkedOne(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 0)
	h, heal := broken(8)
	p := totals(db, h)
	stepAll(t, newRunner(t, st, p))
	older := copyOf(t, db)
	appendOrders(t, st, 12) // positions 3 to 14; order:1 has 4, 8 and 12
	stepParking(t, newRunner(t, st, p))
	requireExact(t, st, db, 8, 12)

	older.restore(t, db)
	fails := true
	trouble := h.trouble
	h.trouble = func(e store.Event) error {
		if e.Position == 4 && fails {
			return supervision.Park(errBroken)
		}
		return trouble(e)
	}
	r := newRunner(t, st, p)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	stepParking(t, r)
	requireExact(t, st, db, 4, 8, 12)
	require.Equal(t, "4 8 12", column(t, db, "SELECT position FROM penstock_exception ORDER BY position"))
	fails = false
	heal()
	replayAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

func TestAnEventThatTheLogNoLongerListsAsParkedIsHandledAgain(t *testing.T) {
	for name, forgets := range map[string]func(st *store.Store) error{
		"reset": func(st *store.Store) error { return resetCold(t.Context(), st) },
		"reset twice": func(st *store.Store) error {
			return errors.Join(resetCold(t.Context(), st), resetCold(t.Context(), st))
		},
	} {
		db, st := newDatabase(t), newStore(t)
		appendOrders(t, st, 12)
		h, heal := broken(4)
		p := totals(db, h)
		stepParking(t, newRunner(t, st, p))
		requireExact(t, st, db, 4, 8, 12)
		require.NoError(t, forgets(st), name)

		r := newRunner(t, st, p)
		stepParking(t, r)
		requireExact(t, st, db, 4, 8, 12)
		parked, held := r.Progress().Parked, r.Progress().Held
		require.Equal(t, []int{3, 2}, []int{parked, held}, name)
		heal()
		replayAll(t, r)
		requireExact(t, st, db)
	}
}

func TestWhatWasDiscardedStaysOut(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	h, heal := broken(4)
	p := totals(db, h)
	r := newRunner(t, st, p)
	stepParking(t, r)
	_, err := r.Discard(t.Context(), cursor.ParkedFilter{Position: 4}, checkpoint.Request{Reason: "it is not needed"})
	require.NoError(t, err)
	stepAll(t, r)
	requireExact(t, st, db, 4)

	heal()
	require.Equal(t, "4", column(t, db, "SELECT position FROM penstock_exception"))
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db, 4)
	require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"), "it is no longer missing")
}

// The parked event is the first one, so the position is before it until another event is handled.
func TestWhatWasReplayedAheadOfThePositionIsNotHandledAgain(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 1) // position 2
	h, heal := broken(2)
	p := totals(db, h)
	r := newRunner(t, st, p)
	stepParking(t, r)
	heal()
	replayAll(t, r)
	requireExact(t, st, db)
	require.Equal(t, "0", column(t, db, "SELECT position FROM penstock_position"))
	for range 2 {
		stepAll(t, newRunner(t, st, p))
		requireExact(t, st, db)
	}
	appendOrders(t, st, 3)
	for range 2 {
		stepAll(t, newRunner(t, st, p))
		requireExact(t, st, db)
		require.Empty(t, column(t, db, "SELECT position FROM penstock_exception"))
	}
}

func TestARestoreUnderARunningWorkerEndsIt(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	p := totals(db, &handlers{})
	appendOrders(t, st, 5)
	r := newRunner(t, st, p)
	stepAll(t, r)
	older := copyOf(t, db)
	appendOrders(t, st, 5)
	stepAll(t, r)
	older.restore(t, db)
	appendOrders(t, st, 5)
	for range 3 { // the first finds that something is wrong, and the next one reads what
		_, err := r.Step(t.Context(), 0, 0)
		require.Error(t, err)
		if errors.Is(err, projector.ErrForgotten) {
			break
		}
	}
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, projector.ErrForgotten)
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionHalt, d.Action)
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

// A system restarts a worker with the same description: nothing of the runner before may be
// trusted.
func TestAReplayThatIsNotInTheLogIsNotHandledAgainByAnyRunner(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	h, heal := broken(4)
	w, err := totals(db, h).CursorWorker()
	require.NoError(t, err)
	runner := func() *cursor.Runner {
		r, err := cursor.NewRunner(t.Context(), st, w)
		require.NoError(t, err)
		return r
	}
	r := runner()
	stepParking(t, r)
	heal()
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	for range 4 {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		task.Run(t.Context())
		require.NoError(t, task.Err())
		requireExact(t, st, db)
		r = runner() // in place of the commit
	}
	stepAll(t, r)
	requireExact(t, st, db)
}

func TestARunnerThatWasReplacedWritesNothingThoughTheyShareADescription(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 5)
	w, err := totals(db, &handlers{}).CursorWorker()
	require.NoError(t, err)
	former, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	_, err = former.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	require.Empty(t, column(t, db, "SELECT position FROM handled"))
}

// A deferred constraint, or a transaction that failed without an error of its handler, is refused
// at the commit.
func TestACommitThatIsRefusedBecauseOfAnEventIsAnAttemptAtIt(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 12)
	poisoned := false
	f.fail = func(at string) bool {
		if at == "begin" {
			poisoned = false
		}
		return at == "commit" && poisoned
	}
	r := newRunner(t, st, totals(db, &handlers{trouble: func(e store.Event) error {
		poisoned = poisoned || e.Position == 6
		return nil
	}}))
	var failure *cursor.HandlerError
	for range 20 { // halved until the event stands alone
		_, err := r.Step(t.Context(), 0, 0)
		if err == nil {
			continue
		}
		require.ErrorAs(t, err, &failure)
		d, _ := supervision.DirectiveOf(err)
		require.False(t, d.NoAttempt)
		if failure.Event != 0 {
			break
		}
	}
	require.Equal(t, store.Position(6), failure.Event)
	require.NoError(t, r.Settle(6, toPark(failure, 3)))
	stepAll(t, r)
	requireExact(t, st, db, 6, 10)
}

func TestAParkedEventWhoseRouteIsGoneIsParkedAgainWhenItIsReplayed(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 3) // positions 2 to 4, and 4 is refunded
	h, heal := broken(4)
	stepParking(t, newRunner(t, st, totals(db, h)))
	heal()
	without := projector.New("totals", db, projector.On(h.paid))
	without.NewKinds = checkpoint.NewKindsFromNow
	r := newRunner(t, st, without)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	_, err = r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, reactor.ErrUnseen)
	require.ErrorContains(t, err, "order.refunded")
	stepParking(t, r)
	requireExact(t, st, db, 4)

	with := totals(db, h)
	with.NewKinds = checkpoint.NewKindsFromNow
	replayAll(t, newRunner(t, st, with))
	requireExact(t, st, db)
}
