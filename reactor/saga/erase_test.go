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
	"github.com/penstock-io/penstock/supervision"
)

// requireGone requires that nothing that is kept, scheduled or held is of an instance, but how far
// it has come.
func (p *played) requireGone(words ...string) {
	p.t.Helper()
	for side, err := range p.Store().Sides("") {
		require.NoError(p.t, err)
		for _, w := range words {
			require.NotContains(p.t, string(side.Value), w, side.Key)
		}
		require.False(p.t, strings.HasPrefix(side.Key, "kept/checkout/a/"), side.Key)
		require.False(p.t, strings.HasPrefix(side.Key, "needed/"), side.Key)
	}
	o := p.get()
	require.Zero(p.t, o.State)
	require.Empty(p.t, o.Steps)
	require.Empty(p.t, o.ToUndo)
	require.Empty(p.t, o.Timers)
	require.Empty(p.t, o.Aliases)
}

func TestAnInstanceEndsOfWhichAnEventIsErased(t *testing.T) {
	for _, entity := range []string{"order:42", "saga:checkout:42"} {
		p := play(t, func(s *saga.Saga[order]) { s.Unexpected = saga.Defer })
		p.given(placed("42"), stockReserved{"42"}, shipped{"42"})
		if strings.HasPrefix(entity, "saga") { // it has an event of its own then
			_, err := p.s.In(p.Store()).Suspend(t.Context(), "42", checkpoint.Request{})
			require.NoError(t, err)
			p.Settle()
		}
		require.Equal(t, 1, p.get().Held)
		reactortest.Erase(p.Run, entity, p.s)
		o := p.get()
		require.Equal(t, saga.Failed, o.Life)
		require.ErrorIs(t, o.Err, store.ErrErased)
		require.Equal(t, []string{"release"}, o.Skipped)
		p.Settle()
		p.requireGone(`"Cents"`, "pay-42")
		p.Advance(time.Hour)
		require.Empty(t, p.m.w.calls)
		require.Equal(t, saga.Failed, p.get().Life)
		p.given(placed("42"))
		require.EqualValues(t, 1, p.get().Run, "the key is taken")
		require.Empty(t, p.Parked("checkout"))
	}
}

func TestAnInstanceThatHasEndedKeepsHow(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	p.Advance(15 * time.Minute)
	was := p.get()
	reactortest.Erase(p.Run, "order:42", p.s)
	o := p.get()
	require.Equal(t, saga.Compensated, o.Life)
	require.Equal(t, was.Ended, o.Ended)
	require.ErrorContains(t, o.Err, checkpoint.ErasedText)
	p.requireGone(`"Cents"`, "pay-42", errNotPaid.Error())
	p.Advance(30 * 24 * time.Hour)
	_, err := p.s.In(p.Store()).Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
}

// What says nothing of an instance leaves it alone.
func TestAnErasureLeavesOtherInstancesAlone(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	p.Given(reactortest.At(at("7"), placed("7")))
	p.Settle()
	reactortest.Erase(p.Run, "order:7", p.s)
	p.given(paymentTaken{Ref: "pay-42", ID: "p1"}, shipped{"42"})
	require.Equal(t, saga.Completed, p.get().Life)
}

// frugal is a state that says what stays of it.
type frugal struct{ Address, Payment string }

func (f frugal) Erased() frugal { return frugal{Payment: f.Payment} }

func TestAStateMaySayWhatStaysOfIt(t *testing.T) {
	w := newWorld()
	s := saga.Steps("checkout",
		saga.Starts(byOrder, func(f *frugal, e orderPlaced) { f.Address = "12 High Street" }),
		saga.Do("charge", func(_ context.Context, s saga.Step[frugal]) (string, error) { return w.do("charge", s.Key) },
			func(_ context.Context, s saga.Step[frugal], d saga.Done[string]) error {
				return w.undo("charge", s.Key, d.Key)
			}).
			Keep(func(f *frugal, p string) { f.Payment = p }),
		saga.Do("ship", func(_ context.Context, s saga.Step[frugal]) (string, error) { return w.do("ship", s.Key) }, nil),
		saga.CancelOn[frugal](func(e orderCancelled) string { return e.Order }),
	)
	w.fails["ship"] = []error{errDown}
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 100, true
	run := begun(t, s)
	reactortest.Erase(run, "order:42", s)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Running, o.Life)
	require.Equal(t, frugal{Payment: "charge-checkout/42.1/charge.1"}, o.State)
	run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
	run.Settle()
	run.Advance(time.Hour)
	o, err = s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Contains(t, w.calls, "undo charge")

	reactortest.Erase(run, "saga:checkout:42", s)
	o, err = s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Zero(t, o.State, "its own events are")
}

// Though nothing was said of sagas to the erasure: what an instance waits for, and was erased
// before it was handled, it does not wait for.
func TestAnInstanceDoesNotWaitForWhatWasErased(t *testing.T) {
	for name, worker := range map[string]string{"a request": "checkout.do", "an outcome": "checkout"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.checkout()
			run := reactortest.Start(t, s)
			run.Given(reactortest.At(at("42"), placed("42")))
			run.Step("checkout")
			if worker == "checkout" {
				run.Step("checkout.do")
			}
			reactortest.Erase(run, "saga:checkout:42")
			run.Settle()
			o, err := s.In(run.Store()).Get("42")
			require.NoError(t, err)
			require.Equal(t, saga.Failed, o.Life)
			require.ErrorIs(t, o.Err, store.ErrErased)
			require.Zero(t, o.State)
			require.Empty(t, run.Parked("checkout"))
			require.Empty(t, run.Parked("checkout.do"))
		})
	}
	t.Run("a timer that was held", func(t *testing.T) {
		p := play(t)
		p.given(placed("42"), stockReserved{"42"})
		ask := func(call func(context.Context, string, checkpoint.Request) (store.Receipt, error)) {
			_, err := call(t.Context(), "42", checkpoint.Request{})
			require.NoError(t, err)
			p.Settle()
		}
		ask(p.s.In(p.Store()).Suspend)
		p.Advance(15 * time.Minute)
		reactortest.Erase(p.Run, "saga:checkout:42")
		ask(p.s.In(p.Store()).Resume)
		require.Equal(t, saga.Failed, p.get().Life)
		p.requireGone("pay-42")
	})
}

// However far the instance is, and wherever in the erasure the power is cut, the end is the same.
func TestAnErasureSurvivesACrashAnywhere(t *testing.T) {
	for name, paused := range few(map[string]string{
		"a request is in flight": "checkout.do", "an outcome is": "checkout", "it has ended": "",
	}) {
		t.Run(name, func(t *testing.T) {
			var s *saga.Saga[order]
			tree := func() supervision.Child {
				w := newWorld()
				s = saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
					saga.Do("charge", w.action("charge"), w.back("charge")).Keep(func(o *order, p string) { o.Payment = p }))
				s.Deadline = time.Hour
				return s
			}
			reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
				if paused == "checkout.do" {
					run.Pause(paused, time.Time{})
				}
				run.Given(reactortest.At(at("42"), placed("42")))
				run.Step("checkout")
				if paused == "checkout" {
					run.Pause(paused, time.Time{})
				}
				run.Settle()
				reactortest.Erase(run, "order:42", s)
				if paused != "" {
					run.Resume(paused)
				}
				run.Settle()
				o, err := s.In(run.Store()).Get("42")
				require.NoError(t, err)
				require.True(t, o.Life.Ended(), "%v", o)
				require.Zero(t, o.State)
			})
		})
	}
}

// What an action returns of an instance that was erased meanwhile is not written.
func TestAnActionThatIsAtAnErasedInstanceLeavesNothingOfIt(t *testing.T) {
	var run *reactortest.Run
	var s *saga.Saga[order]
	w := newWorld()
	s = saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", func(ctx context.Context, _ saga.Step[order]) (string, error) {
			_, err := store.Erase(ctx, run.Store(), store.Erasure{
				Entity: "order:42", Reason: "asked for", By: "an officer", Sides: reactor.ErasedSides(run.Store(), s),
			})
			return "secret", err
		}, w.back("charge")))
	run = reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	p := &played{Run: run, t: t, s: s}
	p.requireGone("secret")
	require.Equal(t, saga.Failed, p.get().Life)
	for e, err := range s.In(run.Store()).History(t.Context(), "42") {
		require.NoError(t, err)
		require.NotContains(t, string(e.Payload), "secret")
	}
}
