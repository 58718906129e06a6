package sagatest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
)

// Whatever fails, and whatever turns the instance back meanwhile: what asks is undone only where it
// is certain that it happened.
func TestWhatAsksIsNeverUndoneBlindly(t *testing.T) {
	var s *shop
	def := func() *saga.Saga[order] {
		s = newShop()
		refund := func(ctx context.Context, at saga.Step[order], done saga.Done[string]) error {
			require.True(t, done.Certain)
			return s.refund(ctx, at, done)
		}
		def := saga.Steps("checkout",
			saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order, Cents: e.Cents} }),
			saga.Do("reserve", s.reserve, s.release),
			saga.All("pay",
				saga.Do("charge", s.charge, refund).Ask(),
				saga.Do("label", s.label, s.tear)).Withdraw(),
			saga.Do("send", s.send, nil),
			saga.CancelOn[order](func(e cancelled) string { return e.Order }),
		)
		def.Effects.Policy.Attempts = 2
		return def
	}
	sagatest.EveryFault(t, def, func(r *sagatest.Run[order]) {
		given(r, placed{Order: "42", Cents: 900})
		for range 6 {
			r.Step("checkout")
			r.Step("checkout.do")
		}
		given(r, cancelled{Order: "42"})
		r.Settle()
	}, func(r *sagatest.Run[order]) {
		o := r.Get("42")
		require.True(t, o.Life.Ended(), r.Story("42"))
		require.Equal(t, o.Life == saga.Completed, len(s.refunded) == 0 && s.sent["42"], r.Story("42"))
	})
}
