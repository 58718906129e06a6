package sagatest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
)

func TestEveryFaultLeavesTheMoneyWhereItBelongs(t *testing.T) {
	var s *shop
	def := func() *saga.Saga[order] {
		s = newShop()
		return s.checkout()
	}
	sagatest.EveryFault(t, def, func(r *sagatest.Run[order]) {
		given(r, placed{Order: "42", Cents: 900})
		r.Settle()
	}, func(r *sagatest.Run[order]) { s.check(t, r) })
}

func TestEveryFaultOfACheckoutThatIsCancelledMeanwhile(t *testing.T) {
	var s *shop
	def := func() *saga.Saga[order] {
		s = newShop()
		return s.checkout()
	}
	sagatest.EveryFault(t, def, func(r *sagatest.Run[order]) {
		given(r, placed{Order: "42", Cents: 900})
		for range 3 { // on its way
			r.Step("checkout")
			r.Step("checkout.do")
		}
		given(r, cancelled{"42"})
		r.Settle()
	}, func(r *sagatest.Run[order]) { s.check(t, r) })
}

func TestEveryFaultFindsAnUndoThatDoesNotCountWithTheUnknown(t *testing.T) {
	text := fails(t, func(tb testing.TB) {
		var s *shop
		def := func() *saga.Saga[order] {
			s = newShop()
			s.careless = true
			return s.checkout()
		}
		sagatest.EveryFault(tb, def, func(r *sagatest.Run[order]) {
			given(r, placed{Order: "42", Cents: 900})
			r.Settle()
		}, func(r *sagatest.Run[order]) { s.check(tb, r) })
	})
	require.Contains(t, text, "compensated: sent map[], 900 cents taken")
	require.Contains(t, text, `PENSTOCK_FAULT="charge=lie" repeats it alone`)
}

func TestEveryFaultFindsAnEffectThatHappensTwice(t *testing.T) {
	text := fails(t, func(tb testing.TB) {
		var s *shop
		def := func() *saga.Saga[order] {
			s = newShop()
			s.twice = true
			return s.checkout()
		}
		sagatest.EveryFault(tb, def, func(r *sagatest.Run[order]) {
			given(r, placed{Order: "42", Cents: 900})
			r.Settle()
		}, func(r *sagatest.Run[order]) { s.check(tb, r) })
	})
	require.Contains(t, text, "1800 cents taken")
	require.Contains(t, text, `PENSTOCK_FAULT="charge=lie*1" repeats it alone`)
}

func TestEveryCrashOfACheckoutLeadsToTheSameEnd(t *testing.T) {
	def := func() *saga.Saga[order] {
		d := newShop().checkout()
		d.Effects.Policy.Attempts = 10
		return d
	}
	sagatest.EveryCrash(t, def, func(r *sagatest.Run[order]) {
		r.Fault("invoice", sagatest.Refuse)
		r.Fault("undo label", sagatest.Lie.Times(1))
		given(r, placed{Order: "42", Cents: 900})
		r.Advance(time.Minute)
		require.Equal(t, saga.Compensated, r.Get("42").Life)
	})
}

func TestTheClockIsSet(t *testing.T) {
	r := sagatest.Start(t, newShop().checkout())
	r.Fault("charge", sagatest.Fail)
	given(r, placed{Order: "42", Cents: 900})
	r.Settle()
	r.Clock(-time.Hour)
	require.Equal(t, "charge", r.Get("42").Phase)
	r.Clock(2 * time.Hour)
	r.Settle()
	require.ErrorIs(t, r.Get("42").Err, saga.ErrDeadline)
}

// One instance alone that fails looks like an outage: what the test says then tells that.
func TestAFinishThatFailsSaysWhatTheWorkersAreAt(t *testing.T) {
	text := fails(t, func(tb testing.TB) {
		def := newShop().checkout()
		def.Deadline, def.Effects.Policy.Backoff.Max = 0, 12*time.Hour
		r := sagatest.Start(tb, def)
		r.Fault("charge", sagatest.Fail)
		given(r, placed{Order: "42", Cents: 900})
		r.Finish()
	})
	require.Contains(t, text, "0s done reserve")
	require.Contains(t, text, "in flight: charge")
	require.Regexp(t, `checkout.do is outage, next try in .*: outage of "charge" since .*, last error: .*the fault of a test`, text)
	text = fails(t, func(tb testing.TB) { sagatest.Start(tb, newShop().checkout()).Fault("chrage", sagatest.Fail) })
	require.Contains(t, text, `has no action "chrage", but ["charge"`)
	require.NotContains(t, text, "nil")
}

// The clock is moved no further than to the end.
func TestAFinishEndsWithTheLastInstance(t *testing.T) {
	r := sagatest.Start(t, newShop().checkout())
	r.Fault("charge", sagatest.Fail)
	given(r, placed{Order: "42", Cents: 900})
	begun := r.Now()
	all := r.Finish()
	require.ErrorIs(t, all[0].Err, saga.ErrDeadline)
	require.Less(t, r.Now().Sub(begun), 12*time.Minute)
	require.Equal(t, all[0].Ended, r.Now().UTC())
}

// A story of production says what operators have settled, and that an input had been held.
func TestAStoryTellsOfOperators(t *testing.T) {
	s := newShop()
	def := saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order} }),
		saga.Do("charge", s.charge, s.refund).Ask(),
		saga.CancelOn[order](func(e cancelled) string { return e.Order }),
	)
	r := sagatest.Start(t, def)
	r.Fault("charge", sagatest.Fail)
	given(r, placed{Order: "41"}, placed{Order: "42"})
	r.Settle()
	_, err := r.Instances().Suspend(t.Context(), "42", checkpoint.Request{Reason: "wait", By: "ana"})
	require.NoError(t, err)
	r.Settle()
	given(r, cancelled{Order: "42"})
	r.Settle()
	_, err = r.Instances().Resume(t.Context(), "42", checkpoint.Request{Reason: "done", By: "ana"})
	require.NoError(t, err)
	r.Advance(time.Minute)
	_, err = r.Instances().SettleRefused(t.Context(), "42", "charge", checkpoint.Request{Reason: "they say so", By: "ana"})
	require.NoError(t, err)
	r.Settle()
	text, err := r.Instances().Story(t.Context(), "42")
	require.NoError(t, err)
	require.Contains(t, text, `0s asked suspend (wait) by ana
0s order.cancelled {"Order":"42"}
0s asked resume (done) by ana
    requested charge
0s what was held is handled
`)
	require.Contains(t, text, "asked settle charge refused (they say so) by ana\n    ended compensated (cancelled: by an event)\n")
	text, err = r.Instances().Story(t.Context(), "43")
	require.NoError(t, err)
	require.Empty(t, text)
}

func TestAStoryIsTheSameInEveryRun(t *testing.T) {
	r := sagatest.Start(t, newShop().checkout())
	r.Fault("invoice", sagatest.Refuse)
	r.Fault("undo label", sagatest.Lie.Times(1))
	given(r, placed{Order: "42", Cents: 900})
	r.Finish()
	require.Equal(t, `0s order.placed {"Order":"42","Cents":900}
    requested reserve
0s done reserve "checkout/42.1/reserve.1"
    requested charge
0s done charge "payment of 42"
    requested label
    requested invoice
0s done label "label"
0s refused invoice (sagatest: the fault of a test)
    requested undo label
100ms done undo label
    requested undo charge
100ms done undo charge
    requested undo reserve
100ms done undo reserve
    ended compensated (sagatest: the fault of a test)
`, r.Story("42"))
}

func TestInputsAreHandledWithoutALog(t *testing.T) {
	def := newShop().checkout()
	got := sagatest.Given(t, def, placed{Order: "42", Cents: 900}).When(sagatest.Done("reserve", "box 7"))
	require.Equal(t, []string{"charge"}, got.Requested)
	require.Equal(t, []string{"reserve"}, got.Instance.ToUndo)
	require.Equal(t, "charge", got.Instance.Phase)

	got = sagatest.Given(t, def, placed{Order: "42", Cents: 900}, sagatest.Done("reserve", "box 7")).
		When(sagatest.Refused("charge", errFailed))
	require.Equal(t, []string{"undo reserve"}, got.Requested)
	require.Equal(t, saga.Compensating, got.Instance.Life)

	inputs := sagatest.Given(t, def, placed{Order: "42", Cents: 900}, sagatest.Done("reserve", "box 7"))
	require.Empty(t, inputs.When(sagatest.Fires(sagatest.DeadlineTimer)).Requested, "the charge is in flight")
	require.Equal(t, []string{"undo charge"}, inputs.When(sagatest.Unknown("charge", errFailed)).Requested)
	require.Equal(t, []string{"undo reserve"}, inputs.When(sagatest.Done("undo charge", nil)).Requested)
	require.Equal(t, saga.Compensated, inputs.When(sagatest.Done("undo reserve", nil)).Instance.Life)
}
