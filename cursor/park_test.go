package cursor_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// keyed appends one order of each of the keys, in one commit.
func keyed(t tb, st *store.Store, keys ...string) {
	t.Helper()
	var b store.Batch
	for i, key := range keys {
		b.Events = append(b.Events, store.Proposal{At: store.At("order:"+key, "shop"), Payload: placed{N: i}})
	}
	_, err := st.Commit(t.Context(), b)
	require.NoError(t, err)
}

// brokenAt is reactAll, but fails at one event.
func brokenAt(bad store.Position) cursor.Handler {
	return func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			b.Begin(i)
			if e.Position == bad {
				return cursor.Continue, cursor.FailedAt(i, errBroken)
			}
			react(b, i)
		}
		return cursor.Continue, nil
	}
}

// failing takes a step that fails at an event.
func failing(t tb, r *cursor.Runner) {
	t.Helper()
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
}

// park takes a step that fails at an event, and sets that aside.
func park(t tb, r *cursor.Runner, at store.Position) {
	t.Helper()
	failing(t, r)
	require.NoError(t, r.Settle(at, toPark(errBroken, 3)))
	_, err := r.Commit(t.Context())
	require.NoError(t, err)
}

func TestParkingInALongBatchLeavesACheckpointThatCanBeRead(t *testing.T) {
	st := open(t)
	keys := []string{"bad"}
	for i := range 6000 {
		keys = append(keys, fmt.Sprint(i))
	}
	keyed(t, st, append(keys, "bad")...)
	w := cursor.Worker{Region: orders, BatchSize: cursor.MaxBatchSize, Handle: brokenAt(1)}
	park(t, runner(t, st, w), 1)
	require.Len(t, record(t, st, "reserve").Pending, 6000, "the last one is held, and so done")
	drain(t, runner(t, st, w))
	require.Len(t, reactions(t, st), 6000)
}

// moodyKey is the entity, but panics at one event while it is sick.
func moodyKey(bad store.Position, sick *bool) func(store.Event) string {
	return func(e store.Event) string {
		if *sick && e.Position == bad {
			panic(errBroken)
		}
		return e.Coordinate.Entity
	}
}

func TestAFailureOfTheKeyOfOneEventRepeatsNoneOfThoseBefore(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		keyed(t, st, "bad", "bad")
		sick := true
		r := runner(t, st, cursor.Worker{
			Region: orders, Handle: brokenAt(1), Lanes: lanes, BatchSize: 8, Key: moodyKey(6, &sick),
		})
		park(t, r, 1)
		keyed(t, st, "a", "bad", "b", "a") // behind the audit event: 4 a, 5 bad, 6 b, 7 a
		_, err := r.Fill(t.Context(), 0)
		var failed *cursor.RunnerError
		require.ErrorAs(t, err, &failed)
		require.ErrorIs(t, err, cursor.ErrKey)
		require.Equal(t, store.Position(6), failed.Event)
		for range 3 {
			_, _ = r.Fill(t.Context(), 0)
			require.Equal(t, 2, r.Progress().Queued, "4 and the held 5")
		}
		sick = false
		drain(t, r)
		require.Equal(t, []store.Position{4, 6, 7}, slices.Sorted(slices.Values(reactions(t, st))))
		held := r.Progress().Held
		require.Equal(t, 2, held)
	}
}

func TestParkingThatIsRefusedChangesNothing(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "bad", "other", "bad", "bad")
	sick := true
	r := runner(t, st, cursor.Worker{Region: orders, Handle: brokenAt(1), Key: moodyKey(4, &sick)})
	failing(t, r)
	require.ErrorIs(t, r.Settle(1, toPark(errBroken, 3)), cursor.ErrKey)
	parked := r.Progress().Parked
	require.Zero(t, parked)
	require.False(t, r.Dirty())
	require.Equal(t, 5, r.Progress().Queued)
	sick = false
	require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
	drain(t, r)
	require.Equal(t, []store.Position{3}, reactions(t, st))
}

func TestThereIsNoRoomForMoreThanTheLimitOfParkedEvents(t *testing.T) {
	st := open(t)
	keys := slices.Repeat([]string{"bad"}, 10_000+1)
	keyed(t, st, keys...)
	w := cursor.Worker{Region: orders, BatchSize: cursor.MaxBatchSize, Handle: brokenAt(1)}
	r := runner(t, st, w)
	failing(t, r)
	err := r.Settle(1, toPark(errBroken, 3))
	require.ErrorIs(t, err, cursor.ErrParkLimit)
	for _, want := range []string{`worker "reserve": no room to park event 1: `, "parked events", "10001", "the limit is 10000"} {
		require.ErrorContains(t, err, want)
	}
	require.False(t, r.Dirty(), "nothing is changed")
	require.NoError(t, r.Settle(1, toSkip(errBroken, 3)))
	drain(t, r)
	require.Len(t, reactions(t, st), 10_000)
}

func TestTheLimitOfTheFirstBatchHoldsForParkedEventsToo(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "bad", "bad", "bad")
	w := cursor.Worker{Region: orders, Handle: brokenAt(1)}
	r := runner(t, st, w)
	park(t, r, 1)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	w.Name = "reserve"
	r, err = cursor.RestartRunner(t.Context(), st, &w, cursor.Former{Seen: true, Limit: 2})
	require.NoError(t, err)
	task, err := r.Next(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 2, task.Size())
}

func TestPendingEventsOfAKindThatIsNotHandledAnyMoreAreLeftOut(t *testing.T) {
	st := open(t)
	_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any, cancelled{})
	require.NoError(t, err)
	keyed(t, st, "2")
	w := cursor.Worker{Region: orders, Handle: brokenAt(1), Lanes: 2, Kinds: []string{"order.cancelled", "order.placed"}}
	r := runner(t, st, w)
	_, err = r.Fill(t.Context(), 0)
	require.NoError(t, err)
	for range 2 {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		task.Run(t.Context())
		r.Finish(task)
	}
	_, err = r.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.Position{1}, record(t, st, "reserve").Pending)

	w.Kinds, w.NewKinds = []string{"order.placed"}, checkpoint.NewKindsFromNow
	r = runner(t, st, w)
	drain(t, r)
	require.Equal(t, []store.Position{2}, reactions(t, st))
	require.NoError(t, r.Close(t.Context()))
	require.Empty(t, record(t, st, "reserve").Pending)
}

func TestAReplayThatIsToEmitIsStillAReplayWhenItIsParked(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b")
	sick, replayed := false, map[store.Position]bool{}
	w := cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			if sick && e.Position == 1 {
				return cursor.Continue, cursor.FailedAt(i, errBroken)
			}
			replayed[e.Position] = b.Replayed(i)
			react(b, i)
		}
		return cursor.Continue, nil
	}}
	r := runner(t, st, w)
	drain(t, r)
	require.NoError(t, apply(t.Context(), r, checkpoint.Rewind{Emit: true}))
	sick = true
	park(t, r, 1)
	sick = false
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	drain(t, r)
	require.Equal(t, []store.Position{1, 2, 1, 2}, ascendingTwice(reactions(t, st)))
	require.Equal(t, map[store.Position]bool{1: true, 2: true}, replayed)

	require.NoError(t, apply(t.Context(), r, checkpoint.Rewind{Emit: true}))
	sick = true
	park(t, r, 1)
	sick = false
	require.NoError(t, apply(t.Context(), r, checkpoint.Rewind{}))
	drain(t, r)
	require.Len(t, reactions(t, st), 4, "it was decided again that nothing emits")
}

// ascendingTwice sorts the second half, which comes in any order.
func ascendingTwice(list []store.Position) []store.Position {
	slices.Sort(list[len(list)/2:])
	return list
}

// A back-fill finds earlier events of a key that has a parked one.
func TestAParkedEventCanBeSkippedAlthoughEarlierOnesAreHeldWithIt(t *testing.T) {
	for _, restart := range []bool{false, true} {
		st := open(t)
		_, err := st.Append(t.Context(), store.At("order:bad", "shop"), store.Any, cancelled{})
		require.NoError(t, err)
		keyed(t, st, "bad", "bad")
		w := cursor.Worker{Region: orders, Handle: brokenAt(2), Kinds: []string{"order.placed"}}
		r := runner(t, st, w)
		park(t, r, 2)
		w.Kinds = nil
		require.NoError(t, apply(t.Context(), r, checkpoint.Widen{Region: orders}))
		drain(t, r)
		parked, held := r.Progress().Parked, r.Progress().Held
		require.Equal(t, []int{3, 2}, []int{parked, held})
		if restart {
			r = runner(t, st, w)
		}
		require.ErrorIs(t, discard(t.Context(), r, 1), cursor.ErrNotParked)
		_, err = r.Replay(t.Context(), cursor.ParkedFilter{Position: 2}, checkpoint.Request{DryRun: true})
		require.NoError(t, err)
		require.NoError(t, discard(t.Context(), r, 2))
		drain(t, r)
		require.Equal(t, []store.Position{1, 3}, slices.Sorted(slices.Values(reactions(t, st))))
		parked, held = r.Progress().Parked, r.Progress().Held
		require.Equal(t, []int{0, 0}, []int{parked, held})
	}
}

// What waits for a parked event hears that it is discarded, in the commit of that.
func TestADiscardedEventIsAnswered(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad")
	fails := func() error { return errBroken }
	r := runner(t, st, cursor.Worker{Region: orders, Handle: brokenAt(1), Discarded: func(e store.Event) ([]store.Proposal, error) {
		return []store.Proposal{{At: e.Coordinate, Payload: store.Raw{Type: "answer.lost", Data: []byte("1")}}}, fails()
	}})
	park(t, r, 1)
	answers := func() (list []store.Event) {
		for e, err := range st.Read(t.Context(), store.Region{Kinds: []string{"answer.lost"}}, store.Beginning()) {
			require.NoError(t, err)
			list = append(list, e)
		}
		return list
	}
	_, err := r.Discard(t.Context(), cursor.ParkedFilter{Position: 1}, checkpoint.Request{DryRun: true})
	require.NoError(t, err)
	require.ErrorIs(t, discard(t.Context(), r, 1), errBroken)
	fails = func() error { panic("broken") }
	require.ErrorContains(t, discard(t.Context(), r, 1), "broken")
	require.Empty(t, answers())
	fails = func() error { return nil }
	require.NoError(t, discard(t.Context(), r, 1))
	require.Len(t, answers(), 1)
	given, err := st.GetAt(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, given.ID, answers()[0].Cause)
	require.Zero(t, r.Progress().Parked)
}

func TestABatchOfParkedEventsFitsInMemory(t *testing.T) {
	st := open(t)
	for range 6 {
		_, err := st.Append(t.Context(), store.At("order:bad", "shop"), store.Any, store.Raw{Type: "order.placed", Data: make([]byte, store.MaxPayloadBytes)})
		require.NoError(t, err)
	}
	r := runner(t, st, cursor.Worker{Region: orders, Handle: brokenAt(1)})
	park(t, r, 1)
	drain(t, r)
	require.NoError(t, discard(t.Context(), r, 1))
	task, err := r.Next(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 4, task.Size(), "of 5")
}

func TestAVerdictThatDoesNotFitChangesNothing(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "other")
	r := runner(t, st, cursor.Worker{Region: orders, Handle: brokenAt(1)})
	failing(t, r)
	for event, v := range map[store.Position]supervision.Verdict{
		1: {Action: supervision.ActionHalt, Reason: errBroken},
		2: toPark(errBroken, 1), // it only waits for the first
		9: again,
	} {
		require.Error(t, r.Settle(event, v))
		require.False(t, r.Dirty())
		require.True(t, r.IsFailed(1))
	}
	require.NoError(t, r.Settle(1, again))
	require.False(t, r.IsFailed(1))

	volatile := runner(t, st, cursor.Worker{Name: "v", Volatile: true, Region: orders, Handle: brokenAt(1)})
	failing(t, volatile)
	require.ErrorIs(t, volatile.Settle(1, toPark(errBroken, 1)), cursor.ErrNoCheckpoint)
	require.NoError(t, volatile.Settle(1, toSkip(errBroken, 1)))
}
