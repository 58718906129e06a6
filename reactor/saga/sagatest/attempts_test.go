package sagatest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/store"
)

// patient is a checkout whose step says how often it is tried, and its undo.
func (s *shop) patient(attempts, undoAttempts int) *saga.Saga[order] {
	return saga.Steps("checkout",
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order, Cents: e.Cents} }),
		saga.Do("reserve", s.reserve, s.release).UndoAttempts(undoAttempts),
		saga.Do("charge", s.charge, s.refund).Attempts(attempts).UndoAttempts(undoAttempts))
}

// attempted is how often an action was attempted.
func attempted(r *sagatest.Run[order], action string) (n int) {
	for _, a := range r.Attempts() {
		if a.String() == action {
			n++
		}
	}
	return n
}

// A step that fails alone looks like an outage of what it calls, in which no attempt counts.
func TestAStepIsGivenUpAfterAsManyAttemptsAsItSays(t *testing.T) {
	for _, n := range []int{1, 3, 30} { // the policy says 10
		for _, f := range []sagatest.Fault{sagatest.Fail, sagatest.Lie, sagatest.Hang} {
			s := newShop()
			r := sagatest.Start(t, s.patient(n, 2))
			r.Fault("charge", f)
			given(r, placed{Order: "42", Cents: 900})
			r.Advance(2 * time.Hour)
			require.Equal(t, n, attempted(r, "charge"), f)
			o := r.Get("42")
			require.Equal(t, saga.Compensated, o.Life)
			require.ErrorIs(t, o.Err, saga.ErrUnknown)
			require.Empty(t, r.Parked("checkout.do"))
		}
	}
}

func TestAnUndoIsGivenUpAfterAsManyAttemptsAsItSays(t *testing.T) {
	r := sagatest.Start(t, newShop().patient(3, 2))
	r.Fault("charge", sagatest.Refuse)
	r.Fault("undo reserve", sagatest.Fail)
	given(r, placed{Order: "42", Cents: 900})
	r.Advance(time.Hour)
	require.Equal(t, 2, attempted(r, "undo reserve"))
	require.Equal(t, saga.Stuck, r.Get("42").Life)
}

// Also where many fail, which is an outage.
func TestEachInstanceHasTheAttemptsThatItsStepSays(t *testing.T) {
	r := sagatest.Start(t, newShop().patient(2, 2))
	r.Fault("charge", sagatest.Fail)
	for i := range 5 {
		id := strconv.Itoa(i)
		r.Given(reactortest.At(store.At("order:"+id, "shop"), placed{Order: id, Cents: 900}))
	}
	r.Advance(24 * time.Hour)
	for i := range 5 {
		require.Equal(t, saga.Compensated, r.Get(strconv.Itoa(i)).Life)
	}
	require.Equal(t, 10, attempted(r, "charge"))
}

// Of the count nothing is kept: after a crash it begins again, and comes to the same.
func TestFaultsAndCrashesOfStepsThatSayHowOftenTheyAreTried(t *testing.T) {
	var s *shop
	def := func() *saga.Saga[order] {
		s = newShop()
		return s.patient(2, 3)
	}
	for name, test := range few(map[string]func(t *testing.T){
		"every fault": func(t *testing.T) {
			sagatest.EveryFault(t, def, func(r *sagatest.Run[order]) {
				given(r, placed{Order: "42", Cents: 900})
				r.Settle()
			}, func(r *sagatest.Run[order]) {
				if r.Get("42").Life == saga.Completed {
					s.sent["42"] = true
				}
				s.check(t, r)
			})
		},
		"every crash": func(t *testing.T) {
			sagatest.EveryCrash(t, def, func(r *sagatest.Run[order]) {
				r.Fault("charge", sagatest.Lie)
				given(r, placed{Order: "42", Cents: 900})
				r.Advance(time.Minute)
				require.Equal(t, saga.Compensated, r.Get("42").Life)
			})
		},
	}) {
		t.Run(name, test)
	}
}

func TestAttemptsMustBePositive(t *testing.T) {
	for _, def := range []*saga.Saga[order]{newShop().patient(0, 1), newShop().patient(1, -1)} {
		_, err := def.Actions()
		require.ErrorIs(t, err, saga.ErrDefinition)
		require.ErrorContains(t, err, "ttempts must be positive")
	}
}
