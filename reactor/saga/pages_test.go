package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
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

// What has waited for an alias is handled where its position says, among what waits in pages.
func TestWhatWaitedForAnAliasIsHandledAmongThePages(t *testing.T) {
	s := listing(
		saga.On(func(e stockReserved) string { return e.Order }, func(_ context.Context, _ reactor.Event[stockReserved], tx *saga.Tx[seen]) error {
			tx.Alias("payment", "card-1")
			return nil
		}),
		saga.Via("payment", func(e paymentTaken) string { return e.Ref }, func(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[seen]) error {
			tx.State.Inputs = append(tx.State.Inputs, int(e.Position))
			return nil
		}))
	s.Missing, s.HoldFor = saga.Defer, 24*time.Hour
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	run.Given(reactortest.At(at("42"), paymentTaken{Ref: "card-1"}))
	run.Given(reactortest.At(at("42"), stockReserved{"42"}))
	for i := range 200 {
		run.Given(reactortest.At(at("42"), shipped{"42"}))
		if i%30 == 0 {
			run.Given(reactortest.At(at("42"), paymentTaken{Ref: "card-1"}))
		}
	}
	run.Settle()
	_, err = in.Resume(t.Context(), "42", ana)
	require.NoError(t, err)
	run.CrashAt(90)
	run.Settle()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Len(t, o.State.Inputs, 208)
	require.IsIncreasing(t, o.State.Inputs)
	require.Zero(t, o.Held)
	requireNothingHeld(t, run)
}

// All that waits is recorded as its instance is erased, though there is more than a page
// of it and what is unexpected is parked. What comes later is not.
func TestThePagesOfAnInstanceThatIsErasedAreRecorded(t *testing.T) {
	p := play(t)
	p.from("order:42", placed("42"))
	_, err := p.s.In(p.Store()).Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	p.Settle()
	for range 200 {
		p.Given(reactortest.At(store.At("stock:1", "shop"), stockReserved{"42"}))
	}
	p.Settle()
	reactortest.Erase(p.Run, "order:42", p.s)
	p.Given(reactortest.At(store.At("stock:1", "shop"), stockReserved{"42"}))
	late := p.Store().Head()
	p.CrashAt(3)
	p.Settle()
	p.Advance(10 * time.Minute)
	require.Len(t, recorded(t, p.s.In(p.Store()), "42"), 200)
	require.Len(t, p.Parked("checkout"), 1, "what came after the erasure")
	held := p.held()
	require.Len(t, held, 1)
	require.Equal(t, late, held[0].From)
}

// A purge records what waits in pages before it forgets the instance.
func TestThePagesOfAnInstanceThatIsPurgedAreRecorded(t *testing.T) {
	s := listing()
	s.Unexpected = saga.Record
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	for range 200 {
		run.Given(reactortest.At(at("42"), shipped{"42"}))
	}
	run.Settle()
	_, err = in.Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Step("checkout")
	_, err = in.Purge(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Advance(2 * time.Minute)
	_, err = in.Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
	why := recorded(t, in, "42")
	require.Len(t, why, 200)
	require.Equal(t, "the instance was purged before it was handled", why[199])
	requireNothingHeld(t, run)
}
