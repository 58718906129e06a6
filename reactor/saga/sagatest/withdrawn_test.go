package sagatest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
)

func TestAnActionThatWasNeverAttemptedIsNotUndone(t *testing.T) {
	r := sagatest.Start(t, newShop().checkout())
	given(r, placed{Order: "42", Cents: 900})
	r.Step("checkout")
	given(r, cancelled{"42"})
	r.Step("checkout")
	r.Settle()
	require.Equal(t, saga.Compensated, r.Get("42").Life)
	require.Empty(t, r.Attempts(), r.Story("42"))
}

func TestAnActionThatTheProcessBeforeMayHaveAttemptedIsUndone(t *testing.T) {
	s := newShop()
	r := sagatest.Start(t, s.checkout())
	r.Fault("reserve", sagatest.Lie)
	given(r, placed{Order: "42", Cents: 900})
	r.Step("checkout")
	r.Step("checkout.do")
	require.Len(t, s.reserved, 1)
	given(r, cancelled{"42"})
	r.Step("checkout")
	r.Crash(1)
	r.Finish()
	require.Empty(t, s.reserved, r.Story("42"))
}
