package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

func TestStepsAreCarriedOutInOrder(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := begun(t, s)
	require.Equal(t, []string{"reserve", "charge", "label", "invoice", "ship"}, w.calls)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.Equal(t, order{ID: "42", Cents: 900, Payment: "charge-checkout/42.1/charge.1", Parcel: "label-checkout/42.1/label.1"}, o.State)
}

func TestARefusedStepUndoesThoseBeforeInReverse(t *testing.T) {
	w := newWorld()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	require.Equal(t, []string{"reserve", "charge", "label", "invoice", "undo charge", "undo reserve"}, w.calls)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Equal(t, []string{"checkout/42.1/invoice.1"}, w.effects(), "it has no undo")
}

// Whether the charge has happened is not known: its caller has only got errors. So it is undone.
func TestAnActionWhoseOutcomeIsUnknownIsUndone(t *testing.T) {
	w := newWorld()
	w.fails["charge"], w.lies["charge"] = []error{errDown}, true
	s := w.checkout()
	run := begun(t, s)
	run.Advance(10 * time.Minute)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Equal(t, []string{"reserve", "charge", "charge", "charge", "undo charge", "undo reserve"}, w.calls)
	require.Empty(t, w.effects())
	require.Empty(t, run.Parked("checkout.do"))
	var failure *saga.FailureError
	require.ErrorAs(t, o.Err, &failure)
	require.Equal(t, "charge", failure.Step)
	require.ErrorIs(t, o.Err, saga.ErrUnknown)
}

// An undo that fails for good is an operator's to decide about.
func TestAnUndoThatFailsStopsTheInstanceUntilAnOperatorDecides(t *testing.T) {
	for name, c := range map[string]struct {
		decide func(*saga.Instances[order], context.Context, string, checkpoint.Request) (store.Receipt, error)
		life   saga.Life
		left   []string
	}{
		"it is repeated":    {(*saga.Instances[order]).Retry, saga.Compensated, nil},
		"it is passed over": {(*saga.Instances[order]).SkipUndo, saga.Failed, []string{"checkout/42.1/charge.1"}},
		"it is abandoned":   {(*saga.Instances[order]).Abandon, saga.Failed, []string{"checkout/42.1/charge.1", "checkout/42.1/reserve.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fails["label"] = []error{saga.Refuse(errDown)}
			w.fails["invoice"] = []error{saga.Refuse(errDown)}
			w.fails["undo charge"] = []error{saga.Refuse(errDown)}
			s := w.checkout()
			run := begun(t, s)
			in := s.In(run.Store())
			o, err := in.Get("42")
			require.NoError(t, err)
			require.Equal(t, saga.Stuck, o.Life)
			var stuck *saga.StuckError
			require.ErrorAs(t, o.Err, &stuck)
			require.True(t, stuck.Undo)
			require.Equal(t, "charge", stuck.Step)
			_, err = in.Resume(t.Context(), "42", checkpoint.Request{})
			require.ErrorIs(t, err, saga.ErrUnfit)
			receipt, err := c.decide(in, t.Context(), "42", checkpoint.Request{DryRun: true})
			require.NoError(t, err)
			require.Zero(t, receipt)
			_, err = c.decide(in, t.Context(), "42", checkpoint.Request{By: "ana", Reason: "called the bank"})
			require.NoError(t, err)
			run.Settle()
			o, err = in.Get("42")
			require.NoError(t, err)
			require.Equal(t, c.life, o.Life)
			require.Equal(t, c.left, w.effects())
		})
	}
}

// Behind the pivot nothing is undone.
func TestAStepBehindThePivotThatFailsIsRepeatedByAnOperator(t *testing.T) {
	w := newWorld()
	w.fails["ship"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	o, err := in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Stuck, o.Life)
	_, err = in.SkipUndo(t.Context(), "42", checkpoint.Request{})
	require.ErrorIs(t, err, saga.ErrUnfit)
	run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
	run.Settle()
	_, err = in.Retry(t.Context(), "42", checkpoint.Request{})
	require.NoError(t, err)
	run.Settle()
	o, err = in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
}

func TestASuspendedInstanceDoesNotMoveUntilItIsResumed(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown, errDown}
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", checkpoint.Request{})
	require.NoError(t, err)
	run.Settle()
	run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
	delete(w.fails, "charge")
	run.Advance(time.Minute)
	o, err := in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Suspended, o.Life)
	require.Equal(t, 1, o.Held)
	require.Equal(t, []string{"reserve", "charge"}, w.calls)
	_, err = in.Resume(t.Context(), "42", checkpoint.Request{})
	require.NoError(t, err)
	run.Settle()
	run.Advance(time.Minute)
	o, err = in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Empty(t, w.effects())
}
