package cursor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// die is the life of a process that ends with an event in the hands of its handler; those before it
// are done, or fail.
func die(t *testing.T, st *store.Store, w cursor.Worker, killer store.Position) {
	t.Helper()
	r := runner(t, st, w)
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	for {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		require.NotNil(t, task)
		if task.First() <= killer && killer < task.First()+store.Position(task.Size()) {
			return
		}
		task.Run(t.Context())
		r.Finish(task)
		_, err = r.Commit(t.Context())
		require.NoError(t, err)
	}
}

func attempts(n int) supervision.Policy { return supervision.Policy{Attempts: n} }

func TestACleanEndDoesNotHideWhatKilledTheProcessBefore(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b")
	w := cursor.Worker{Region: orders, Handle: reactAll, Policy: attempts(2)}
	die(t, st, w, 1) // both in flight
	die(t, st, w, 1) // alone
	r := runner(t, st, w)
	require.NoError(t, r.Pause(t.Context(), time.Time{}, checkpoint.Request{})) // any commit
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	require.NoError(t, r.Close(t.Context()))
	die(t, st, w, 1)
	_, err = runner(t, st, w).Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, cursor.ErrCrashLoop)
}

func TestEventsThatCameAfterTheCrashAreNotGuarded(t *testing.T) {
	st := open(t)
	keyed(t, st, "a")
	w := cursor.Worker{Region: orders, Handle: reactAll}
	drain(t, runner(t, st, w))
	r := runner(t, st, w)
	drain(t, r)
	keyed(t, st, "a", "b", "c", "d")
	out, err := r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, 4, out.Handled)
}

func TestACrashWhileAnEventWaitsForAnotherTryIsNotChargedToIt(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b")
	w := cursor.Worker{Region: orders, Handle: brokenAt(1), Policy: attempts(2)}
	for range 5 {
		r := runner(t, st, w)
		failing(t, r)
		_, err := r.Commit(t.Context())
		require.NoError(t, err)
		require.Zero(t, record(t, st, "reserve").Tries)
	}
}

// With lanes an event that fails does not hold up those behind it, one of which kills the process
// each time.
func TestCrashesAtAnEventAreCountedAlthoughOthersFailBeforeIt(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b", "c")
	w := cursor.Worker{Region: orders, Handle: brokenAt(1), Policy: attempts(2), Lanes: 4}
	die(t, st, w, 2) // in several hands
	die(t, st, w, 2) // alone
	die(t, st, w, 2)
	r := runner(t, st, w)
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	task, err := r.Next(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, store.Position(2), task.First())
	task.Run(t.Context())
	require.ErrorIs(t, task.Err(), cursor.ErrCrashLoop)
}

func TestAnEventThatKilledTheProcessIsHandledWhenItIsReplayed(t *testing.T) {
	st := open(t)
	keyed(t, st, "a")
	calls := 0
	w := cursor.Worker{Region: orders, Policy: attempts(1), Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		calls++
		return reactAll(ctx, b)
	}}
	die(t, st, w, 1)
	die(t, st, w, 1)
	r := runner(t, st, w)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, cursor.ErrCrashLoop)
	require.NoError(t, r.Settle(1, toPark(err, 1)))
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	drain(t, r)
	require.Equal(t, 1, calls)
	require.Equal(t, []store.Position{1}, reactions(t, st))
}
