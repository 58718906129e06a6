package saga_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

var bob = checkpoint.Request{By: "bob", Reason: "test"}

// Of two operators who have read the same the first one settles the undo, and not the next one.
func TestTwoOperatorsSettleOneUndoOnce(t *testing.T) {
	w := newWorld()
	s := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.Run("charge")
			return nil
		}),
		saga.Do("charge", w.action("charge"), w.back("charge")).Then(func(_ context.Context, _ string, tx *saga.Tx[order]) error {
			if tx.State.Cents++; tx.State.Cents < 2 {
				tx.Run("charge")
			}
			return nil
		}))
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 3, true
	run := begun(t, s)
	w.fails["undo charge"] = []error{saga.Refuse(errDown)}
	in := s.In(run.Store())
	_, err := in.Cancel(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	require.Equal(t, []string{"charge", "charge"}, get(t, s, run).ToUndo)
	w.fails["undo charge"] = nil
	for _, who := range []checkpoint.Request{ana, bob} { // both have read: stuck at undo charge
		_, err := in.SettleDone(t.Context(), "42", "undo charge", nil, who)
		require.NoError(t, err)
	}
	run.Settle()
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
	require.NotContains(t, w.effects(), "checkout/42.1/charge.1", "of the first visit: it is not undone")
}

func TestARetryThatFindsOutMayBeTriedNow(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	s := charging(w)
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Cancel(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Advance(time.Minute)
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	s2 := get(t, s, run)
	require.ErrorContains(t, s2.Err, "charge")
	_, err = in.Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle() // fails once, waits for its backoff
	require.Equal(t, saga.Compensating, get(t, s, run).Life)
	calls := len(w.calls)
	delete(w.fails, "charge")
	_, err = in.Retry(t.Context(), "42", bob)
	require.NoError(t, err)
	run.Settle()
	require.Greater(t, len(w.calls), calls, "it was not tried: %v", get(t, s, run).Err)
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
}

func TestARetryIsTriedThoughADeadlineWasHeld(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	s := charging(w)
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Advance(10 * time.Minute)
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	run.Advance(time.Hour)
	delete(w.fails, "charge")
	calls := len(w.calls)
	_, err := s.In(run.Store()).Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Step("checkout")
	run.Step("checkout") // the deadline, before the attempt
	run.Settle()
	run.Advance(time.Minute)
	require.Greater(t, len(w.calls), calls, "it was not tried: %v", get(t, s, run).Err)
}

func TestWhatWasInFlightIsAmongWhatWasNotUndone(t *testing.T) {
	for _, how := range []string{"abandoned", "erased"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld()
			w.fails["charge"], w.lies["charge"] = []error{errDown}, true
			s := w.checkout()
			run := begun(t, s)
			require.Contains(t, w.effects(), "checkout/42.1/charge.1")
			if how == "erased" {
				reactortest.Erase(run, "order:42", s)
			} else {
				_, err := s.In(run.Store()).Abandon(t.Context(), "42", ana)
				require.NoError(t, err)
			}
			run.Advance(time.Hour)
			o := get(t, s, run)
			require.Equal(t, saga.Failed, o.Life)
			require.Equal(t, []string{"reserve", "charge"}, o.Skipped)
		})
	}
}

// What was attempted is undone, though the store has refused to say so before.
func TestAnAnswerThatIsRefusedIsNotForgotten(t *testing.T) {
	w := newWorld()
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", w.action("charge"), w.back("charge")),
		saga.CancelOn[order](func(e orderCancelled) string { return e.Order }))
	closed := true
	gate := store.Gate{Name: "hours", Region: store.Region{Kinds: []string{"saga.checkout.done"}}, Judge: func(context.Context, *store.Case) error {
		if closed {
			return errors.New("not now")
		}
		return nil
	}}
	run := reactortest.Start(t, reactortest.Gated{Tree: s, Gates: []store.Gate{gate}})
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	require.NotEmpty(t, w.effects())
	closed = false
	run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
	run.Step("checkout")
	run.Advance(time.Hour)
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
	require.Empty(t, w.effects(), "it was withdrawn, and not undone")
}

// endingCtx is a context that ends after its Err was asked so often.
type endingCtx struct {
	context.Context //nolint:containedctx // it is one

	left int
}

func (c *endingCtx) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// An error of reading what has waited is none of the event.
func TestAStopLosesNoAnswerToAnInputWithoutAnInstance(t *testing.T) {
	s := saga.New("checkout",
		saga.Start(byOrder, func(context.Context, reactor.Event[orderPlaced], *saga.Tx[order]) error { return nil }),
		saga.On(func(e stockReserved) string { return e.Order }, func(context.Context, reactor.Event[stockReserved], *saga.Tx[order]) error { return nil }),
		saga.OnMissing(func(_ context.Context, e reactor.Event[stockReserved], tx *saga.Tx[order]) error {
			tx.Emit(store.At("stock", "shop"), refunded{e.Body.Order})
			return nil
		}))
	s.Missing, s.HoldFor = saga.Defer, 10*time.Millisecond
	now := time.Now()
	st, err := store.Open(t.TempDir(), store.Options{Clock: func() time.Time { return now }})
	require.NoError(t, err)
	defer st.Close()
	w, err := s.Group().Children[0].(interface {
		CursorWorker() (cursor.Worker, error)
	}).CursorWorker()
	require.NoError(t, err)
	handle, stop := w.Handle, 1<<30
	w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		return handle(&endingCtx{Context: ctx, left: stop}, b)
	}
	r, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	_, err = st.Append(t.Context(), at("42"), store.Any, stockReserved{"42"})
	require.NoError(t, err)
	_, err = r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	now = now.Add(time.Second)
	n, err := cursor.Ring(t.Context(), r, st.Now())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	stop = 1 // it ends once the handler has begun
	_, err = r.Step(t.Context(), 0, 0)
	require.Error(t, err)
	stop = 1 << 30
	_, err = r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	var kinds []string
	for e, err := range st.Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		kinds = append(kinds, e.Kind)
	}
	require.Contains(t, kinds, "payment.refunded", "%v", kinds)
}

func TestAnInstanceIsUnrunnableWithoutTheStepThatItIsStuckAt(t *testing.T) {
	w := newWorld()
	w.fails["ship"] = []error{saga.Refuse(errDown)}
	starts := saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order })
	v1 := saga.Steps("checkout", starts, saga.Do("reserve", w.action("reserve"), w.back("reserve")), saga.Pivot[order](), saga.Do("ship", w.action("ship"), nil))
	v2 := saga.Steps("checkout", starts, saga.Do("reserve", w.action("reserve"), w.back("reserve")), saga.Pivot[order](), saga.Do("send", w.action("send"), nil))
	d := deployed(t, v1)
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	require.Equal(t, saga.Stuck, d.get().Life)
	o, err := v2.In(d.run.Store()).Get("42")
	require.NoError(t, err)
	require.Contains(t, o.Unrunnable, "ship")
}
