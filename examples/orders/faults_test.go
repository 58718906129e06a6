package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
)

// forget empties the databases, which need not survive a test.
func (t *town) forget(tb testing.TB) {
	tb.Helper()
	for _, s := range t.services {
		_, err := s.db.ExecContext(tb.Context(), "PRAGMA synchronous = off; DELETE FROM entry; DELETE FROM outcome; DELETE FROM request")
		require.NoError(tb, err)
	}
}

// However each step and each undo fails, the books balance.
func TestTheBooksBalanceWhateverFails(t *testing.T) {
	town := openTestTown(t, faults{})
	fresh := func() *saga.Saga[order] {
		town.forget(t)
		s := fulfilment(town, time.Minute)
		s.Effects.Policy.Backoff.Max = 10 * time.Minute // the faults last for longer than an hour
		return s
	}
	sagatest.EveryFault(t, fresh, func(run *sagatest.Run[order]) {
		run.Given(place42())
		run.Settle()
		run.Given(reactortest.At(at("42"), orderCancelled{Order: "42"}))
		run.Settle()
	}, func(run *sagatest.Run[order]) {
		b, err := town.books(t.Context())
		require.NoError(t, err)
		require.Empty(t, b.audit(map[string]saga.Instance[order]{"42": run.Get("42")}), run.Story("42"))
	})
}
