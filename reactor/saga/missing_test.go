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

type refunded struct{ Ref string }

func (refunded) Kind() string { return "payment.refunded" }

// A payment that belongs to no order is given back: at once, or once it has waited for its order.
func TestAnInputWithoutAnInstanceIsAnswered(t *testing.T) {
	for _, treatment := range []saga.Treatment{saga.Park, saga.Record, saga.Defer} {
		m := manager{newWorld()}
		s := saga.New("checkout",
			saga.Start(byOrder, m.placed),
			saga.On(func(e stockReserved) string { return e.Order }, m.reserved),
			saga.Via("payment", func(e paymentTaken) string { return e.Ref }, m.paid),
			saga.OnMissing(func(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[order]) error {
				tx.Emit(store.At("payment:"+e.Body.Ref, "shop"), refunded{e.Body.Ref})
				if e.Body.ID == "wrong" {
					tx.Goto("nowhere")
				}
				return nil
			}),
			saga.OnTimer("pay-by", m.late), saga.Undo("release", m.release),
			saga.Do("invoice", m.w.action("invoice"), nil),
		)
		s.Missing = treatment
		p := &played{Run: reactortest.Start(t, s), t: t, m: m, s: s}
		p.given(paymentTaken{Ref: "pay-7", ID: "p7"}, placed("42"), paymentTaken{Ref: "pay-42", ID: "p1"}, stockReserved{"42"})
		if treatment == saga.Defer {
			require.Empty(t, reactortest.Of[refunded](p.Run))
			require.Equal(t, "p1", p.get().State.Payment, "it has waited for its order")
		} else {
			require.Len(t, reactortest.Of[refunded](p.Run), 2)
		}
		p.Advance(2 * time.Minute)
		require.Equal(t, refunded{"pay-7"}, reactortest.Of[refunded](p.Run)[0])
		require.Empty(t, p.Parked("checkout"))
		p.given(paymentTaken{Ref: "pay-8", ID: "wrong"})
		p.Advance(2 * time.Minute)
		require.Len(t, p.Parked("checkout"), 1)
	}
}
