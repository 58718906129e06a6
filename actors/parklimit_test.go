package actors_test

import (
	"context"
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

// ofKeys appends inputs, one of each of the given keys.
func ofKeys(tb testing.TB, st *store.Store, keys ...string) store.Receipt {
	tb.Helper()
	var batch []store.Proposal
	for _, key := range keys {
		batch = append(batch, store.Proposal{At: store.At("in:"+key, "test"), Payload: store.Raw{Type: "in.made", Data: []byte("1")}})
	}
	return appendAll(tb, st, batch...)
}

// projecting makes a worker keep its position itself.
func projecting(w cursor.Worker) cursor.Worker {
	var position atomic.Uint64
	handle := w.Handle
	w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		action, err := handle(ctx, b)
		if err == nil && !b.Parked() {
			position.Store(uint64(b.Events[len(b.Events)-1].Position))
		}
		return action, err
	}
	w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
		return store.Position(position.Load()), nil
	}
	return w
}

func TestAWorkerWithNoRoomToHoldMoreWaitsForItAndContinuesByItself(t *testing.T) {
	for name, change := range map[string]func(*cursor.Worker){
		"one after the other": func(*cursor.Worker) {},
		"in lanes":            func(w *cursor.Worker) { w.Lanes = 4 },
		"a projector":         func(w *cursor.Worker) { *w = projecting(*w) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ill := sick()
				w := poisoned(ill, 1)
				w.BatchSize, w.MaxParked, w.Policy.Outage.Off = 4, 20, true
				change(&w)
				sys := start(t, st, w)
				seen := watch(t, sys)
				receipt := ofKeys(t, st, slices.Repeat([]string{"a"}, 40)...)
				time.Sleep(time.Hour)
				s := statusOf(t, sys, "w")
				require.Equal(t, actors.Full, s.State)
				require.ErrorIs(t, s.Reason, cursor.ErrParkLimit)
				require.ErrorContains(t, s.Reason, "parked events")
				require.Equal(t, []int{20, 19, 20}, []int{s.Parked, s.Held, s.Lag})
				require.Len(t, seen(actors.Full), 1, "it waits, and does not try again and again")

				ill.Store(false)
				_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
				require.NoError(t, err)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				time.Sleep(time.Minute)
				requireExactlyOnce(t, st, "w")
				s = statusOf(t, sys, "w")
				require.Equal(t, actors.Idle, s.State)
				require.Equal(t, []int{0, 0, 0}, []int{s.Parked, s.Lag, s.Restarts})
			})
		})
	}
}

// watch returns what a system comes to do from now on, by state.
func watch(tb testing.TB, sys *actors.System) func(actors.State) []actors.Transition {
	tb.Helper()
	transitions := make(chan actors.Transition, 1000)
	all := sys.Watch(tb.Context(), actors.FromNow)
	go func() { // ends with the system
		for t := range all {
			transitions <- t
		}
	}()
	var seen []actors.Transition
	return func(to actors.State) (list []actors.Transition) {
		for synctest.Wait(); len(transitions) > 0; {
			seen = append(seen, <-transitions)
		}
		for _, t := range seen {
			if t.To == to && t.From != to {
				list = append(list, t)
			}
		}
		return list
	}
}

func TestAnEventThatThereIsNoRoomToParkIsTriedAgainUntilThereIs(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error":         func() error { return errBroken },
		"an order to park": func() error { return supervision.Park(errBroken) },
		"a panic":          func() error { panic(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var tries atomic.Int32
				w := cursor.Worker{
					Name: "w", Region: inputs, MaxParkedKeys: 2, Policy: supervision.Policy{Attempts: 2},
					Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
						for i, e := range b.Events {
							b.Begin(i)
							if e.Coordinate.Entity == "in:good" {
								react("w", b, i)
								continue
							}
							tries.Add(1)
							return cursor.Continue, cursor.FailedAt(i, fail())
						}
						return cursor.Continue, nil
					},
				}
				w.Policy.Outage.Off = true
				sys := start(t, st, w)
				ofKeys(t, st, "a", "b", "c", "good")
				time.Sleep(time.Hour)
				before := tries.Load()
				time.Sleep(time.Hour)
				require.InDelta(t, 120, tries.Load()-before, 40, "one each 30 s")
				synctest.Wait() // a try may begin just now
				s := statusOf(t, sys, "w")
				require.Contains(t, []actors.State{actors.Retrying, actors.Restarting}, s.State)
				require.ErrorIs(t, s.Reason, cursor.ErrParkLimit)
				require.Equal(t, 2, s.Parked)
				require.Empty(t, reactions(t, st, "w"))

				_, err := sys.Discard(t.Context(), "w", cursor.ParkedFilter{Position: 1}, checkpoint.Request{})
				require.NoError(t, err)
				time.Sleep(time.Hour)
				require.Equal(t, []store.Position{2, 3}, parkedPositions(t, sys))
				require.Equal(t, []store.Position{4}, reactions(t, st, "w"))
			})
		})
	}
}

func TestLimitsOfWhatIsParkedAreChecked(t *testing.T) {
	for _, w := range []cursor.Worker{{MaxParked: -1}, {MaxParkedKeys: -1}, {MaxParked: 50_001}, {MaxParkedKeys: 50_001}} {
		w.Name, w.Handle = "w", reacting("w").Handle
		_, err := w.CursorWorker()
		require.ErrorIs(t, err, cursor.ErrWorker)
		w.MaxParked, w.MaxParkedKeys = min(50_000, max(0, w.MaxParked)), min(50_000, max(0, w.MaxParkedKeys))
		_, err = w.CursorWorker()
		require.NoError(t, err)
	}
}
