package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// An instance that an erasure has ended is forgotten after its time as any other, counted from the
// erasure, also where the saga did not run meanwhile.
func TestAnErasedInstanceIsForgotten(t *testing.T) {
	for name, away := range map[string]time.Duration{"running": 0, "away for an hour": time.Hour, "away for a year": 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			p := play(t, func(s *saga.Saga[order]) { s.Retain = 24 * time.Hour })
			p.given(placed("42"), stockReserved{"42"})
			if away > 0 {
				p.Pause("checkout", time.Time{})
			}
			reactortest.Erase(p.Run, "order:42", p.s)
			ended := p.Now()
			if away > 0 {
				p.Advance(away)
				p.Crash(1)
				p.Resume("checkout")
			}
			p.Settle()
			if left := ended.Add(p.s.Retain).Sub(p.Now()); left > 0 {
				p.Advance(left - time.Minute)
				require.Equal(t, saga.Failed, p.get().Life)
				p.Advance(2 * time.Minute)
			}
			_, err := p.s.In(p.Store()).Get("42")
			require.ErrorIs(t, err, saga.ErrNotFound)
			counts, err := p.s.In(p.Store()).Counts()
			require.NoError(t, err)
			require.Empty(t, counts)
		})
	}
}

// What waits for an instance that is erased is not handled any more, and says so.
func TestWhatAnErasedInstanceHeldIsRecorded(t *testing.T) {
	p := play(t)
	p.from("order:7", placed("7"))
	_, err := p.s.In(p.Store()).Suspend(t.Context(), "7", ana)
	require.NoError(t, err)
	p.Settle()
	p.from("stock:1", stockReserved{"7"})
	reactortest.Erase(p.Run, "order:7", p.s)
	p.Settle()
	o, err := p.s.In(p.Store()).Get("7")
	require.NoError(t, err)
	require.Zero(t, o.Held)
	require.Empty(t, p.held())
	require.Empty(t, p.Parked("checkout"))
	list := recorded(t, p.s.In(p.Store()), "7")
	require.Len(t, list, 1)
	require.Contains(t, list[0], store.ErrErased.Error())
}

// An event by which an instance was found that had an alias is none of the one that has it now,
// though that was there by then.
func TestAnErasureOfAnAliasThatHasMovedLeavesItsOwnerAlone(t *testing.T) {
	s := saga.New("checkout",
		saga.Start(byOrder, func(context.Context, reactor.Event[orderPlaced], *saga.Tx[order]) error { return nil }),
		saga.On(func(e stockReserved) string { return e.Order }, func(_ context.Context, _ reactor.Event[stockReserved], tx *saga.Tx[order]) error {
			tx.Alias("payment", "card-1")
			return nil
		}),
		saga.Via("payment", func(e paymentTaken) string { return e.Ref }, func(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[order]) error {
			if e.Body.ID == "end" {
				tx.Complete()
			}
			return nil
		}))
	p := &played{Run: reactortest.Start(t, s), t: t, s: s}
	p.from("orders", placed("7"), placed("42"))
	p.from("stock", stockReserved{"7"})
	p.from("pay:7", paymentTaken{Ref: "card-1", ID: "end"})
	_, err := s.In(p.Store()).Purge(t.Context(), "7", bob)
	require.NoError(t, err)
	p.Settle()
	p.from("stock", stockReserved{"42"})
	p.from("pay:42", paymentTaken{Ref: "card-1", ID: "p1"})
	reactortest.Erase(p.Run, "pay:7", s)
	require.Equal(t, saga.Running, p.get().Life)
	reactortest.Erase(p.Run, "pay:42", s)
	require.Equal(t, saga.Failed, p.get().Life, "but that is one of its own")
}

// A system that has nothing else to do learns of it.
func TestAnErasureWakesASagaThatWaits(t *testing.T) {
	s := manager{newWorld()}.saga()
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = st.Append(ctx, at("42"), store.Any, placed("42"))
	require.NoError(t, err)
	in := s.In(st)
	for head := st.Head(); ; head = st.Head() {
		if _, err := in.Get("42"); err == nil {
			break
		}
		_, err = st.Wait(ctx, head)
		require.NoError(t, err)
	}
	require.NoError(t, sys.WaitCaughtUp(ctx, "checkout"))
	_, err = store.Erase(ctx, st, store.Erasure{
		Entity: "order:42", Reason: "asked for", By: "an officer", Sides: reactor.ErasedSides(st, s),
	})
	require.NoError(t, err)
	ends := store.Region{Kinds: []string{"saga.checkout.ended"}}
	for head := st.Head(); ; head = st.Head() {
		n, err := st.Count(ctx, ends, 0, head, 1)
		require.NoError(t, err)
		if n > 0 {
			break
		}
		_, err = st.Wait(ctx, head)
		require.NoError(t, err)
	}
	require.NoError(t, sys.Stop(t.Context()))
}
