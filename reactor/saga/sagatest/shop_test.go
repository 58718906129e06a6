package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/store"
)

type placed struct {
	Order string
	Cents int64
}

func (placed) Kind() string { return "order.placed" }

type cancelled struct{ Order string }

func (cancelled) Kind() string { return "order.cancelled" }

type order struct {
	ID      string
	Cents   int64
	Payment string `json:",omitempty"`
}

// shop is the world outside. It does nothing twice, whatever is called twice.
type shop struct {
	careless bool             // it does not undo what may have happened
	twice    bool             // it takes money each time that it is called
	reserved map[string]bool  // by key of the effect
	paid     map[string]int64 // cents
	refunded map[string]int64 // cents, by the key of the payment
	sent     map[string]bool  // by order
	labels   map[string]bool
}

func newShop() *shop {
	return &shop{
		reserved: make(map[string]bool), paid: make(map[string]int64), refunded: make(map[string]int64),
		sent: make(map[string]bool), labels: make(map[string]bool),
	}
}

func (s *shop) reserve(_ context.Context, at saga.Step[order]) (string, error) {
	s.reserved[at.Key] = true
	return at.Key, nil
}

func (s *shop) release(_ context.Context, _ saga.Step[order], done saga.Done[string]) error {
	delete(s.reserved, done.Key)
	return nil
}

func (s *shop) charge(_ context.Context, at saga.Step[order]) (string, error) {
	if s.twice {
		s.paid[at.Key] += at.State.Cents
	}
	s.paid[at.Key] = max(s.paid[at.Key], at.State.Cents)
	return "payment of " + at.Instance, nil
}

func (s *shop) refund(_ context.Context, _ saga.Step[order], done saga.Done[string]) error {
	if s.careless && !done.Certain {
		return nil
	}
	s.refunded[done.Key] = s.paid[done.Key]
	return nil
}

func (s *shop) label(_ context.Context, at saga.Step[order]) (string, error) {
	s.labels[at.Key] = true
	return "label", nil
}

func (s *shop) tear(_ context.Context, _ saga.Step[order], done saga.Done[string]) error {
	delete(s.labels, done.Key)
	return nil
}

func (s *shop) invoice(context.Context, saga.Step[order]) (string, error) { return "invoice", nil }

func (s *shop) send(_ context.Context, at saga.Step[order]) (string, error) {
	s.sent[at.State.ID] = true
	return "parcel", nil
}

func (s *shop) checkout() *saga.Saga[order] {
	def := saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order, Cents: e.Cents} }),
		saga.Do("reserve", s.reserve, s.release),
		saga.Do("charge", s.charge, s.refund).Keep(func(o *order, payment string) { o.Payment = payment }),
		saga.All("papers", saga.Do("label", s.label, s.tear), saga.Do("invoice", s.invoice, nil)),
		saga.Pivot[order](),
		saga.Do("send", s.send, nil),
		saga.CancelOn[order](func(e cancelled) string { return e.Order }),
	)
	def.Deadline = 10 * time.Minute
	def.Effects.Policy.Attempts = 3
	return def
}

// check requires that all money that was taken is for goods that were sent, or is given back, and
// that nothing stays reserved for an order that was not sent.
func (s *shop) check(tb testing.TB, r *sagatest.Run[order]) {
	tb.Helper()
	o := r.Get("42")
	var taken int64
	for key, cents := range s.paid {
		taken += cents - s.refunded[key]
	}
	switch {
	case o.Life == saga.Completed && s.sent["42"] && taken == o.State.Cents:
	case o.Life == saga.Compensated && !s.sent["42"] && taken == 0 && len(s.reserved)+len(s.labels) == 0:
	default:
		tb.Fatalf("%s: sent %v, %d cents taken, reserved %v, labels %v\n%s", o.Life, s.sent, taken, s.reserved, s.labels, r.Story("42"))
	}
}

func given(r *sagatest.Run[order], payloads ...store.Payload) {
	for _, p := range payloads {
		r.Given(reactortest.At(store.At("order:42", "shop"), p))
	}
}

// failing is a test that is to fail.
type failing struct {
	testing.TB
	text string
}

var errFailed = errors.New("the test failed")

func (f *failing) Helper() {}

func (f *failing) Logf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) + "\n" }

func (f *failing) Fatalf(format string, args ...any) {
	f.Logf(format, args...)
	panic(errFailed)
}

// fails returns what a test says that is to fail.
func fails(t *testing.T, do func(tb testing.TB)) (text string) {
	t.Helper()
	f := &failing{TB: t}
	defer func() {
		require.Equal(t, errFailed, recover(), "the test did not fail")
		text = f.text
	}()
	do(f)
	return ""
}
