package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

func TestWhatIsAroundAttemptsSeesAndDecidesThem(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	var seen []string
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		seen = append(seen, a.String()+" "+a.Key)
		require.Equal(t, "checkout", a.Saga)
		require.Equal(t, "42", a.Instance)
		if a.String() == "invoice" {
			if err := next(ctx); err != nil {
				return err
			}
			return saga.Refuse(errDown)
		}
		return next(ctx)
	}
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Advance(time.Minute)
	require.Equal(t, []string{
		"reserve checkout/42.1/reserve.1",
		"charge checkout/42.1/charge.1",
		"label checkout/42.1/label.1",
		"invoice checkout/42.1/invoice.1",
		"undo label checkout/42.1/label.1/undo",
		"undo charge checkout/42.1/charge.1/undo",
		"undo reserve checkout/42.1/reserve.1/undo",
	}, seen)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
}

func TestWhatIsAroundAnAttemptMayTakeItsPlace(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		if a.Step == "charge" {
			return nil
		}
		return next(ctx)
	}
	run := begun(t, s)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.Empty(t, o.State.Payment)
	require.NotContains(t, w.calls, "charge")
}
