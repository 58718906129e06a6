package saga_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// marking is a probe that puts the event into the context.
type marking struct{}

func (marking) Handle(ctx context.Context, t cursor.Try) (handler context.Context, end func(error)) {
	if len(t.Events) != 1 {
		return ctx, nil
	}
	return context.WithValue(ctx, marking{}, t.Events[0].Position), nil
}

func (marking) Commit(cursor.Writing) (end func(store.Receipt, error)) { return nil }

func TestAHandlerOfASagaHasTheContextOfItsProbe(t *testing.T) {
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	batch := store.Batch{Events: []store.Proposal{
		{At: at("1"), Payload: placed("1")}, {At: at("1"), Payload: orderCancelled{"1"}}, {At: at("1"), Payload: orderCancelled{"1"}},
	}}
	_, err = st.Commit(t.Context(), batch) // they are one batch of the saga
	require.NoError(t, err)
	var handled atomic.Int32
	count := func(ctx context.Context, at store.Position) {
		if ctx.Value(marking{}) == at {
			handled.Add(1)
		}
	}
	s := saga.New("checkout",
		saga.Start(byOrder, func(ctx context.Context, e reactor.Event[orderPlaced], _ *saga.Tx[order]) error {
			count(ctx, e.Position)
			return nil
		}),
		saga.On(func(e orderCancelled) string { return e.Order }, func(ctx context.Context, e reactor.Event[orderCancelled], _ *saga.Tx[order]) error {
			count(ctx, e.Position)
			return nil
		}))
	sys, err := actors.Start(t.Context(), st, actors.Options{Probe: marking{}}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return handled.Load() == 3 }, 10*time.Second, time.Millisecond)
	require.NoError(t, sys.Stop(t.Context()))
}
