package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// breaks has an action unavailable until it is repaired.
func (t *town) breaks(action string) (repair func()) {
	home := t.homes[action]
	t.homes[action] = "http://127.0.0.1:0" // where nothing listens
	return func() { t.homes[action] = home }
}

func place42() store.Payload {
	return reactortest.At(at("42"), orderPlaced{Order: "42", Pieces: 1, Cents: 900})
}

// get returns order 42, whose books balance once it has ended.
func get(t *testing.T, run *reactortest.Run, s *saga.Saga[order], town *town) saga.Instance[order] {
	t.Helper()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	if o.Life.Ended() {
		b, err := town.books(t.Context())
		require.NoError(t, err)
		require.Empty(t, b.audit(map[string]saga.Instance[order]{"42": o}))
	}
	return o
}

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
			repair := town.breaks(test.fails)
			run.Given(place42())
			run.Settle()
			run.Given(reactortest.At(at("42"), orderCancelled{Order: "42"}))
			run.Settle()
			repair()
			run.Advance(time.Minute)

			require.Equal(t, test.life, get(t, run, s, town).Life)
			require.Equal(t, test.money, charged(t, town).given-charged(t, town).back)
		})
	}
}

// What is given up may have been done, so it is undone, too; behind the pivot it has to be done.
// Both need the service.
func TestWhatIsStuckIsTriedAgainOnceForEachTimeThatItIs(t *testing.T) {
	for fails, life := range map[string]saga.Life{charge: saga.Compensated, ship: saga.Completed} {
		t.Run(fails, func(t *testing.T) {
			town := openTestTown(t, faults{})
			s := fulfilment(town, time.Minute)
			s.Effects.Policy.Outage.Off = true // else it is tried until the service is back, and never given up
			run := reactortest.Start(t, s)
			repair := town.breaks(fails)
			run.Given(place42())
			run.Settle()
			run.Advance(time.Hour)
			o, asked := get(t, run, s, town), make(map[string]time.Time)
			require.Equal(t, saga.Stuck, o.Life)
			require.Contains(t, because(&o), fails)
			repair()
			h := s.In(run.Store())
			require.NoError(t, retryStuck(t.Context(), h, &o, asked))
			head := run.Store().Head()
			require.NoError(t, retryStuck(t.Context(), h, &o, asked))
			require.Equal(t, head, run.Store().Head(), "it was asked for already")
			run.Settle()
			require.Equal(t, life, get(t, run, s, town).Life)
		})
	}
}

func TestAnOrderContinuesByTheVersionUnderWhichItBegan(t *testing.T) {
	town := openTestTown(t, faults{})
	s := checkout(town, time.Minute, 1)
	run := reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return s }))
	repair := town.breaks(charge)
	run.Given(place42())
	run.Settle()
	s = fulfilment(town, time.Minute)
	run.Crash(1)
	repair()
	run.Advance(time.Minute)
	o := get(t, run, s, town)
	require.Equal(t, saga.Completed, o.Life)
	require.EqualValues(t, 1, o.Version)

	run.Given(reactortest.At(at("43"), orderPlaced{Order: "43", Pieces: 2, Cents: 100}))
	run.Settle()
	b, err := town.books(t.Context())
	require.NoError(t, err)
	require.Zero(t, b["42"][pack].done)
	require.Equal(t, 1, b["43"][pack].done)
}
