package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A service remembers the keys of effects for longer than an instance is kept.
func TestAPurgedKeyStartsWithEffectKeysOfItsOwn(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := begun(t, s)
	run.Advance(30 * 24 * time.Hour)
	_, err := s.In(run.Store()).Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.EqualValues(t, 2, o.Run)
	require.Contains(t, w.effects(), "checkout/42.1/charge.1")
	require.Contains(t, w.effects(), "checkout/42.2/charge.1")
}

func TestAWaitEndsWhereTheInstanceIsStuck(t *testing.T) {
	w := newWorld()
	w.fails["ship"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	require.NoError(t, err)
	_, err = st.Append(t.Context(), at("42"), store.Any, placed("42"))
	require.NoError(t, err)
	o, err := s.In(st).Wait(t.Context(), "42")
	require.NoError(t, err)
	require.Equal(t, saga.Stuck, o.Life)
	for _, w := range sys.Status().Workers {
		require.NotContains(t, w.Unwritten, "saga", "it writes that itself")
	}
	require.NoError(t, sys.Stop(t.Context()))
}

// asking is a checkout of two actions at the same time, the first of which asks an operator.
func asking(w *world) *saga.Saga[order] {
	s := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.State = order{ID: e.Body.Order}
			tx.Run("charge")
			tx.Run("label")
			tx.After("pay-by", time.Hour)
			tx.Complete()
			return nil
		}),
		saga.OnTimer("pay-by", func(_ context.Context, _ saga.Fired, tx *saga.Tx[order]) error {
			tx.State.Payment = "late"
			return nil
		}),
		saga.Do("charge", w.action("charge"), w.back("charge")).Ask(),
		saga.Do("label", w.action("label"), w.back("label")).Then(func(_ context.Context, p string, tx *saga.Tx[order]) error {
			tx.State.Parcel = p
			return nil
		}),
	)
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 2, true
	return s
}

// What comes for an instance that is stuck is handled once an operator has decided.
func TestNothingIsLostWhileAnInstanceIsStuck(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	w.fails["label"] = []error{errDown, errDown}
	s := asking(w)
	run := begun(t, s)
	delete(w.fails, "label")
	run.Advance(2 * time.Hour)
	in := s.In(run.Store())
	o, err := in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Stuck, o.Life)
	require.NotZero(t, o.Held)
	_, err = in.SettleDone(t.Context(), "42", "charge", "p1", checkpoint.Request{By: "ana"})
	require.NoError(t, err)
	run.Settle()
	o, err = in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.NotEmpty(t, o.State.Parcel, "the outcome of the other action")
}

func TestAnInstanceThatIsSuspendedAgainKeepsWhatIsHeld(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := reactortest.Start(t, s)
	run.Pause("checkout.do", time.Time{})
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	in := s.In(run.Store())
	do := func(call func(context.Context, string, checkpoint.Request) (store.Receipt, error)) {
		_, err := call(t.Context(), "42", checkpoint.Request{})
		require.NoError(t, err)
		run.Settle()
	}
	do(in.Suspend)
	run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
	run.Settle()
	run.Pause("checkout", time.Time{})
	do(in.Resume)
	run.Resume("checkout")
	run.Step("checkout") // the call, and not yet what is held
	do(in.Suspend)
	run.Resume("checkout.do")
	run.Settle()
	do(in.Resume)
	run.Advance(time.Minute)
	o, err := in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
}

// An operator who discards the retry of an input that was held discards the input.
func TestADiscardedRetryHoldsUpNoLaterInput(t *testing.T) {
	p := &played{t: t, m: manager{newWorld()}}
	p.s = saga.New("checkout",
		saga.Start(byOrder, p.m.placed),
		saga.On(func(e stockReserved) string { return e.Order },
			func(_ context.Context, _ reactor.Event[stockReserved], tx *saga.Tx[order]) error {
				tx.Goto("paying")
				return nil
			}, saga.In("reserving")),
		saga.On(func(e orderCancelled) string { return e.Order },
			func(context.Context, reactor.Event[orderCancelled], *saga.Tx[order]) error { return errDown }, saga.In("paying")),
		saga.On(func(e shipped) string { return e.Order }, p.m.shipped, saga.In("paying")),
	)
	p.s.Unexpected = saga.Defer
	p.s.Policy.Attempts, p.s.Policy.Outage.Off = 1, true
	p.Run = reactortest.Start(t, p.s)
	p.given(placed("42"), orderCancelled{"42"}, stockReserved{"42"})
	parked := p.Parked("checkout")
	require.Len(t, parked, 1)
	require.NoError(t, p.Control("checkout", func(ctx context.Context, o cursor.Operator) error {
		_, err := o.Discard(ctx, cursor.ParkedFilter{Position: parked[0].Position}, checkpoint.Request{By: "ana"})
		return err
	}))
	p.Advance(2 * time.Minute)
	p.given(shipped{"42"})
	require.Equal(t, saga.Completed, p.get().Life)
}

// A result that is too large for the record has happened, so it is undone.
func TestAResultThatIsTooLargeIsUndone(t *testing.T) {
	w := newWorld()
	large := func(context.Context, saga.Step[order]) (string, error) { return strings.Repeat("x", 100_000), nil }
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", large, w.back("charge")))
	run := begun(t, s)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Equal(t, []string{"undo charge"}, w.calls)
}

// An alias of a former run leads nowhere.
func TestAnAliasIsOfOneRun(t *testing.T) {
	p := play(t, func(s *saga.Saga[order]) { s.Restarts, s.Missing = saga.AfterEnd, saga.Record })
	p.given(placed("42"), stockReserved{"42"})
	p.Advance(15 * time.Minute)
	require.Equal(t, saga.Compensated, p.get().Life)
	p.given(placed("42"), paymentTaken{Ref: "pay-42", ID: "p1"})
	require.Empty(t, p.Parked("checkout"))
	require.Empty(t, p.get().State.Payment)
	require.Empty(t, p.get().Aliases)
}
