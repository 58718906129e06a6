package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

// listing is a saga that keeps the positions of what was shipped.
func listing(more ...saga.Part[seen]) *saga.Saga[seen] {
	return saga.New("checkout", append(more,
		saga.Start(byOrder, func(context.Context, reactor.Event[orderPlaced], *saga.Tx[seen]) error { return nil }),
		saga.On(func(e shipped) string { return e.Order }, func(_ context.Context, e reactor.Event[shipped], tx *saga.Tx[seen]) error {
			tx.State.Inputs = append(tx.State.Inputs, int(e.Position))
			return nil
		}))...)
}

// More than a page waits behind a start that begins the next run.
func TestTheNextRunHandlesThePagesOfTheFormer(t *testing.T) {
	s := listing()
	s.Restarts, s.Unexpected = saga.AfterEnd, saga.Record
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	run.Given(reactortest.At(at("42"), placed("42")))
	for range 100 {
		run.Given(reactortest.At(at("42"), shipped{"42"}))
	}
	run.Settle()
	_, err = in.Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Advance(time.Hour)
	o, err := in.Get("42")
	require.NoError(t, err)
	require.EqualValues(t, 2, o.Run)
	require.Len(t, o.State.Inputs, 100)
	require.IsIncreasing(t, o.State.Inputs)
	require.Zero(t, o.Held)
	requireNothingHeld(t, run)
}
