package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// outage is a checkout one of whose undos fails for two hours: alone, so that it looks like an
// outage, in which no attempt counts.
func outage(t *testing.T, w *world) (*saga.Saga[order], *reactortest.Run) {
	t.Helper()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	w.fails["undo charge"] = []error{errDown}
	s := w.checkout()
	s.Effects.Policy.Outage.Off = false
	run := begun(t, s)
	run.Advance(2 * time.Hour)
	require.Equal(t, saga.Compensating, get(t, s, run).Life)
	return s, run
}

func get[S any](t *testing.T, s *saga.Saga[S], run *reactortest.Run) saga.Instance[S] {
	t.Helper()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	return o
}

func TestAnOperatorDecidesAboutAnUndoInAnOutage(t *testing.T) {
	type instances = saga.Instances[order]
	for name, c := range map[string]struct {
		decide func(in *instances, w *world) (store.Receipt, error)
		life   saga.Life
		left   []string
	}{
		"it is passed over": {func(in *instances, _ *world) (store.Receipt, error) {
			return in.SkipUndo(t.Context(), "42", ana)
		}, saga.Failed, []string{"checkout/42.1/charge.1", "checkout/42.1/invoice.1"}},
		"it was done by telephone": {func(in *instances, _ *world) (store.Receipt, error) {
			return in.SettleDone(t.Context(), "42", "undo charge", nil, ana)
		}, saga.Compensated, []string{"checkout/42.1/charge.1", "checkout/42.1/invoice.1"}},
		"it is tried now": {func(in *instances, w *world) (store.Receipt, error) {
			w.fails["undo charge"] = nil
			return in.Retry(t.Context(), "42", ana)
		}, saga.Compensated, []string{"checkout/42.1/invoice.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s, run := outage(t, w)
			in := s.In(run.Store())
			_, err := in.SettleRefused(t.Context(), "42", "undo charge", ana)
			require.ErrorIs(t, err, saga.ErrUnfit)
			_, err = in.SettleDone(t.Context(), "42", "undo charge", "result", ana)
			require.ErrorIs(t, err, saga.ErrUnfit)
			_, err = in.SettleDone(t.Context(), "42", "undo reserve", nil, ana)
			require.ErrorIs(t, err, saga.ErrUnfit)
			for _, action := range []string{"", "charge", "undo reserve"} { // it is the undo that waits
				_, err = in.SettleDone(t.Context(), "42", action, nil, ana)
				require.ErrorContains(t, err, `; what fits is SettleDone("undo charge")`)
			}
			_, err = c.decide(in, w)
			require.NoError(t, err)
			run.Settle()
			require.Equal(t, c.life, get(t, s, run).Life)
			require.Equal(t, c.left, w.effects())
			calls := len(w.calls)
			run.Advance(2 * time.Hour)
			require.Len(t, w.calls, calls, "nothing of it is tried any more")
		})
	}
}

// Of two operators who have the same undo passed over the second one does not pass over the next.
func TestTwoOperatorsPassOverAnUndo(t *testing.T) {
	w := newWorld()
	s, run := outage(t, w)
	for range 2 {
		_, err := s.In(run.Store()).SkipUndo(t.Context(), "42", ana)
		require.NoError(t, err)
	}
	run.Settle()
	o := get(t, s, run)
	require.Equal(t, saga.Failed, o.Life)
	require.Equal(t, []string{"charge"}, o.Skipped)
	require.Len(t, recorded(t, s.In(run.Store()), "42"), 1)
}

// Where the retry fails, too, the next one is tried at once again.
func TestAnUndoInAnOutageIsRetriedAtOnceEachTime(t *testing.T) {
	w := newWorld()
	s, run := outage(t, w)
	for range 3 {
		calls := len(w.calls)
		_, err := s.In(run.Store()).Retry(t.Context(), "42", ana)
		require.NoError(t, err)
		run.Settle()
		require.Len(t, w.calls, calls+1)
	}
	w.fails["undo charge"] = nil
	run.Advance(2 * time.Hour)
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
}

// What an attempt answers that was under way is that of a request which is over.
func TestTheAnswerOfAnUndoThatWasPassedOverIsNotLookedAt(t *testing.T) {
	w := newWorld()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	var run *reactortest.Run
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		if a.String() == "undo charge" {
			if _, err := s.In(run.Store()).SkipUndo(ctx, "42", ana); err != nil {
				return err
			}
		}
		return next(ctx)
	}
	run = reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	o := get(t, s, run)
	require.Equal(t, saga.Failed, o.Life)
	require.Equal(t, []string{"charge"}, o.Skipped)
	require.Equal(t, []string{"reserve", "charge", "label", "invoice", "undo charge", "undo reserve"}, w.calls)
}

// A service that books and cannot cancel does not look down.
func TestAnUndoInAnOutageHoldsUpNoAction(t *testing.T) {
	w := newWorld()
	s, run := outage(t, w)
	run.Given(reactortest.At(at("43"), placed("43")))
	run.Settle()
	o, err := s.In(run.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
}

// Behind the pivot there is no deadline and no way back.
func TestAStepBehindThePivotInAnOutageIsSettledOrTriedNow(t *testing.T) {
	w := newWorld()
	w.fails["ship"] = []error{errDown}
	s := w.checkout()
	s.Effects.Policy.Outage.Off = false
	run := begun(t, s)
	run.Advance(2 * time.Hour)
	in, calls := s.In(run.Store()), len(w.calls)
	_, err := in.Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Len(t, w.calls, calls+1)
	_, err = in.SettleRefused(t.Context(), "42", "ship", ana)
	require.ErrorIs(t, err, saga.ErrUnfit, "it may happen yet")
	_, err = in.SettleDone(t.Context(), "42", "ship", "by hand", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Completed, get(t, s, run).Life)
}

// What an operator had tried once more may have happened before, so its undo is not left out.
func TestAStepThatIsWithdrawnAfterARetryIsUndone(t *testing.T) {
	w := newWorld()
	w.fails["charge"], w.lies["charge"] = []error{errDown}, true
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	_, err = in.Cancel(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
	require.Empty(t, w.effects())
}

// A result of another type than that of the step is refused in the call.
func TestASettlementOfTheWrongTypeIsRefused(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	s := charging(w)
	run := begun(t, s)
	run.Advance(10 * time.Minute)
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	in := s.In(run.Store())
	_, err := in.SettleDone(t.Context(), "42", "charge", 7, ana)
	require.ErrorIs(t, err, saga.ErrUnfit)
	require.ErrorContains(t, err, `the result of step "charge": json: cannot unmarshal number`)

	// one that is there all the same, by another program, is recorded
	_, err = run.Store().Append(t.Context(), store.At("saga:checkout:42", "saga"), store.Any, store.Raw{
		Type: "saga.checkout.asked", Data: []byte(`{"do":"settle","step":"charge","status":"done","result":7}`),
	})
	require.NoError(t, err)
	run.Settle()
	require.Empty(t, run.Parked("checkout"))
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	_, err = in.SettleDone(t.Context(), "42", "charge", "pay-7", ana)
	require.NoError(t, err)
	run.Settle()
	o := get(t, s, run)
	require.Equal(t, saga.Completed, o.Life)
	require.Equal(t, "pay-7", o.State.Payment)
}

// charging is a checkout that asks what happened in its charge.
func charging(w *world) *saga.Saga[order] {
	s := saga.Steps("checkout",
		saga.Starts(byOrder, func(o *order, e orderPlaced) { *o = order{ID: e.Order, Cents: e.Cents} }),
		saga.Do("reserve", w.action("reserve"), w.back("reserve")),
		saga.Do("charge", w.action("charge"), w.back("charge")).Keep(func(o *order, p string) { o.Payment = p }).Ask(),
		saga.CancelOn[order](func(e orderCancelled) string { return e.Order }),
	)
	s.Deadline = 30 * time.Minute
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 3, true
	return s
}

// A blind undo would harm, whatever has the instance turn back.
func TestWhatAsksIsNeverUndoneBlindly(t *testing.T) {
	ways := map[string]func(t *testing.T, in *saga.Instances[order], run *reactortest.Run){
		"deadline": func(_ *testing.T, _ *saga.Instances[order], run *reactortest.Run) { run.Advance(31 * time.Minute) },
		"event": func(_ *testing.T, _ *saga.Instances[order], run *reactortest.Run) {
			run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
		},
		"operator": func(t *testing.T, in *saga.Instances[order], _ *reactortest.Run) {
			_, err := in.Cancel(t.Context(), "42", ana)
			require.NoError(t, err)
		},
	}
	answers := map[string]struct {
		settle func(in *saga.Instances[order], w *world) (store.Receipt, error)
		calls  []string // after the first one of charge
		left   []string
	}{
		"it happened": {func(in *saga.Instances[order], _ *world) (store.Receipt, error) {
			return in.SettleDone(t.Context(), "42", "charge", "pay-7", ana)
		}, []string{"undo charge", "undo reserve"}, nil},
		"it did not": {func(in *saga.Instances[order], _ *world) (store.Receipt, error) {
			return in.SettleRefused(t.Context(), "42", "charge", ana)
		}, []string{"undo reserve"}, []string{"checkout/42.1/charge.1"}},
		"it is tried, to find out": {func(in *saga.Instances[order], w *world) (store.Receipt, error) {
			w.fails["charge"] = nil
			return in.Retry(t.Context(), "42", ana)
		}, []string{"charge", "undo charge", "undo reserve"}, nil},
	}
	for way, turn := range ways {
		for answer, a := range answers {
			t.Run(way+", "+answer, func(t *testing.T) {
				w := newWorld()
				w.fails["charge"], w.lies["charge"] = []error{errDown}, true
				s := charging(w)
				s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 10_000, false // it is in flight
				run := reactortest.Start(t, s)
				run.Given(reactortest.At(at("42"), placed("42")))
				run.Settle()
				in := s.In(run.Store())
				turn(t, in, run)
				run.Advance(2 * time.Hour)
				require.Equal(t, saga.Stuck, get(t, s, run).Life)
				calls := len(w.calls)
				_, err := a.settle(in, w)
				require.NoError(t, err)
				run.Settle()
				require.Equal(t, saga.Compensated, get(t, s, run).Life)
				require.Equal(t, a.calls, w.calls[calls:])
				require.Equal(t, a.left, w.effects())
			})
		}
	}
}

type unreadable struct{ Name string }

func (unreadable) MarshalJSON() ([]byte, error) { return []byte(`{"Name":7}`), nil }

// A result that cannot be read as its type is unknown: the step is undone.
func TestAResultThatCannotBeReadParksNothing(t *testing.T) {
	w := newWorld()
	certain := true
	s := saga.Steps("checkout",
		saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("odd", func(context.Context, saga.Step[order]) (unreadable, error) { return unreadable{}, nil },
			func(_ context.Context, _ saga.Step[order], d saga.Done[unreadable]) error {
				certain = d.Certain
				return nil
			}).Keep(func(o *order, u unreadable) { o.Payment = u.Name }),
	)
	run := begun(t, s)
	run.Advance(time.Hour)
	require.Empty(t, run.Parked("checkout"))
	o := get(t, s, run)
	require.Equal(t, saga.Compensated, o.Life)
	require.False(t, certain)
	require.ErrorContains(t, o.Err, "it is done, and its result cannot be read: json")
	require.Empty(t, w.calls)
}
