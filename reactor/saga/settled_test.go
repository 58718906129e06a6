package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/saga"
)

// thrice is a saga that charges three times.
func thrice(w *world) *saga.Saga[order] {
	s := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.Run("charge")
			return nil
		}),
		saga.Do("charge", w.action("charge"), w.back("charge")).Then(func(_ context.Context, _ string, tx *saga.Tx[order]) error {
			if tx.State.Cents++; tx.State.Cents < 3 {
				tx.Run("charge")
				return nil
			}
			tx.Complete()
			return nil
		}))
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 1000, true
	return s
}

// It waits in its backoff still.
func TestARequestThatWasRetriedHoldsUpNoLaterVisit(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	s := thrice(w)
	run := begun(t, s)
	run.Advance(2 * time.Hour)
	delete(w.fails, "charge")
	_, err := s.In(run.Store()).Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Completed, get(t, s, run).Life)
}

func TestAnUndoThatWasSettledHoldsUpNoOther(t *testing.T) {
	w := newWorld()
	w.fails["charge"], w.fails["undo charge"] = []error{nil, nil, saga.Refuse(errDown)}, []error{errDown}
	s := thrice(w)
	run := begun(t, s)
	require.Equal(t, saga.Compensating, get(t, s, run).Life)
	run.Advance(2 * time.Hour)
	delete(w.fails, "undo charge")
	_, err := s.In(run.Store()).SettleDone(t.Context(), "42", "undo charge", nil, ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
}
