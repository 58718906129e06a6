package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func start(t *testing.T, st *store.Store, p *projector.Projector) *actors.System {
	t.Helper()
	p.Policy.Backoff = supervision.Backoff{Initial: time.Millisecond, Max: 2 * time.Millisecond}
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{
		Name: "test", Children: []supervision.Child{p},
	})
	require.NoError(t, err)
	return sys
}

// everything is a receipt for all that is in the log.
func everything(tb testing.TB, st *store.Store) store.Receipt {
	tb.Helper()
	end, err := st.AnchorAt(tb.Context(), st.Head())
	require.NoError(tb, err)
	return store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: end.Event, Position: end.Position}}}
}

func TestErrorsPanicsAndLostAnswersUnderASystemLeaveTheTablesExact(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	var calls, commits atomic.Int64
	f.fail = func(at string) bool { return at == "answer" && commits.Add(1)%7 == 0 }
	p := totals(db, &handlers{trouble: func(store.Event) error {
		switch n := calls.Add(1); {
		case n%211 == 0:
			panic(errBroken)
		case n%97 == 0:
			return errBroken
		}
		return nil
	}})
	p.Policy.Intensity = 1000
	p.BatchSize = 16
	sys := start(t, st, p)
	for range 20 {
		appendOrders(t, st, 50)
	}
	require.NoError(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)))
	require.NoError(t, sys.Stop(t.Context()))
	requireExact(t, st, db)
}

func TestASecondSystemTakesTheProjectorOver(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	former := start(t, st, totals(db, &handlers{}))
	for range 5 {
		appendOrders(t, st, 100)
	}
	next := start(t, st, totals(db, &handlers{}))
	for range 5 {
		appendOrders(t, st, 100)
	}
	require.NoError(t, next.WaitApplied(t.Context(), "totals", everything(t, st)))
	require.ErrorIs(t, former.WaitApplied(t.Context(), "totals", everything(t, st)), checkpoint.ErrFenced)
	require.ErrorIs(t, former.Stop(t.Context()), checkpoint.ErrFenced)
	require.NoError(t, next.Stop(t.Context()))
	requireExact(t, st, db)
}

func TestAProjectorThatIsForgottenWhileItRunsRebuildsItsTablesWhenItIsResumed(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	p := totals(db, &handlers{})
	appendOrders(t, st, 100)
	sys := start(t, st, p)
	require.NoError(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)))
	forget(t, db, p)
	appendOrders(t, st, 10)
	require.ErrorIs(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)), projector.ErrForgotten)
	require.NoError(t, sys.Resume(t.Context(), "totals", checkpoint.Request{Reason: "its tables are rebuilt"}))
	require.NoError(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)))
	require.NoError(t, sys.Stop(t.Context()))
	requireExact(t, st, db)
}

func TestAProjectorIsNotRewoundFromTheLog(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 10)
	sys := start(t, st, totals(db, &handlers{}))
	require.NoError(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)))
	require.ErrorIs(t, applyTo(t.Context(), sys, "totals", checkpoint.Reset{}), cursor.ErrExternalPosition)
	require.NoError(t, sys.Stop(t.Context()))
}

func TestARouteMayBeAddedFromNowOn(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	h := &handlers{}
	appendOrders(t, st, 3) // 2 and 3 are paid, 4 is refunded
	r := newRunner(t, st, projector.New("totals", db, projector.On(h.paid)))
	stepAll(t, r)
	require.NoError(t, r.Close(t.Context()))
	p := totals(db, h)
	w, err := p.CursorWorker()
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrKindsChanged)

	p.NewKinds = checkpoint.NewKindsBackfill
	_, err = p.CursorWorker()
	require.ErrorContains(t, err, "excludes NewKindsBackfill")
	p.NewKinds = checkpoint.NewKindsFromNow
	appendOrders(t, st, 3)
	stepAll(t, newRunner(t, st, p))
	require.Equal(t, "2 3 6 7 8", column(t, db, "SELECT position FROM handled ORDER BY position"))
}

// A restart cannot help where the row is another's, and while the database is unavailable nothing
// else does.
func TestADatabaseThatRefusesTheOwnerHaltsTheWorkerAndAnUnavailableOneIsWaitedFor(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 3)
	w, err := totals(db, &handlers{}).CursorWorker()
	require.NoError(t, err)
	f.fail = func(at string) bool { return at == "begin" }
	_, err = cursor.NewRunner(t.Context(), st, w)
	d, _ := supervision.DirectiveOf(err)
	require.True(t, d.NoAttempt, "%v", err)

	f.fail = nil
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE penstock_position SET epoch = epoch + 10")
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	d, _ = supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionHalt, d.Action)
}

// The transaction ends with the goroutine of its handler.
func TestAHandlerThatEndsItsGoroutineLeavesNothingBehind(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	db.SetMaxOpenConns(1)
	appendOrders(t, st, 4)
	once := true
	r := newRunner(t, st, totals(db, &handlers{trouble: func(e store.Event) error {
		if e.Position == 4 && once {
			once = false
			runtime.Goexit()
		}
		return nil
	}}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = r.Step(t.Context(), 0, 0)
	}()
	<-ended
	require.Empty(t, column(t, db, "SELECT position FROM handled"))
	for {
		out, err := r.Step(t.Context(), 0, 0)
		require.True(t, err == nil || errors.Is(err, cursor.ErrGoexit), "%v", err)
		if out.CaughtUp {
			break
		}
	}
	requireExact(t, st, db)
}

// applyTo changes the checkpoint of a worker that runs.
func applyTo(ctx context.Context, sys *actors.System, worker string, c checkpoint.Change) error {
	_, err := sys.Apply(ctx, worker, c, checkpoint.Request{})
	return err
}

func TestADatabaseThatComesLaterIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	made, mounted := filepath.Join(dir, "made"), filepath.Join(dir, "mounted")
	require.NoError(t, os.Mkdir(made, 0o700))
	first, err := sql.Open("sqlite", filepath.Join(made, "test.db"))
	require.NoError(t, err)
	_, err = first.ExecContext(t.Context(), tables)
	require.NoError(t, errors.Join(err, first.Close()))

	db, err := sql.Open("sqlite", filepath.Join(mounted, "test.db"))
	require.NoError(t, err)
	defer db.Close()
	st := newStore(t)
	appendOrders(t, st, 10)
	sys := start(t, st, totals(db, &handlers{}))
	require.Equal(t, actors.Retrying, sys.Status().Workers[0].State)
	require.NoError(t, os.Rename(made, mounted))
	require.NoError(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)))
	require.NoError(t, sys.Stop(t.Context()))
	requireExact(t, st, db)
}
