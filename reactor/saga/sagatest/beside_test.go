package sagatest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// clerk is a bank that answers by events, and tells the payment of one customer twice.
func clerk() supervision.Child {
	return reactor.New("bank", reactor.On(func(_ context.Context, e reactor.Event[takePayment], out *reactor.Reactions) error {
		if e.Body.Ref != "pay-42" {
			return nil
		}
		out.Append(e.Coordinate, paymentTaken{e.Body.Ref, 900})
		out.Append(e.Coordinate, paymentTaken{e.Body.Ref, 900})
		return nil
	}))
}

func TestEveryFaultOfAManagerWithAReactorThatAnswersIt(t *testing.T) {
	if underRace { // one of them
		t.Setenv("PENSTOCK_FAULT", "send=lie*1,order=7")
	}
	var m manager
	sagatest.EveryFault(t, func() *saga.Saga[order] {
		m = manager{newShop()}
		return m.saga()
	}, func(r *sagatest.Run[order]) {
		r.Beside(clerk())
		given(r, placed{Order: "42", Cents: 900})
		r.Settle()
	}, func(r *sagatest.Run[order]) {
		m.check(t, r)
	})
}

func TestEveryCrashOfAManagerWithAReactorThatAnswersIt(t *testing.T) {
	var m manager
	sagatest.EveryCrash(t, func() *saga.Saga[order] {
		m = manager{newShop()}
		s := m.saga()
		s.Effects.Policy.Attempts = 10
		return s
	}, func(r *sagatest.Run[order]) {
		r.Beside(clerk())
		given(r, placed{Order: "42", Cents: 900})
		r.Advance(time.Second)
		require.Len(t, reactortest.Of[paymentTaken](r.Run), 2)
		require.Equal(t, saga.Completed, r.Get("42").Life)
	})
}

// The money that a customer paid is for goods, or is given back, in whatever order the saga, its
// actions, the bank and a cancellation take their steps.
func TestEveryOrderOfAManagerABankAndACancellation(t *testing.T) {
	if underRace { // one of them
		t.Setenv("PENSTOCK_ORDER", "2:1")
	}
	var m manager
	reactortest.EveryOrder(t, func() supervision.Child {
		m = manager{newShop()}
		return supervision.Group{Name: "shop", Children: []supervision.Child{m.saga(), clerk()}}
	}, func(r *reactortest.Run) {
		at := store.At("order:42", "shop")
		r.Given(reactortest.At(at, placed{Order: "42", Cents: 900}))
		for _, name := range []string{"checkout", "checkout.do", "checkout"} { // and the bank and a timer follow
			r.Step(name)
		}
		r.Given(reactortest.At(store.At("order:43", "shop"), placed{Order: "43"}))
		r.Step("checkout")
		r.Given(reactortest.At(at, cancelled{"42"}))
		r.Settle()
		o, err := m.saga().In(r.Store()).Get("42")
		require.NoError(t, err)
		require.True(t, o.Life.Ended())
		require.Equal(t, o.Life == saga.Completed, m.paid["bank"]-m.refunded["bank"] == 900)
		require.Equal(t, o.Life == saga.Completed, m.sent["42"])
	})
}
