package actors_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// resigning is a worker that fails in some way at input 3, and gives up what it fails at by
// reacting to it like to others. Of each call for input 3 it notes the number of the attempt; 0 for
// GiveUp.
func resigning(fail func() error) (w cursor.Worker, calls func() []int) {
	var mu sync.Mutex
	var noted []int
	note := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		noted = append(noted, n)
	}
	w = poisoned(new(atomic.Bool))
	w.Policy.Attempts = 3
	w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			b.Begin(i)
			react("w", b, i)
			if e.Position != 3 {
				continue
			}
			note(b.Attempt(i))
			if err := fail(); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
		}
		return cursor.Continue, nil
	}
	w.GiveUp = func(_ context.Context, b *cursor.Batch, failure error, attempts int) error {
		note(0)
		if b.Attempt(0) != attempts || !errors.Is(failure, errBroken) {
			return errors.New("told something else")
		}
		react("w", b, 0)
		return nil
	}
	return w, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(noted)
	}
}

func TestAWorkerSettlesTheOutcomeOfAnEventWhoseAttemptsAreUsedUp(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func() error
		calls []int
	}{
		"errors":  {func() error { return errBroken }, []int{1, 2, 3, 0}},
		"panics":  {func() error { panic(errBroken) }, []int{1, 2, 3, 0}},
		"parks":   {func() error { return supervision.Park(errBroken) }, []int{1, 0}},
		"skips":   {func() error { return supervision.Skip(errBroken) }, []int{1, 0}},
		"retries": {func() error { return supervision.RetryAfter(time.Minute, errBroken) }, []int{1, 2, 3, 0}},
	} {
		for _, lanes := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					core, logs := observer.New(zapcore.ErrorLevel)
					st := memory(t, store.Options{})
					w, calls := resigning(c.fail)
					w.Lanes = lanes
					sys := startWith(t, st, actors.Options{Logger: zap.New(core)}, w)
					receipt := appendInputs(t, st, 21)
					require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt), "it is neither parked nor skipped")
					require.Equal(t, c.calls, calls())
					require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
					requirePerKey(t, st)
					require.Equal(t, []string{checkpoint.AuditGivenUp}, audits(t, st))
					time.Sleep(time.Hour)
					require.Equal(t, 1, logs.FilterMessage(actors.LogGiveUp.String()).Len())
					s := statusOf(t, sys, "w")
					require.Equal(t, []any{actors.Idle, 0}, []any{s.State, s.Parked})
				})
			})
		}
	}
}

func TestAnEventThatCannotBeGivenUpIsParked(t *testing.T) {
	errHopeless := errors.New("hopeless")
	for name, c := range map[string]struct {
		giveUp   func() error
		restarts int
	}{
		"errors": {func() error { return errHopeless }, 0},
		"panics": {func() error { panic(errHopeless) }, 1},
	} {
		for _, lanes := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := memory(t, store.Options{})
					w, calls := resigning(func() error { return errBroken })
					w.Lanes = lanes
					w.GiveUp = func(context.Context, *cursor.Batch, error, int) error { return c.giveUp() }
					sys := start(t, st, w)
					var parked *actors.EventError
					require.ErrorAs(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 21)), &parked)
					require.Equal(t, store.Position(3), parked.Event)
					require.Contains(t, parked.Reason, "hopeless")
					require.Contains(t, parked.Reason, "broken")
					time.Sleep(time.Minute)
					require.Equal(t, []store.Position{3, 10, 17}, parkedPositions(t, sys))
					require.Equal(t, 3, parkedOf(t, sys)[0].Attempts)
					require.Equal(t, []int{1, 2, 3}, calls())
					require.Equal(t, c.restarts, statusOf(t, sys, "w").Restarts)
					require.Equal(t, []string{checkpoint.AuditParked}, audits(t, st))

					_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
					require.NoError(t, err)
					time.Sleep(time.Minute)
					require.Equal(t, []int{1, 2, 3, 1, 2, 3}, calls(), "with a fresh count")
				})
			})
		}
	}
}

func TestNothingIsGivenUpInAnOutage(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			var down atomic.Bool
			var calls, given atomic.Int64
			down.Store(true)
			w := calling(&down, &calls)
			w.Lanes = lanes
			w.GiveUp = func(context.Context, *cursor.Batch, error, int) error {
				given.Add(1)
				return nil
			}
			sys := start(t, st, w)
			receipt := appendInputs(t, st, 50)
			time.Sleep(24 * time.Hour)
			require.Equal(t, actors.Outage, statusOf(t, sys, "w").State)
			down.Store(false)
			require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
			require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
			require.Zero(t, given.Load())
			require.Zero(t, statusOf(t, sys, "w").Parked)
		})
	}
}

// A bad event among good ones is given up, whatever else was out of reach before.
func TestABadEventIsGivenUpOnceAnOutageIsOver(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			var down atomic.Bool
			down.Store(true)
			var given []store.Position
			w := cursor.Worker{Name: "w", Region: inputs, Lanes: lanes, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				for i, e := range b.Events {
					b.Begin(i)
					if down.Load() || e.Position == 9 {
						return cursor.Continue, cursor.FailedAt(i, errBroken)
					}
					react("w", b, i)
				}
				return cursor.Continue, nil
			}, GiveUp: func(_ context.Context, b *cursor.Batch, _ error, _ int) error {
				given = append(given, b.Events[0].Position)
				react("w", b, 0)
				return nil
			}}
			sys := start(t, st, w)
			appendInputs(t, st, 20)
			time.Sleep(time.Hour)
			down.Store(false)
			for range 20 { // others show what is to blame
				time.Sleep(time.Minute)
				appendInputs(t, st, 1)
			}
			time.Sleep(time.Minute)
			require.NoError(t, sys.Stop(t.Context()))
			require.Equal(t, []store.Position{9}, given)
			require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
			requirePerKey(t, st)
		})
	}
}

func TestAPolicyThatHaltsGivesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w, calls := resigning(func() error { return errBroken })
		w.Policy.Exhausted = supervision.ActionHalt
		sys := start(t, st, w)
		appendInputs(t, st, 3)
		time.Sleep(time.Hour)
		require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
		require.Equal(t, []int{1, 2, 3}, calls())
	})
}
