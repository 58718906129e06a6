package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

// A cancellation that comes while something is tried again ends the order at once, or never.
func TestAnOrderCanBeCancelledUntilItsParcelIsHandedOver(t *testing.T) {
	for name, test := range map[string]struct {
		fails string
		life  saga.Life
		money int64
	}{
		"before": {charge, saga.Compensated, 0},
		"after":  {ship, saga.Completed, 900},
	} {
		t.Run(name, func(t *testing.T) {
			town := openTestTown(t, faults{})
			s := fulfilment(town, time.Minute)
			run := reactortest.Start(t, s)
			home := town.homes[test.fails]
			town.homes[test.fails] = "http://127.0.0.1:0" // where nothing listens
			run.Given(reactortest.At(at("42"), orderPlaced{Order: "42", Pieces: 1, Cents: 900}))
			run.Settle()
			run.Given(reactortest.At(at("42"), orderCancelled{Order: "42"}))
			run.Settle()
			town.homes[test.fails] = home
			run.Advance(time.Minute)

			o, err := s.In(run.Store()).Get("42")
			require.NoError(t, err)
			require.Equal(t, test.life, o.Life)
			b, err := town.books(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.money, b["42"][charge].given-b["42"][charge].back)
			require.Empty(t, b.audit(map[string]saga.Instance[order]{"42": o}))
		})
	}
}
