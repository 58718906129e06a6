package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// A request of a run that has ended is carried out for no other run of its key.
func TestARequestOfARunThatIsOverIsNotCarriedOut(t *testing.T) {
	for name, again := range map[string]bool{"it has ended": false, "it has begun again": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.checkout()
			s.Restarts = saga.AfterEnd
			run := reactortest.Start(t, s)
			run.Pause("checkout.do", time.Time{})
			run.Given(reactortest.At(at("42"), placed("42")))
			run.Settle()
			_, err := s.In(run.Store()).Abandon(t.Context(), "42", ana)
			require.NoError(t, err)
			if again {
				run.Given(reactortest.At(at("42"), placed("42")))
				_, err := s.In(run.Store()).Abandon(t.Context(), "42", ana) // of the first one, as it is seen
				require.NoError(t, err)
			}
			run.Settle()
			run.Resume("checkout.do")
			run.Advance(time.Minute)
			if !again {
				require.Empty(t, w.calls)
				return
			}
			require.Equal(t, saga.Completed, get(t, s, run).Life)
			require.Len(t, w.effects(), 5)
			require.NotContains(t, w.effects(), "checkout/42.1/reserve.1")
		})
	}
}

func TestAnAnswerOfARunThatIsOverIsNotLookedAt(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	s.Restarts = saga.AfterEnd
	var run *reactortest.Run
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		if a.Key == "checkout/42.1/reserve.1" {
			_, err := s.In(run.Store()).Abandon(ctx, "42", ana)
			require.NoError(t, err)
			_, err = run.Store().Append(ctx, at("42"), store.Any, placed("42"))
			require.NoError(t, err)
		}
		return next(ctx)
	}
	run = begun(t, s)
	run.Advance(time.Minute)
	require.Equal(t, saga.Completed, get(t, s, run).Life)
	require.Contains(t, w.effects(), "checkout/42.1/reserve.1")
	require.Contains(t, w.effects(), "checkout/42.2/reserve.1")
}

// Where an instance stands says which calls of an operator fit.
func TestACallThatDoesNotFitIsRefused(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	w.fails["ship"] = []error{errDown}
	run := begun(t, s)
	in := s.In(run.Store())
	type call func(context.Context, string, checkpoint.Request) (store.Receipt, error)
	refused := func(calls ...call) {
		t.Helper()
		for _, c := range calls {
			_, err := c(t.Context(), "42", checkpoint.Request{By: "ana", DryRun: true})
			require.ErrorIs(t, err, saga.ErrUnfit)
		}
	}
	fire := func(ctx context.Context, key string, r checkpoint.Request) (store.Receipt, error) {
		return in.Fire(ctx, key, "saga-deadline", r)
	}
	refused(in.Cancel, in.SkipUndo, in.Resume, in.Purge, fire) // behind the pivot, with "ship" in flight
	_, err := in.Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, []string{"reserve", "charge", "label"}, get(t, s, run).Skipped, "what has an undo")
	refused(in.Cancel, in.Retry, in.SkipUndo, in.Suspend, in.Resume, in.Abandon, fire)
}

// What cancels an instance that is not there has no effect.
func TestACancellationWithoutAnInstanceIsRecorded(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("43"), orderCancelled{"43"}))
	run.Settle()
	require.Empty(t, run.Parked("checkout"))
	require.Len(t, recorded(t, s.In(run.Store()), "43"), 1)
}

// What waits for nothing leaves nothing behind.
func TestNothingIsKeptOfWhatFoundNoInstance(t *testing.T) {
	p := play(t, func(s *saga.Saga[order]) { s.Missing = saga.Defer })
	p.given(stockReserved{"42"}, paymentTaken{Ref: "pay-42"})
	p.Advance(2 * time.Minute)
	info, err := checkpoint.Inspect(p.Store(), "checkout")
	require.NoError(t, err)
	prefix := checkpoint.KeptPrefix(info.Record.FirstName("checkout"))
	var keys []string
	for side, err := range p.Store().Sides(prefix) {
		require.NoError(t, err)
		keys = append(keys, side.Key[len(prefix):])
	}
	require.Equal(t, []string{"d/names"}, keys)
}

// dispatching is a list whose last steps are at the same time, and withdraw each other.
func dispatching(w *world, before ...saga.Part[order]) *saga.Saga[order] {
	parts := append([]saga.Part[order]{saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order })}, before...)
	return saga.Steps("checkout", append(parts, saga.All("dispatch",
		saga.Do("label", w.action("label"), nil), saga.Do("invoice", w.action("invoice"), nil)).Withdraw())...)
}

// One that is done withdraws no other.
func TestWhatIsDoneWithdrawsNothing(t *testing.T) {
	w := newWorld()
	w.fails["invoice"] = []error{errDown}
	s := dispatching(w)
	run := begun(t, s)
	require.Equal(t, saga.Running, get(t, s, run).Life)
	delete(w.fails, "invoice")
	run.Advance(time.Minute)
	require.Equal(t, saga.Completed, get(t, s, run).Life)
}

// Behind the pivot there is no way back for which to withdraw anything.
func TestNothingIsWithdrawnBehindThePivot(t *testing.T) {
	w := newWorld()
	w.fails["label"], w.fails["invoice"] = []error{saga.Refuse(errDown)}, []error{errDown}
	s := dispatching(w, saga.Pivot[order]())
	run := begun(t, s)
	require.Equal(t, saga.Running, get(t, s, run).Life)
	delete(w.fails, "invoice")
	run.Advance(time.Minute)
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	require.Contains(t, w.effects(), "checkout/42.1/invoice.1")
}

// An action has its own Timeout.
func TestAnAttemptHasTheTimeoutOfItsAction(t *testing.T) {
	w := newWorld()
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("reserve", w.action("reserve"), nil).Timeout(time.Minute), saga.Do("charge", w.action("charge"), nil))
	s.Effects.Timeout = time.Hour
	left := make(map[string]time.Duration)
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		until, _ := ctx.Deadline()
		left[a.Step] = time.Until(until).Round(time.Minute)
		return next(ctx)
	}
	begun(t, s)
	require.Equal(t, map[string]time.Duration{"reserve": time.Minute, "charge": time.Hour}, left)
}

// lacking is a saga that has all that an instance needs, but for some of it.
func lacking(w *world, without string) *saga.Saga[order] {
	parts := []saga.Part[order]{
		saga.Start(byOrder, func(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.State.ID = e.Body.Order
			tx.Run("reserve")
			tx.Run("charge")
			tx.OnUndo("release")
			tx.After("pay-by", time.Hour)
			return nil
		}),
	}
	back := w.back("reserve")
	if without == `undo of step "reserve"` {
		back = nil
	}
	for lacks, part := range map[string]saga.Part[order]{
		`step "charge"`:          saga.Do("charge", w.action("charge"), w.back("charge")),
		`undo of step "release"`: saga.Undo("release", func(context.Context, saga.Step[order]) error { return nil }),
		`timer "pay-by"`:         saga.OnTimer("pay-by", func(context.Context, saga.Fired, *saga.Tx[order]) error { return nil }),
		"":                       saga.Do("reserve", w.action("reserve"), back),
	} {
		if lacks == "" || lacks != without {
			parts = append(parts, part)
		}
	}
	return saga.New("checkout", parts...)
}

func TestAnInstanceIsUnrunnableByADefinitionThatLacksWhatItIsAt(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	run := begun(t, lacking(w, ""))
	for _, without := range []string{"", `step "charge"`, `undo of step "release"`, `undo of step "reserve"`, `timer "pay-by"`} {
		require.Equal(t, without, get(t, lacking(w, without), run).Unrunnable)
	}
}

// An instance of a former version is handled by that, also an event that the present one does not
// know.
func TestAnInstanceHandlesTheEventsOfItsVersion(t *testing.T) {
	m := manager{newWorld()}
	s := func(version uint32, more ...saga.Part[order]) *saga.Saga[order] {
		s := saga.New("checkout", append(more, saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.Goto("shipping")
			return nil
		}))...)
		s.Version = version
		return s
	}
	v1 := s(1, saga.On(func(e shipped) string { return e.Order }, m.shipped, saga.In("shipping")))
	d := deployed(t, v1)
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	d.deploy(s(2).With(v1))
	d.run.Given(reactortest.At(at("42"), shipped{"42"}))
	d.run.Advance(time.Minute)
	require.Equal(t, saga.Completed, d.get().Life)
}

// An instance that has ended is not migrated any more.
func TestWhatHasEndedIsNotMigrated(t *testing.T) {
	w := newWorld()
	v1, v2 := two(w)
	d := deployed(t, v1)
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	require.Equal(t, saga.Completed, d.get().Life)
	migrating := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("reserve", w.action("reserve"), w.back("reserve")),
		saga.Migrate(1, func(order, *saga.Place) (order, error) { return order{}, errDown }))
	migrating.Version = v2.Version
	d.deploy(migrating)
	_, err := migrating.In(d.run.Store()).Purge(t.Context(), "42", ana)
	require.NoError(t, err)
	d.run.Settle()
	_, err = migrating.In(d.run.Store()).Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
}

// A handler of refusals is called for these alone.
func TestAnUnknownOutcomeIsNoRefusal(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	s := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.Run("charge")
			return nil
		}),
		saga.Do("charge", w.action("charge"), w.back("charge")).Attempts(1).Refused(func(_ context.Context, _ error, tx *saga.Tx[order]) error {
			tx.Complete()
			return nil
		}))
	run := begun(t, s)
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
	require.Equal(t, []string{"charge", "undo charge"}, w.calls)
}

// A timer that an operator has had fire does not fire once more when it is due.
func TestATimerThatAnOperatorFiresIsOver(t *testing.T) {
	w := newWorld()
	s := timed(w, func(tx *saga.Tx[order]) { tx.Goto("late") })
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	_, err = in.Fire(t.Context(), "42", "a", ana)
	require.ErrorIs(t, err, saga.ErrUnfit)
	_, err = in.Resume(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	_, err = in.Fire(t.Context(), "42", "a", ana)
	require.NoError(t, err)
	run.Advance(2 * time.Hour)
	require.Equal(t, "late", get(t, s, run).State.Payment)
	require.Len(t, firings(t, run), 1)
}

// What is abandoned has failed because of what it has turned back for.
func TestAnInstanceIsAbandonedWhileItTurnsBack(t *testing.T) {
	w := newWorld()
	w.fails["charge"], w.fails["undo reserve"] = []error{errDown}, []error{errDown}
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.SettleDone(t.Context(), "42", "charge", "p", ana)
	require.ErrorIs(t, err, saga.ErrUnfit, "it may happen yet, and could not be undone then")
	_, err = in.Cancel(t.Context(), "42", checkpoint.Request{Reason: strings.Repeat("x", 1<<16)})
	require.ErrorIs(t, err, store.ErrInvalid)
	_, err = in.Cancel(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	_, err = in.Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Failed, get(t, s, run).Life)
	require.ErrorIs(t, get(t, s, run).Err, saga.ErrCancelled)
}
