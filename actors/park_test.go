package actors_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// poisoned is a worker that reacts to each input, but fails at those that bad names while it is
// sick. These events are to blame, and nothing else: it knows of no outage.
func poisoned(sick *atomic.Bool, bad ...store.Position) cursor.Worker {
	return cursor.Worker{
		Name: "w", Region: inputs, Policy: supervision.Policy{
			Attempts: 2, Backoff: supervision.Backoff{Initial: time.Second}, Outage: supervision.OutagePolicy{Off: true},
		},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				if sick.Load() && slices.Contains(bad, e.Position) {
					return cursor.Continue, cursor.FailedAt(i, errBroken)
				}
				react("w", b, i)
			}
			return cursor.Continue, nil
		},
	}
}

func sick() *atomic.Bool {
	var b atomic.Bool
	b.Store(true)
	return &b
}

func parkedOf(tb testing.TB, sys *actors.System) (list []checkpoint.Parked) {
	tb.Helper()
	for p, err := range sys.Parked("w") {
		require.NoError(tb, err)
		list = append(list, p)
	}
	return list
}

func parkedPositions(tb testing.TB, sys *actors.System) (list []store.Position) {
	tb.Helper()
	for _, p := range parkedOf(tb, sys) {
		list = append(list, p.Position)
	}
	return list
}

func audits(tb testing.TB, st *store.Store) (kinds []string) {
	tb.Helper()
	for e, err := range checkpoint.Audits(tb.Context(), st, "w", 0) {
		require.NoError(tb, err)
		var a checkpoint.Audit
		require.NoError(tb, e.Decode(&a))
		require.Equal(tb, checkpoint.ID("w"), a.Worker)
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// Inputs 1 to 21 have seven keys: 3, 10 and 17 share one.
func TestAPoisonEventIsParkedWithItsKeyAndOtherKeysContinue(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			ill := sick()
			w := poisoned(ill, 3)
			w.Lanes = lanes
			sys := start(t, st, w)
			receipt := appendInputs(t, st, 21)
			var parked *actors.EventError
			require.ErrorAs(t, sys.WaitApplied(t.Context(), "w", receipt), &parked)
			require.Equal(t, store.Position(3), parked.Event)
			require.Equal(t, actors.ErrParked, parked.Err)
			time.Sleep(time.Minute)
			require.Equal(t, []store.Position{3, 10, 17}, parkedPositions(t, sys))
			list := parkedOf(t, sys)
			require.False(t, list[0].Held)
			require.Equal(t, 2, list[0].Attempts)
			require.Contains(t, list[0].Error, "broken")
			require.True(t, list[1].Held && list[2].Held)
			require.Equal(t, "in:2", list[1].Key)
			require.Len(t, reactions(t, st, "w"), 18)
			require.NotContains(t, reactions(t, st, "w"), store.Position(10))
			s := statusOf(t, sys, "w")
			require.Equal(t, actors.Idle, s.State)
			require.Equal(t, []int{3, 2, 0}, []int{s.Parked, s.Held, s.Lag})
			require.Equal(t, []string{checkpoint.AuditParked}, audits(t, st))

			ill.Store(false)
			chosen, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{DryRun: true, Reason: "look first"})
			require.NoError(t, err)
			require.Len(t, chosen, 3)
			require.Equal(t, []store.Position{3, 10, 17}, parkedPositions(t, sys), "a dry run changes nothing")
			_, err = sys.Replay(t.Context(), "w", cursor.ParkedFilter{Position: 3}, checkpoint.Request{Reason: "mended"})
			require.NoError(t, err)
			require.NoError(t, sys.WaitApplied(t.Context(), "w", appendAll(t, st, input(2))))
			require.Empty(t, parkedOf(t, sys))
			requirePerKey(t, st)
			require.Equal(t, []string{checkpoint.AuditParked, checkpoint.AuditReplay, checkpoint.AuditReplayed}, audits(t, st))
		})
	}
}

// requirePerKey requires one reaction to each input, those to inputs of one key in order.
func requirePerKey(tb testing.TB, st *store.Store) {
	tb.Helper()
	got := reactions(tb, st, "w")
	sorted := slices.Sorted(slices.Values(got))
	require.Equal(tb, positions(tb, st, inputs), sorted, "each once")
	last := make(map[string]store.Position)
	for _, p := range got {
		e, err := st.GetAt(tb.Context(), p)
		require.NoError(tb, err)
		require.Less(tb, last[e.Coordinate.Entity], p, "order of %s", e.Coordinate.Entity)
		last[e.Coordinate.Entity] = p
	}
}

func TestParkedEventsAndReplaysOutlastARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		sys := start(t, st, poisoned(ill, 3, 10))
		appendInputs(t, st, 21)
		time.Sleep(time.Minute)
		require.NoError(t, sys.Stop(t.Context()))

		sys = start(t, st, poisoned(ill, 3, 10))
		require.Equal(t, []store.Position{3, 10, 17}, parkedPositions(t, sys))
		appendAll(t, st, input(2))
		time.Sleep(time.Minute)
		require.Len(t, parkedOf(t, sys), 4, "what comes later is held")

		_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{Key: "in:2"}, checkpoint.Request{})
		require.NoError(t, err)
		require.NoError(t, sys.Stop(t.Context()))
		ill.Store(false)
		sys = start(t, st, poisoned(ill))
		time.Sleep(time.Minute)
		require.Empty(t, parkedOf(t, sys))
		requirePerKey(t, st)
	})
}

func TestAReplayThatFailsAgainIsParkedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, poisoned(sick(), 3, 10))
		appendInputs(t, st, 21)
		time.Sleep(time.Minute)
		_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, []store.Position{3, 10, 17}, parkedPositions(t, sys))
		require.False(t, parkedOf(t, sys)[0].Replaying)

		_, err = sys.Discard(t.Context(), "w", cursor.ParkedFilter{Position: 10}, checkpoint.Request{})
		require.ErrorIs(t, err, cursor.ErrNotParked)
		touched, err := sys.Discard(t.Context(), "w", cursor.ParkedFilter{Position: 3}, checkpoint.Request{Reason: "not needed"})
		require.NoError(t, err)
		require.Len(t, touched, 3)
		require.True(t, touched[1].Held, "it is handled")
		time.Sleep(time.Minute)
		require.Equal(t, []store.Position{10, 17}, parkedPositions(t, sys), "the next one fails too")
		require.False(t, parkedOf(t, sys)[0].Held)
		_, err = sys.Replay(t.Context(), "w", cursor.ParkedFilter{Key: "absent"}, checkpoint.Request{})
		require.ErrorIs(t, err, cursor.ErrNotParked)
	})
}

func TestHandlersDecideToParkOrToSkipAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		w := cursor.Worker{Name: "w", Region: inputs, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				switch e.Position {
				case 2:
					calls++
					return cursor.Continue, cursor.FailedAt(i, supervision.Park(errBroken))
				case 4:
					calls++
					return cursor.Continue, cursor.FailedAt(i, supervision.Skip(errBroken))
				}
			}
			return cursor.Continue, nil
		}}
		receipts := [5]store.Receipt{}
		for i := range receipts { // before the worker, whose audit events take positions, too
			receipts[i] = appendAll(t, st, input(i))
		}
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipts[4]))
		require.Equal(t, 2, calls)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipts[1]), actors.ErrParked)
		var skipped *actors.EventError
		require.ErrorAs(t, sys.WaitApplied(t.Context(), "w", receipts[3]), &skipped)
		require.Equal(t, store.Position(4), skipped.Event)
		require.Equal(t, actors.ErrSkipped, skipped.Err)
		require.Equal(t, []string{checkpoint.AuditParked, checkpoint.AuditSkipped}, audits(t, st))
	})
}

func TestAPanicThatUsesUpTheAttemptsParksTheEventAndRestartsTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := poisoned(new(atomic.Bool))
		inner := w.Handle
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				if e.Position == 3 {
					panic("poison")
				}
				react("w", b, i)
			}
			b.Events = nil
			return inner(ctx, b)
		}
		sys := start(t, st, w)
		appendInputs(t, st, 9)
		time.Sleep(time.Minute)
		require.Equal(t, []store.Position{3}, parkedPositions(t, sys))
		require.Equal(t, []store.Position{1, 2, 4, 5, 6, 7, 8, 9}, reactions(t, st, "w"))
		require.Equal(t, 2, statusOf(t, sys, "w").Restarts)
		require.NoError(t, sys.Err())
	})
}

func TestAVolatileWorkerHaltsWhereOthersPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := poisoned(sick(), 1)
		w.Volatile = true
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 1)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipt), actors.ErrHalted)
	})
}

func TestATimeoutEndsTheContextOfTheHandlerAndIsAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(ctx context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 2 {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		})
		w.BatchSize, w.Timeout, w.Policy = 1, time.Minute, supervision.Policy{Attempts: 2, Backoff: supervision.Backoff{Initial: time.Second}}
		sys := start(t, st, w)
		appendInputs(t, st, 3)
		time.Sleep(time.Hour)
		list := parkedOf(t, sys)
		require.Len(t, list, 1)
		require.Contains(t, list[0].Error, "timeout")
		require.Equal(t, []store.Position{1, 3}, reactions(t, st, "w"))
	})
}

// Events of other keys that are handled meanwhile must not reset the attempts of the replay.
func TestOtherEventsDoNotRenewTheAttemptsOfAReplay(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			var panics atomic.Int32
			w := handling("w", func(_ context.Context, b *cursor.Batch) error {
				if b.Events[0].Position == 3 {
					time.Sleep(time.Second)
					panics.Add(1)
					panic("poison")
				}
				return nil
			})
			w.Lanes, w.BatchSize = lanes, 1
			w.Policy = supervision.Policy{Attempts: 3, Backoff: supervision.Backoff{Initial: time.Second}}
			sys := start(t, st, w)
			appendInputs(t, st, 7)
			time.Sleep(time.Minute)
			require.Equal(t, int32(3), panics.Load())
			_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
			require.NoError(t, err)
			for range 300 {
				appendInputs(t, st, 1)
				time.Sleep(300 * time.Millisecond)
			}
			require.Equal(t, int32(6), panics.Load())
			require.Len(t, parkedOf(t, sys), 1)
			require.False(t, parkedOf(t, sys)[0].Replaying)
		})
	}
}

func TestAWatcherSeesWhichEventsAreParkedAndSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, cursor.Worker{Name: "w", Region: inputs, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			switch b.Events[0].Position {
			case 1:
				return cursor.Continue, cursor.FailedAt(0, supervision.Park(errBroken))
			case 2:
				return cursor.Continue, cursor.FailedAt(0, supervision.Skip(errBroken))
			}
			return cursor.Continue, nil
		}})
		watched := sys.Watch(t.Context(), actors.FromNow)
		appendInputs(t, st, 3)
		time.Sleep(time.Second)
		require.NoError(t, sys.Stop(t.Context()))
		seen := make(map[store.Position]error)
		for tr := range watched {
			if decided := new(actors.EventError); errors.As(tr.Reason, &decided) {
				seen[decided.Event] = decided.Err
			}
		}
		require.Equal(t, map[store.Position]error{1: actors.ErrParked, 2: actors.ErrSkipped}, seen)
	})
}
