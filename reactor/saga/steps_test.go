package saga_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

func TestStepsAreCarriedOutInOrder(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
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
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	require.Equal(t, []string{"reserve", "charge", "label", "invoice", "undo charge", "undo reserve"}, w.calls)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Equal(t, []string{"checkout/42.1/invoice.1"}, w.effects(), "it has no undo")
}
