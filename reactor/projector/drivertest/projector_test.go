package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

func TestEachEventIsInTheTablesOnceAlsoAfterRestarts(t *testing.T) {
	disk, db := storetest.NewDisk(), newDatabase(t)
	for range 3 {
		st := openStore(t, disk)
		appendOrders(t, st, 600)
		sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{
			Name: "test", Children: []supervision.Child{totals(db, &handlers{})},
		})
		require.NoError(t, err)
		require.NoError(t, sys.WaitApplied(t.Context(), "totals", everything(t, st)))
		require.NoError(t, sys.Stop(t.Context()))
		requireExact(t, st, db)
		require.NoError(t, st.Close())
	}
}

func TestAnEventThatFailsLeavesThoseBeforeItCommittedAndNothingOfItself(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 10)
	fails := true
	r := newRunner(t, st, totals(db, &handlers{trouble: func(e store.Event) error {
		if e.Position == 6 && fails {
			return errBroken
		}
		return nil
	}}))
	_, err := r.Step(t.Context(), 0, 0)
	var failure *cursor.HandlerError
	require.ErrorAs(t, err, &failure)
	require.ErrorIs(t, err, errBroken)
	require.Equal(t, store.Position(6), failure.Event)
	require.Equal(t, "2 3 4 5", column(t, db, "SELECT position FROM handled ORDER BY position"))
	require.Equal(t, "5", column(t, db, "SELECT position FROM penstock_position"))
	fails = false
	stepAll(t, r)
	requireExact(t, st, db)
}

func TestAPanicLeavesNothingOfItsBatch(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 10)
	panics := 0
	r := newRunner(t, st, totals(db, &handlers{trouble: func(e store.Event) error {
		if e.Position == 6 && panics < 4 {
			panics++
			panic("on purpose")
		}
		return nil
	}}))
	for panics < 4 {
		_, err := r.Step(t.Context(), 0, 0)
		if err != nil {
			require.NotContains(t, column(t, db, "SELECT position FROM handled"), "6")
		}
	}
	stepAll(t, r)
	requireExact(t, st, db)
}

func TestAnOwnerThatWasReplacedWritesNothing(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 10)
	former := newRunner(t, st, totals(db, &handlers{}))
	next := newRunner(t, st, totals(db, &handlers{}))
	_, err := former.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionHalt, d.Action)
	require.Empty(t, column(t, db, "SELECT position FROM handled"), "the database refused it before the log could")
	stepAll(t, next)
	requireExact(t, st, db)
}

func TestTheRowOfAnotherHistoryIsRefused(t *testing.T) {
	db, st := newDatabase(t), openStore(t, storetest.NewDisk())
	appendOrders(t, st, 10)
	stepAll(t, newRunner(t, st, totals(db, &handlers{})))
	before := column(t, db, "SELECT position FROM handled")
	require.NoError(t, st.Close())

	st = newStore(t)
	appendOrders(t, st, 20)
	p := totals(db, &handlers{})
	sys := start(t, st, p)
	require.Equal(t, actors.Halted, sys.Status().Workers[0].State)
	require.ErrorIs(t, sys.Stop(t.Context()), store.ErrForeignHistory)
	require.Equal(t, before, column(t, db, "SELECT position FROM handled"), "nothing was written")

	forget(t, db, p)
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

// forget is what a program does to rebuild its tables.
func forget(t *testing.T, db *sql.DB, p *projector.Projector) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, table := range []string{"handled", "totals"} {
		_, err := tx.ExecContext(t.Context(), "DELETE FROM "+table)
		require.NoError(t, err)
	}
	require.NoError(t, p.Forget(t.Context(), tx))
	require.NoError(t, tx.Commit())
}

func TestForgettingARunningProjectorEndsItAndTheNextRebuildsItsTables(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 10)
	p := totals(db, &handlers{})
	r := newRunner(t, st, p)
	stepAll(t, r)
	forget(t, db, p)
	appendOrders(t, st, 10)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, projector.ErrForgotten)
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

func TestAProjectorWithoutARowBeginsAtItsStartHoweverFarItsCheckpointIs(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 10)
	p := totals(db, &handlers{})
	p.Start = store.After(4)
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db, 2, 3, 4)
	forget(t, db, p)
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db, 2, 3, 4)
}

func TestParkedEventsAreWrittenOnceWhenTheyAreReplayedWhereverTheProcessDies(t *testing.T) {
	db, disk := newDatabase(t), storetest.NewDisk()
	st := openStore(t, disk)
	appendOrders(t, st, 12) // positions 2 to 13; order:2 has 4, 8 and 12
	healed := false
	h := &handlers{trouble: func(e store.Event) error {
		if e.Position == 4 && !healed {
			return supervision.Park(errBroken)
		}
		return nil
	}}
	r := newRunner(t, st, totals(db, h))
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, r.Settle(4, toPark(err, 1)))
	stepAll(t, r)
	requireExact(t, st, db, 4, 8, 12)

	requireRows := func(want string) {
		t.Helper()
		require.Equal(t, want, column(t, db, "SELECT position FROM penstock_exception ORDER BY position"))
	}
	requireRows("4 8 12")

	healed = true
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{Reason: "healed"})
	require.NoError(t, err)
	disk.Cut() // the database commits, the log cannot
	_, err = r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, storetest.ErrPowerCut)
	_ = st.Close()
	requireRows("")

	st = openStore(t, disk.Rebooted(0))
	defer st.Close()
	requireExact(t, st, db)
	r = newRunner(t, st, totals(db, h))
	parked := r.Progress().Parked
	require.Equal(t, 3, parked, "the log does not know yet")
	stepAll(t, r)
	parked = r.Progress().Parked
	require.Zero(t, parked)
	requireExact(t, st, db)
	appendOrders(t, st, 3)
	stepAll(t, r)
	requireExact(t, st, db)
	requireRows("")
}

// Events that are held because of a parked one come after others that were read and are not done.
func TestAReplayDoesNotMoveThePositionOverWhatIsNotDone(t *testing.T) {
	db, disk := newDatabase(t), storetest.NewDisk()
	st := openStore(t, disk)
	appendOrders(t, st, 12) // positions 2 to 13; order:0 has 2, 6 and 10
	broken := true
	h := &handlers{trouble: func(e store.Event) error {
		if broken && e.Position == 2 {
			return errBroken
		}
		return nil
	}}
	p := totals(db, h)
	r := newRunner(t, st, p)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, r.Settle(2, toPark(err, 1)))
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	broken = false
	for column(t, db, "SELECT position FROM penstock_exception") == "" {
		_, err = r.Step(t.Context(), 0, 1)
		require.NoError(t, err)
	}
	disk.Cut()
	_ = st.Close()
	st = openStore(t, disk.Rebooted(0))
	defer st.Close()
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

// The position in the database passes what is parked or held, so the log must know of that first.
func TestNothingParkedIsLostWhereverThePowerIsCut(t *testing.T) {
	for cut, reached := 1, true; reached; cut++ {
		db, disk := newDatabase(t), storetest.NewDisk()
		st := openStore(t, disk)
		appendOrders(t, st, 12)
		broken := true
		h := &handlers{trouble: func(e store.Event) error {
			if broken && e.Position == 2 {
				return errBroken
			}
			return nil
		}}
		p := totals(db, h)
		p.BatchSize = 3
		r := newRunner(t, st, p)
		disk.CutAt(disk.Ops() + cut)
		_, err := r.Step(t.Context(), 0, 0)
		require.ErrorIs(t, err, errBroken)
		require.NoError(t, r.Settle(2, toPark(err, 1)))
		for range 5 {
			_, err = r.Step(t.Context(), 0, 0)
		}
		reached = err != nil
		disk.Cut()
		_ = st.Close()

		broken = false
		st = openStore(t, disk.Rebooted(uint64(cut)))
		r = newRunner(t, st, p)
		stepAll(t, r)
		if r.Progress().Parked > 0 {
			_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
			require.NoError(t, err)
			stepAll(t, r)
		}
		requireExact(t, st, db)
		require.NoError(t, st.Close())
	}
}

func TestAnUnavailableDatabaseIsWaitedForAndIsNoAttemptAtAnEvent(t *testing.T) {
	for _, where := range []string{"begin", "commit", "answer"} {
		db, f := newFlaky(t)
		st := newStore(t)
		appendOrders(t, st, 10)
		r := newRunner(t, st, totals(db, &handlers{}))
		unavailable := true
		f.fail = func(at string) bool { return unavailable && (at == where || at == "ping") }
		for range 20 {
			_, err := r.Step(t.Context(), 0, 0)
			if where == "answer" && err == nil {
				break // the row said that it was committed after all
			}
			require.ErrorIs(t, err, errLost, where)
			d, _ := supervision.DirectiveOf(err)
			require.Equal(t, supervision.Directive{Action: supervision.ActionRetry, NoAttempt: true}, d)
		}
		unavailable = false
		stepAll(t, r)
		requireExact(t, st, db)
	}
}

// A connection that breaks under a handler looks like a failure of the handler.
func TestAConnectionThatBreaksUnderAHandlerIsNoAttemptAtTheEvent(t *testing.T) {
	db, f := newFlaky(t)
	st := newStore(t)
	appendOrders(t, st, 1)
	f.fail = func(at string) bool { return at == "ping" }
	r := newRunner(t, st, totals(db, &handlers{trouble: func(store.Event) error { return errLost }}))
	_, err := r.Step(t.Context(), 0, 0)
	d, _ := supervision.DirectiveOf(err)
	require.True(t, d.NoAttempt)
}

func TestATransactionThatTakesTooLongIsAnAttemptAtItsEvent(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	appendOrders(t, st, 4)
	slow := true
	route := projector.On(func(ctx context.Context, tx *sql.Tx, e reactor.Event[paid]) error {
		if e.Position == 3 && slow {
			<-ctx.Done()
			return ctx.Err()
		}
		return (&handlers{}).paid(ctx, tx, e)
	})
	p := projector.New("totals", db, route, projector.On((&handlers{}).refunded))
	p.Timeout = 100 * time.Millisecond
	r := newRunner(t, st, p)
	var failure *cursor.HandlerError
	for range 50 { // until the batch is halved to the event
		_, err := r.Step(t.Context(), 0, 0)
		if failure = nil; err == nil {
			continue
		}
		require.ErrorAs(t, err, &failure)
		if d, directed := supervision.DirectiveOf(err); directed {
			require.True(t, d.NoAttempt, "%v", d) // no more than a slow connection: it did not come as far as to the handler
			continue
		}
		if failure.Event == 3 { // another one may take as long on a slow machine
			break
		}
	}
	require.NotNil(t, failure)
	require.Equal(t, store.Position(3), failure.Event)
	require.True(t, failure.Timeout)
	slow, p.Timeout = false, 0
	stepAll(t, newRunner(t, st, p))
	requireExact(t, st, db)
}

// versioned is a payload that has had another shape.
type versioned struct{ Euro int }

func (versioned) Kind() string          { return "order.priced" }
func (versioned) SchemaVersion() uint16 { return 2 }

func TestOlderPayloadsAreRaisedAndNewerOnesParked(t *testing.T) {
	db, st := newDatabase(t), newStore(t)
	for _, version := range []uint16{0, 1, 2, 3} {
		_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any,
			store.Raw{Type: "order.priced", Codec: store.CodecJSON, SchemaVersion: version, Data: []byte(`{"Cents":300,"Euro":5}`)})
		require.NoError(t, err)
	}
	type old struct{ Cents int }
	var got []int
	p := projector.New("prices", db, projector.On(func(_ context.Context, _ *sql.Tx, e reactor.Event[versioned]) error {
		got = append(got, e.Body.Euro)
		require.Equal(t, fmt.Sprint("prices/", e.ID), e.EffectKey())
		return nil
	}))
	p.Types = reactor.NewTypes(reactor.TypeOf[versioned](
		reactor.UpcastFrom(1, func(o old) (versioned, error) { return versioned{Euro: o.Cents / 100}, nil })))
	p.BatchSize = 1
	r := newRunner(t, st, p)
	for range 3 {
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
	}
	_, err := r.Step(t.Context(), 0, 0)
	d, _ := supervision.DirectiveOf(err)
	require.Equal(t, supervision.ActionPark, d.Action)
	require.Equal(t, []int{3, 3, 5}, got)
}
