package drivertest

import (
	"database/sql"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// In these tests the log, or the database, is replaced by a copy of an earlier time.

// keepAll is the seed with which a disk loses nothing.
const keepAll = 1

// requireForeign requires that a projector does not start, for good.
func requireForeign(t *testing.T, st *store.Store, p *projector.Projector) {
	t.Helper()
	w, err := p.CursorWorker()
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, store.ErrForeignHistory)
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionHalt, d.Action)
}

// finish handles everything and ends in good order.
func finish(t *testing.T, st *store.Store, p *projector.Projector) {
	t.Helper()
	r := newRunner(t, st, p)
	stepAll(t, r)
	require.NoError(t, r.Close(t.Context()))
}

func TestRowsThatAreAheadOfARestoredLogAreRefusedHoweverLongItBecomes(t *testing.T) {
	db, disk := newDatabase(t), storetest.NewDisk()
	st, p := openStore(t, disk), totals(db, &handlers{})
	appendOrders(t, st, 12)
	finish(t, st, p)
	require.NoError(t, st.Close())
	log, tables := disk.Rebooted(keepAll), copyOf(t, db)

	st = openStore(t, disk)
	appendOrders(t, st, 12)
	finish(t, st, p)
	lost := st.Origin()
	require.NoError(t, st.Close())
	ahead := column(t, db, "SELECT position FROM handled ORDER BY position")

	st = openStore(t, log)
	defer func() { require.NoError(t, st.Close()) }()
	require.Equal(t, lost, st.Origin(), "the incarnation does not tell the two logs apart")
	requireForeign(t, st, p)
	appendOrders(t, st, 12) // to where the rows are
	requireForeign(t, st, p)
	appendOrders(t, st, 30) // and beyond
	requireForeign(t, st, p)
	require.Equal(t, ahead, column(t, db, "SELECT position FROM handled ORDER BY position"))

	tables.restore(t, db)
	finish(t, st, p)
	requireExact(t, st, db)
}

// The copy of a log that is in use looks as if acknowledged events may be lost, and none are that
// the rows speak of.
func TestAProjectorContinuesInACopyOfItsLogThatCountsAnotherIncarnation(t *testing.T) {
	db, disk := newDatabase(t), storetest.NewDisk()
	st, err := disk.Open("data", store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	p := totals(db, &handlers{})
	appendOrders(t, st, 12)
	finish(t, st, p)
	copied := openStore(t, disk.Rebooted(keepAll))
	defer func() { require.NoError(t, copied.Close()) }()
	require.NotEqual(t, st.Origin(), copied.Origin())
	appendOrders(t, copied, 12)
	finish(t, copied, p)
	requireExact(t, copied, db)
}

// The copy is made while a fence is open, which is cancelled there. What the log publishes later is
// in the tables, and the row ends with an event that both logs have.
func TestRowsOfWhatACopyOfTheLogHidesAreRefusedThere(t *testing.T) {
	for _, publish := range []bool{true, false} {
		db, disk := newDatabase(t), storetest.NewDisk()
		st, p := openStore(t, disk), totals(db, &handlers{})
		appendOrders(t, st, 3)
		f, err := store.OpenFence(t.Context(), st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
		require.NoError(t, err)
		_, err = f.Stage(t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("order:9", "shop"), Payload: paid{Cents: 1}}}})
		require.NoError(t, err)
		appendOrders(t, st, 3)
		copied := openStore(t, disk.Rebooted(keepAll))
		end := f.Cancel
		if publish {
			end = f.Publish
		}
		require.NoError(t, end(t.Context()))
		finish(t, st, p)
		requireExact(t, st, db)
		if publish {
			requireForeign(t, copied, p)
			require.ErrorIs(t, p.Adopt(t.Context(), copied), store.ErrForeignHistory)
		} else {
			require.NoError(t, p.Adopt(t.Context(), copied))
			finish(t, copied, p)
			requireExact(t, copied, db)
		}
		require.NoError(t, copied.Close())
		require.NoError(t, st.Close())
	}
}

func TestAnExceptionAfterTheEndOfTheLogIsRefused(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	p := totals(db, &handlers{})
	appendOrders(t, st, 3)
	finish(t, st, p)
	execute(t, db, "INSERT INTO penstock_exception (worker, position) VALUES ('totals', 9)")
	requireForeign(t, st, p)
	appendOrders(t, st, 12)
	requireForeign(t, st, p)
}

func TestARunningProjectorHaltsWhenItsRowsBecomeThoseOfAnotherLog(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 3)
	r := newRunner(t, st, totals(db, &handlers{}))
	stepAll(t, r)
	execute(t, db, "UPDATE penstock_position SET event = $1", uuid.NewString())
	appendOrders(t, st, 3)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, store.ErrForeignHistory)
	require.Equal(t, "2 3 4", column(t, db, "SELECT position FROM handled ORDER BY position"))
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

// olderRow puts the tables into the form that they had before rows named an event, with a row of
// the projector.
func olderRow(t *testing.T, db *sql.DB, st *store.Store, epoch, position int) {
	t.Helper()
	execute(t, db, "DROP TABLE IF EXISTS penstock_position")
	execute(t, db, `CREATE TABLE penstock_position (
	worker      TEXT   NOT NULL PRIMARY KEY,
	store       TEXT   NOT NULL,
	incarnation BIGINT NOT NULL,
	epoch       BIGINT NOT NULL,
	position    BIGINT NOT NULL
)`)
	execute(t, db, "INSERT INTO penstock_position VALUES ($1, $2, $3, $4, $5)", "totals", st.Origin().Store.String(), 1, epoch, position)
}

func TestARowOfAnOlderVersionIsCompletedWhereTheLogKnowsThatTheWorkerHadComeSoFar(t *testing.T) {
	for name, start := range map[string]store.From{"beginning": store.Beginning(), "now": store.Now()} {
		t.Run(name, func(t *testing.T) {
			db, st := newDatabase(t), newStore(t)
			p := totals(db, &handlers{})
			appendOrders(t, st, 12)
			finish(t, st, p)
			olderRow(t, db, st, 1, 13)
			appendOrders(t, st, 5)
			p.Start = start // which counts for a projector without a row only
			r := newRunner(t, st, p)
			at, err := st.AnchorAt(t.Context(), 13)
			require.NoError(t, err)
			require.Equal(t, at.Event.String()+"/0", column(t, db, "SELECT event FROM penstock_position"))
			stepAll(t, r)
			requireExact(t, st, db)
			require.NoError(t, r.Close(t.Context()))
			finish(t, st, p)
		})
	}
}

func TestARowOfAnOlderVersionThatTheLogDoesNotKnowIsRefused(t *testing.T) {
	for name, row := range map[string]struct{ epoch, position int }{
		"further than the checkpoint":        {1, 14},
		"further, by exceptions":             {1, 13},
		"of an owner that the log has not":   {9, 13},
		"of no event, so nothing is doubted": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			db, st := newDatabase(t), newStore(t)
			p := totals(db, &handlers{})
			appendOrders(t, st, 12)
			finish(t, st, p)
			appendOrders(t, st, 12)
			olderRow(t, db, st, row.epoch, row.position)
			switch name {
			case "further, by exceptions":
				execute(t, db, "INSERT INTO penstock_exception (worker, position) VALUES ('totals', 20)")
			case "of no event, so nothing is doubted":
				execute(t, db, "DELETE FROM handled")
				execute(t, db, "DELETE FROM totals")
				finish(t, st, p)
				requireExact(t, st, db)
				return
			}
			requireForeign(t, st, p)
			requireForeign(t, st, p) // the first attempt has left nothing that makes it pass
		})
	}
}

// Each attempt leaves a checkpoint, which says nothing of what the worker has done.
func TestARowOfAnOlderVersionIsRefusedInALogWithoutItsCheckpoint(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 12)
	p := totals(db, &handlers{})
	p.Start = store.Now()
	olderRow(t, db, st, 1, 10)
	for range 3 {
		requireForeign(t, st, p)
	}
	info, err := checkpoint.Inspect(st, "totals")
	require.NoError(t, err)
	require.Equal(t, uint64(3), info.Record.Epoch)
	require.Zero(t, info.Record.Scanned, "it has come nowhere")
}

// restore puts a backup of the log in the place of it.
func restore(t *testing.T, disk *storetest.Disk) *store.Store {
	t.Helper()
	_, err := disk.Restore(t.Context(), "copy", "restored", store.RestoreOptions{})
	require.NoError(t, err)
	st, err := disk.Open("restored", store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// The rows were written by an owner that the restored log does not know of.
func TestAProjectorContinuesOverARestoredLogThatHasThePastOfItsTables(t *testing.T) {
	db, disk := newDatabase(t), storetest.NewDisk()
	st, p := openStore(t, disk), totals(db, &handlers{})
	require.NoError(t, p.Adopt(t.Context(), st), "without rows it begins at its start")
	appendOrders(t, st, 12)
	finish(t, st, p)
	_, err := store.Backup(t.Context(), st, "copy", store.BackupOptions{})
	require.NoError(t, err)
	for range 3 {
		finish(t, st, p)
	}
	appendOrders(t, st, 3) // not handled
	require.NoError(t, st.Close())

	st = restore(t, disk)
	appendOrders(t, st, 5)
	w, err := p.CursorWorker()
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrFenced, "by an owner of whom the log does not know")
	require.NoError(t, p.Adopt(t.Context(), st))
	finish(t, st, p)
	requireExact(t, st, db)
}

func TestTablesThatHaveWhatARestoredLogDoesNotHaveAreToBeForgotten(t *testing.T) {
	db, disk := newDatabase(t), storetest.NewDisk()
	st, p := openStore(t, disk), totals(db, &handlers{})
	appendOrders(t, st, 12)
	_, err := store.Backup(t.Context(), st, "copy", store.BackupOptions{})
	require.NoError(t, err)
	appendOrders(t, st, 3)
	finish(t, st, p)
	require.NoError(t, st.Close())
	rows := column(t, db, "SELECT epoch FROM penstock_position")

	st = restore(t, disk)
	appendOrders(t, st, 50)
	require.ErrorIs(t, p.Adopt(t.Context(), st), store.ErrForeignHistory)
	require.Equal(t, rows, column(t, db, "SELECT epoch FROM penstock_position"), "as they were")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, table := range []string{"handled", "totals"} {
		_, err = tx.ExecContext(t.Context(), "DELETE FROM "+table)
		require.NoError(t, err)
	}
	require.NoError(t, p.Forget(t.Context(), tx))
	require.NoError(t, tx.Commit())
	require.NoError(t, p.Adopt(t.Context(), st))
	finish(t, st, p)
	requireExact(t, st, db)
	require.ErrorIs(t, projector.New("none", nil).Adopt(t.Context(), st), projector.ErrNoDatabase)
}

func TestAProjectorThatRunsHaltsWhenItsRowsAreAdopted(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	p := totals(db, &handlers{})
	appendOrders(t, st, 3)
	r := newRunner(t, st, p)
	stepAll(t, r)
	require.NoError(t, p.Adopt(t.Context(), st))
	appendOrders(t, st, 3)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
}
