package drivertest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// builds is a program with a projector, of which another build may start after a crash.
type builds struct {
	db      *sql.DB
	present bool
}

func (b *builds) program(*store.Store) supervision.Child {
	h := new(handlers)
	former := projector.New("totals", b.db, projector.On(h.paid))
	if !b.present {
		return former
	}
	present := projector.New("totals", b.db, projector.On(
		func(ctx context.Context, tx *sql.Tx, e reactor.Event[paidExactly]) error {
			return h.write(ctx, tx, e.Event, e.Body.Cents)
		}))
	same := func(p paid) (paidExactly, error) { return paidExactly(p), nil }
	present.Types = reactor.NewTypes(reactor.TypeOf[paidExactly](reactor.UpcastFrom(1, same)))
	return present
}

// paidExactly is what the present build writes.
type paidExactly struct{ Cents int }

func (paidExactly) Kind() string          { return "order.paid" }
func (paidExactly) SchemaVersion() uint16 { return 2 }

func TestAProjectorHandlesWhatWasTooNewWhenABuildStartsThatReadsIt(t *testing.T) {
	b := &builds{db: newDatabase(t)}
	run := reactortest.Start(t, reactortest.Program(b.program))
	given := func(order string, p store.Payload) { run.Given(reactortest.At(store.At("order:"+order, "shop"), p)) }
	deploy := func(present bool) {
		b.present = present
		run.Crash(1)
	}
	given("1", paid{Cents: 1})
	given("1", paidExactly{Cents: 2}) // at 2
	given("1", paid{Cents: 3})        // held
	given("2", paid{Cents: 4})
	run.Settle()
	requireExact(t, run.Store(), b.db, 2, 3)
	require.Len(t, run.Parked("totals"), 2)

	deploy(true)
	deploy(false)                     // before anything is handled
	given("2", paidExactly{Cents: 5}) // at 5
	run.Settle()
	for _, p := range run.Parked("totals") {
		require.False(t, p.Replaying)
	}

	deploy(true)
	run.Settle()
	require.Empty(t, run.Parked("totals"))
	requireExact(t, run.Store(), b.db)
	given("1", paidExactly{Cents: 6})
	run.Settle()
	requireExact(t, run.Store(), b.db)
}
