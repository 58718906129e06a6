package sagatest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/store"
)

// second is a checkout that charges by another step, before anything is reserved, and insures what
// is sent.
func (s *shop) second() *saga.Saga[order] {
	def := saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order, Cents: e.Cents} }),
		saga.Do("bill", s.charge, s.refund).Keep(func(o *order, payment string) { o.Payment = payment }),
		saga.Do("reserve", s.reserve, s.release),
		saga.Do("label", s.label, s.tear),
		saga.Do("insure", s.invoice, nil),
		saga.Pivot[order](),
		saga.Do("send", s.send, nil),
	)
	def.Version = 2
	def.Deadline = 10 * time.Minute
	def.Effects.Policy.Attempts = 3
	return def.With(s.checkout())
}

// Orders of the first version are under way when the second one is deployed.
func TestEveryFaultAroundADeploy(t *testing.T) {
	if underRace { // one of them
		t.Setenv("PENSTOCK_FAULT", "charge=lie*1,order=7")
	}
	var s *shop
	def := func() *saga.Saga[order] {
		s = newShop()
		return s.checkout()
	}
	sagatest.EveryFault(t, def, func(r *sagatest.Run[order]) {
		given(r, placed{Order: "42", Cents: 900})
		for range 2 {
			r.Step("checkout")
			r.Step("checkout.do")
		}
		sagatest.Deploy(r, s.second())
		r.Given(reactortest.At(store.At("order:43", "shop"), placed{Order: "43", Cents: 100}))
		r.Settle()
	}, func(r *sagatest.Run[order]) {
		require.EqualValues(t, 0, r.Get("42").Version)
		require.EqualValues(t, 2, r.Get("43").Version)
		var taken, want int64
		for key, cents := range s.paid {
			taken += cents - s.refunded[key]
		}
		for _, key := range []string{"42", "43"} {
			o := r.Get(key)
			if o.Life == saga.Completed {
				want += o.State.Cents
			}
			require.Equal(t, o.Life == saga.Completed, s.sent[key], r.Story(key))
		}
		require.Equal(t, want, taken, "%s\n%s", r.Story("42"), r.Story("43"))
	})
}

// cart was the state of an order.
type cart struct {
	Number string
	Paid   string
}

var errCart = errors.New("a cart without a number")

// carts is a checkout of carts; orders what it is now, which has it in another state.
func carts(result string) *saga.Saga[cart] {
	return saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(c *cart, e placed) { c.Number = e.Order }),
		saga.Do("charge", func(context.Context, saga.Step[cart]) (string, error) { return result, nil },
			func(context.Context, saga.Step[cart], saga.Done[string]) error { return nil }),
		saga.Do("send", func(context.Context, saga.Step[cart]) (int, error) { return 0, nil }, nil))
}

func orders[R any](version uint32) *saga.Saga[order] {
	def := saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { o.ID = e.Order }),
		saga.Do("charge", func(context.Context, saga.Step[order]) (r R, err error) { return r, nil },
			func(context.Context, saga.Step[order], saga.Done[R]) error { return nil }),
		saga.Do("send", func(context.Context, saga.Step[order]) (int, error) { return 0, nil }, nil),
		saga.Migrate(0, func(old cart, _ *saga.Place) (order, error) {
			if old.Number == "" {
				return order{}, errCart
			}
			return order{ID: old.Number, Cents: 1}, nil
		}))
	def.Version = version
	return def
}

func TestADeployMayChangeTheTypeOfTheState(t *testing.T) {
	r := sagatest.Start(t, carts("p1"))
	r.Fault("send", sagatest.Fail)
	r.Given(placed{Order: "42"})
	r.Advance(time.Minute)
	require.Equal(t, cart{Number: "42"}, r.Get("42").State)
	now := sagatest.Deploy(r, orders[string](1))
	now.Fault("send", 0)
	now.Finish()
	require.Equal(t, order{ID: "42", Cents: 1}, now.Get("42").State)
	require.Equal(t, saga.Completed, now.Get("42").Life)
	require.Greater(t, len(now.Attempts()), 2, "those before the deploy, too")
}

// records is a file with what a run of the first version leaves: an order that is charged, and
// one that is complete.
func records(t *testing.T, result string, order placed) string {
	t.Helper()
	r := sagatest.Start(t, carts(result))
	r.Given(placed{Order: "1"})
	r.Settle()
	r.Fault("send", sagatest.Fail)
	r.Given(order)
	r.Settle()
	var b bytes.Buffer
	n, err := r.Instances().Export(&b)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	path := filepath.Join(t.TempDir(), "records")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func TestADefinitionIsCompatibleWithWhatItCanContinue(t *testing.T) {
	path := records(t, "p1", placed{Order: "42"})
	sagatest.Compatible(t, carts("p1"), path)
	sagatest.Compatible(t, orders[string](1), path)
	for want, def := range map[string]*saga.Saga[order]{
		"result: json: cannot unmarshal string":        orders[int](1),
		"lacks version 0, for 1 instance":              newShop().checkoutAt(1),
		`lacks version 0: step "send", for 1 instance`: newShop().checkoutAt(0),
	} {
		text := fails(t, func(tb testing.TB) { sagatest.Compatible(tb, def, path) })
		require.Contains(t, text, want)
		require.Contains(t, text, `"42"`)
	}
	other := saga.Steps("another", saga.Starts(func(e placed) string { return e.Order }, func(*order, placed) {}),
		saga.Do("send", newShop().send, nil))
	require.Contains(t, fails(t, func(tb testing.TB) { sagatest.Compatible(tb, other, path) }), `it is of saga "checkout"`)
}

// checkoutAt is a checkout of a version that knows no step of a cart.
func (s *shop) checkoutAt(version uint32) *saga.Saga[order] {
	def := saga.Steps("checkout", saga.Starts(func(e placed) string { return e.Order }, func(*order, placed) {}),
		saga.Do("reserve", s.reserve, s.release), saga.Do("charge", s.charge, s.refund))
	def.Version = version
	return def
}

func TestADefinitionWhoseMigrationFailsIsNotCompatible(t *testing.T) {
	r := sagatest.Start(t, saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(*cart, placed) {}),
		saga.Do("send", func(context.Context, saga.Step[cart]) (int, error) { return 0, errCart }, nil)))
	r.Given(placed{Order: "42"})
	r.Settle()
	var b bytes.Buffer
	_, err := r.Instances().Export(&b)
	require.NoError(t, err)
	n, err := orders[string](1).Check(&b)
	require.Equal(t, 1, n)
	require.ErrorIs(t, err, errCart)
	require.ErrorContains(t, err, `key "42"`)
}

func TestAnEmptyFileAndOneThatIsNoExportAreNotCompatible(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	for _, content := range []string{"", "{", `{"saga":"checkout","key":"42","record":"AAAA"}`} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		fails(t, func(tb testing.TB) { sagatest.Compatible(tb, newShop().checkout(), path) })
	}
	_, err := newShop().checkout().Check(bytes.NewReader([]byte(`{"saga":"checkout","key":"42","record":"AAAA"}`)))
	require.ErrorIs(t, err, saga.ErrRecord)
}
