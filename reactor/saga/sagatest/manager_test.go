package sagatest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/store"
)

type takePayment struct{ Ref string }

type paymentTaken struct {
	Ref   string
	Cents int64
}

func (takePayment) Kind() string  { return "payment.take" }
func (paymentTaken) Kind() string { return "payment.taken" }

// manager is the checkout as a process manager: the bank answers by events with a reference of its
// own, maybe late, and maybe twice.
type manager struct{ *shop }

func (m manager) saga() *saga.Saga[order] {
	s := saga.New("checkout",
		saga.Start(func(e placed) string { return e.Order }, m.placed, saga.To("reserving")),
		saga.Do("reserve", m.reserve, m.release).Then(m.reserved),
		saga.Via("payment", func(e paymentTaken) string { return e.Ref }, m.taken),
		saga.OnTimer("pay-by", m.late),
		saga.Undo("refund", m.giveBack),
		saga.Do("label", m.label, m.tear),
		saga.Do("send", m.send, nil).Then(m.sentIt).Refused(m.notSent),
		saga.On(func(e cancelled) string { return e.Order }, m.cancelled),
	)
	s.Missing, s.Unexpected = saga.Defer, saga.Defer
	s.Effects.Policy.Attempts = 3
	return s
}

var errLate = errors.New("not paid in time")

func (m manager) placed(_ context.Context, e reactor.Event[placed], tx *saga.Tx[order]) error {
	tx.State = order{ID: e.Body.Order, Cents: e.Body.Cents}
	tx.Run("reserve")
	tx.Goto("reserving")
	return nil
}

func (m manager) reserved(_ context.Context, _ string, tx *saga.Tx[order]) error {
	tx.Alias("payment", "pay-"+tx.Key())
	tx.Emit(store.At("bank", "shop"), takePayment{"pay-" + tx.Key()})
	tx.After("pay-by", 10*time.Minute)
	tx.Goto("paying")
	return nil
}

func (m manager) taken(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[order]) error {
	if tx.State.Payment != "" {
		return nil
	}
	m.paid["bank"] = e.Body.Cents // what no instance waits for is given back by hand
	tx.State.Payment = e.Body.Ref
	tx.Clear("pay-by")
	tx.OnUndo("refund")
	tx.Run("label")
	tx.Run("send")
	tx.Goto("sending")
	return nil
}

func (m manager) late(_ context.Context, _ saga.Fired, tx *saga.Tx[order]) error {
	tx.Compensate(errLate)
	return nil
}

func (m manager) sentIt(_ context.Context, _ string, tx *saga.Tx[order]) error {
	tx.Complete()
	return nil
}

func (m manager) notSent(_ context.Context, err error, tx *saga.Tx[order]) error {
	tx.Compensate(err)
	return nil
}

func (m manager) cancelled(_ context.Context, _ reactor.Event[cancelled], tx *saga.Tx[order]) error {
	tx.Compensate(saga.ErrCancelled)
	return nil
}

func (m manager) giveBack(_ context.Context, _ saga.Step[order]) error {
	m.refunded["bank"] = m.paid["bank"]
	return nil
}

func (m manager) check(tb testing.TB, r *sagatest.Run[order]) {
	tb.Helper()
	o := r.Get("42")
	switch taken := m.paid["bank"] - m.refunded["bank"]; {
	case o.Life == saga.Completed && m.sent["42"] && taken == 900 && len(m.labels) == 1:
	case o.Life == saga.Compensated && taken == 0 && len(m.shop.reserved) == 0 && len(m.labels) == 0:
	default:
		tb.Fatalf("%s: %+v\n%s", o.Life, m.shop, r.Story("42"))
	}
}

func TestEveryFaultOfAManager(t *testing.T) {
	bank := func(r *sagatest.Run[order]) {
		if len(reactortest.Of[takePayment](r.Run)) > 0 {
			given(r, paymentTaken{"pay-42", 900}, paymentTaken{"pay-42", 900})
		}
	}
	for name, scenario := range few(map[string]func(r *sagatest.Run[order]){
		"paid before": func(r *sagatest.Run[order]) {
			given(r, paymentTaken{"pay-42", 900})
			given(r, placed{Order: "42", Cents: 900})
			r.Settle()
		},
		"late": func(r *sagatest.Run[order]) {
			given(r, placed{Order: "42", Cents: 900})
			r.Advance(20 * time.Minute)
		},
		"cancelled": func(r *sagatest.Run[order]) {
			given(r, placed{Order: "42", Cents: 900})
			r.Settle()
			r.Advance(time.Minute)
			bank(r)
			r.Step("checkout")
			r.Step("checkout")
			r.Step("checkout.do")
			given(r, cancelled{"42"})
			r.Settle()
		},
	}) {
		t.Run(name, func(t *testing.T) {
			var m manager
			sagatest.EveryFault(t, func() *saga.Saga[order] {
				m = manager{newShop()}
				return m.saga()
			}, scenario, func(r *sagatest.Run[order]) { m.check(t, r) })
		})
	}
}

// few are all of them, and under the race detector one, another one in each run.
func few[T any](all map[string]T) map[string]T {
	if !underRace {
		return all
	}
	some := make(map[string]T)
	for name, one := range all { // in random order
		some[name] = one
		break
	}
	return some
}
