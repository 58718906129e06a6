package saga_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/supervision"
)

// Where a limit is met by an outcome, the instance is blocked until a program with a greater one
// comes; others continue.
func TestAnOutcomeThatMeetsALimitWaitsForAProgramThatCanTakeIt(t *testing.T) {
	w := newWorld()
	checkout := func(limit int) *saga.Saga[order] {
		s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
			saga.Do("reserve", w.action("reserve"), w.back("reserve")),
			saga.Do("charge", w.action("charge"), w.back("charge")).Keep(func(o *order, p string) {
				if o.ID == "42" {
					o.Payment = strings.Repeat("x", 1000)
				}
			}),
			saga.Do("ship", w.action("ship"), nil))
		s.MaxState, s.Policy.Attempts = limit, 2
		return s
	}
	d := deployed(t, checkout(500))
	d.run.Given(reactortest.At(at("42"), placed("42")), reactortest.At(at("43"), placed("43")))
	d.run.Advance(time.Minute)
	parked := d.run.Parked("checkout")
	require.Len(t, parked, 1)
	require.Contains(t, parked[0].Error, "a state of 1034 bytes, at most 500")
	other, err := d.saga.In(d.run.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, other.Life)
	d.deploy(checkout(2000))
	d.run.Replay("checkout", cursor.ParkedFilter{All: true})
	d.run.Settle()
	require.Equal(t, saga.Completed, d.get().Life)
}

// An operator who discards the answer to a request leaves nothing that says what has happened.
func TestADiscardedAnswerIsUnknown(t *testing.T) {
	type then struct {
		ask  bool
		life saga.Life
	}
	for name, c := range few(map[string]then{"it is undone": {false, saga.Compensated}, "it asks": {true, saga.Stuck}}) {
		t.Run(name, func(t *testing.T) {
			var w *world
			var s *saga.Saga[order]
			reactortest.EveryCrash(t, func() supervision.Child {
				w = newWorld()
				charge := saga.Do("charge", w.action("charge"), w.back("charge"))
				if c.ask {
					charge.Ask()
				}
				s = saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
					charge.Keep(func(o *order, _ string) { o.Payment = strings.Repeat("x", 1000) }))
				s.MaxState, s.Policy.Attempts = 500, 3 // two may end with the power
				return s
			}, func(run *reactortest.Run) {
				run.Given(reactortest.At(at("42"), placed("42")))
				run.Advance(time.Minute)
				for _, p := range run.Parked("checkout") {
					require.NoError(t, run.Control("checkout", func(ctx context.Context, o cursor.Operator) error {
						_, err := o.Discard(ctx, cursor.ParkedFilter{Position: p.Position}, ana)
						return err
					}))
				}
				run.Advance(time.Minute)
				o, err := s.In(run.Store()).Get("42")
				require.NoError(t, err)
				require.Equal(t, c.life, o.Life)
				require.ErrorContains(t, o.Err, "its answer was discarded")
				require.Equal(t, c.ask, len(w.effects()) > 0)
			})
		})
	}
}

// An outcome that a handler skips would be waited for without an end.
func TestAnOutcomeIsNotSkipped(t *testing.T) {
	w := newWorld()
	skip := true
	start := func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
		tx.Run("charge")
		return nil
	}
	s := saga.New("checkout", saga.Start(byOrder, start),
		saga.Do("charge", w.action("charge"), w.back("charge")).Then(func(_ context.Context, _ string, tx *saga.Tx[order]) error {
			if skip {
				return reactor.Skip(errDown)
			}
			tx.Complete()
			return nil
		}))
	run := begun(t, s)
	require.Len(t, run.Parked("checkout"), 1)
	skip = false
	run.Replay("checkout", cursor.ParkedFilter{All: true})
	run.Settle()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)

	s.Policy.Exhausted = supervision.ActionSkip
	_, err = s.Actions()
	require.ErrorContains(t, err, "Policy.Exhausted")
}

// Whatever an action says about itself, its step has an outcome.
func TestAnActionThatSaysHowItIsToBeTreatedHasAnOutcome(t *testing.T) {
	for name, says := range map[string]func(error) error{"skip": reactor.Skip, "park": reactor.Park} {
		w := newWorld()
		w.fails["charge"], w.lies["charge"] = []error{says(errDown)}, true
		s := w.checkout()
		run := begun(t, s)
		o, err := s.In(run.Store()).Get("42")
		require.NoError(t, err)
		require.Equal(t, saga.Compensated, o.Life, name)
		require.Empty(t, w.effects())
	}
}

// A bug that has each handler and each action of many instances panic stops these, and no other.
func TestInstancesThatPanicHoldUpNoOther(t *testing.T) {
	w := newWorld()
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", func(_ context.Context, s saga.Step[order]) (string, error) {
			if s.Instance > "b" {
				panic("of " + s.Instance)
			}
			return w.do("charge", s.Key)
		}, w.back("charge")).Keep(func(o *order, _ string) {
			if o.ID > "a" {
				panic(o.ID)
			}
		}))
	run := reactortest.Start(t, s)
	for i := range 60 {
		run.Given(reactortest.At(at("b"), placed(fmt.Sprint("b", i))), reactortest.At(at("a"), placed(fmt.Sprint("a", i))))
	}
	run.Settle()
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	run.Advance(time.Hour)
	parked := run.Parked("checkout")
	require.Len(t, parked, 60)
	require.Contains(t, parked[0].Error, "panic: a")
	require.Contains(t, parked[0].Error, ", at wrong_test.go:")
	o, err = s.In(run.Store()).Get("b7")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life, "an action that panics may have happened")
	require.ErrorContains(t, o.Err, "panic: of b7, at wrong_test.go:")
}

// A handler that ends the process each time blocks its instance alone.
func TestAHandlerThatEndsTheProcessEachTimeBlocksItsInstanceAlone(t *testing.T) {
	w := newWorld()
	var run *reactortest.Run
	crashes := 0
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", w.action("charge"), w.back("charge")).Keep(func(o *order, _ string) {
			if o.ID == "42" {
				crashes++
				run.Crash(uint64(crashes))
			}
		}))
	s.Policy.Attempts = 3
	run = reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")), reactortest.At(at("43"), placed("43")))
	run.Advance(time.Minute)
	require.LessOrEqual(t, crashes, 4)
	require.Len(t, run.Parked("checkout"), 1)
	o, err := s.In(run.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
}

// Requests of instances that are suspended wait, and are no evidence against what a step calls.
func TestSuspendedInstancesAreNoOutage(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	s.Effects.Policy.Outage.Off = false
	run := reactortest.Start(t, s)
	run.Pause("checkout.do", time.Time{})
	var ids []string
	for i := range 8 {
		id := fmt.Sprint("s", i)
		ids = append(ids, id)
		run.Given(reactortest.At(at(id), placed(id)))
	}
	run.Settle()
	for _, id := range ids {
		_, err := s.In(run.Store()).Suspend(t.Context(), id, ana)
		require.NoError(t, err)
	}
	run.Settle()
	run.Resume("checkout.do")
	run.Settle()
	run.Advance(20 * time.Minute)
	require.NotErrorIs(t, run.Status("checkout.do").Reason, supervision.ErrOutage)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
}
