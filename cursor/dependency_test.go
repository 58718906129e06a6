package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// dependent is a worker whose events depend on what their entity ends with, "a" or "b". It fails at
// those of which that is down.
type dependent struct {
	down  string
	given []store.Position
}

func (d *dependent) worker() cursor.Worker {
	return cursor.Worker{
		Region: orders, Dependency: func(e store.Event) string { return e.Coordinate.Entity[len(e.Coordinate.Entity)-1:] },
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				if d.down != "" && e.Coordinate.Entity[len(e.Coordinate.Entity)-1:] == d.down {
					return cursor.Continue, cursor.FailedAt(i, errBroken)
				}
				d.given = append(d.given, e.Position)
				react(b, i)
			}
			return cursor.Continue, nil
		},
	}
}

// do runs a task and commits it, and returns the position of its first event; 0 without a task.
func do(t *testing.T, r *cursor.Runner, task *cursor.Task, err error) store.Position {
	t.Helper()
	require.NoError(t, err)
	if task == nil {
		return 0
	}
	task.Run(t.Context())
	r.Finish(task)
	commit(t, r)
	return task.First()
}

func commit(t *testing.T, r *cursor.Runner) {
	t.Helper()
	_, err := r.Commit(t.Context())
	require.NoError(t, err)
}

func retry(t *testing.T, r *cursor.Runner, event store.Position) {
	t.Helper()
	require.NoError(t, r.Settle(event, again))
}

func next(t *testing.T, r *cursor.Runner) store.Position {
	t.Helper()
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	task, err := r.Next(t.Context(), 0)
	return do(t, r, task, err)
}

// probe tries an event that has not failed, where those given have.
func probe(t *testing.T, r *cursor.Runner, failed ...store.Position) store.Position {
	t.Helper()
	suspend(r, failed...)
	task, err := cursor.DependenciesOf(r).Probe(t.Context(), "a")
	if task != nil {
		require.Equal(t, 1, task.Size())
	}
	return do(t, r, task, err)
}

func suspend(r *cursor.Runner, failed ...store.Position) {
	cursor.DependenciesOf(r).Suspend("a", func(event store.Position) (string, bool) {
		return "a", slices.Contains(failed, event)
	})
}

func probeAt(t *testing.T, r *cursor.Runner, event store.Position) store.Position {
	t.Helper()
	task, err := cursor.DependenciesOf(r).ProbeAt(t.Context(), event)
	if task != nil {
		require.Equal(t, 1, task.Size())
	}
	return do(t, r, task, err)
}

func TestEventsOfASuspendedDependencyWaitAndWithLanesOthersDoNot(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		keyed(t, st, "1b", "2a", "3b", "4a", "2a", "5b")
		d := &dependent{}
		w := d.worker()
		w.Lanes = lanes
		r := runner(t, st, w)
		suspend(r)
		for next(t, r) > 0 {
		}
		if lanes == 1 {
			require.Equal(t, []store.Position{1}, d.given)
		} else {
			require.Equal(t, []store.Position{1, 3, 6}, d.given)
		}
		require.True(t, r.Idle(), "nothing can be taken")
		cursor.DependenciesOf(r).Release("a")
		for next(t, r) > 0 {
		}
		require.ElementsMatch(t, []store.Position{1, 2, 3, 4, 5, 6}, d.given)
	}
}

func TestWhatComesFirstInItsQueueCanBeProbed(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a", "2a", "2a", "3b", "3a", "4a")
	d := &dependent{down: "a"}
	w := d.worker()
	w.Lanes = 4
	r := runner(t, st, w)
	suspend(r)
	require.Equal(t, store.Position(4), next(t, r))
	var failed []store.Position
	for range 4 {
		event := probe(t, r, failed...)
		require.Zero(t, probeAt(t, r, event), "it waits for a decision")
		retry(t, r, event)
		failed = append(failed, event)
	}
	require.Equal(t, []store.Position{1, 2, 5, 6}, failed)
	require.Zero(t, probe(t, r, failed...), "all have failed")
	require.Zero(t, probeAt(t, r, 3), "it comes after 2")
	require.Equal(t, store.Position(2), probeAt(t, r, 2))
	require.Equal(t, cursor.Subject{Event: 2, Key: "order:2a", Dependency: "a"}, cursor.DependenciesOf(r).Failed(2))
	retry(t, r, 2)
	d.down = ""
	require.Equal(t, store.Position(2), probeAt(t, r, 2))
	require.Equal(t, store.Position(3), probe(t, r, failed...), "what it held up is next")
	require.Zero(t, next(t, r))
}

func TestADeferredEventIsHandledAgainWithWhatIsOfItsKeyAlsoByTheNextRunner(t *testing.T) {
	for _, restart := range []bool{false, true} {
		st := open(t)
		keyed(t, st, "1a", "2a", "1a", "3a")
		d := &dependent{down: "a"}
		w := d.worker()
		r := runner(t, st, w)
		of := cursor.DependenciesOf(r)
		suspend(r)
		require.Zero(t, next(t, r))
		require.Equal(t, store.Position(1), probe(t, r, 0))
		require.True(t, of.Defer(1, false))
		commit(t, r)
		parked, held := r.Progress().Parked, r.Progress().Held
		require.Equal(t, []int{2, 2}, []int{parked, held}, "3 is held for it; none failed")
		require.Equal(t, store.Position(2), probe(t, r, 1), "what follows can be tried")
		require.True(t, of.Defer(2, false))
		require.Equal(t, store.Position(4), probe(t, r, 1, 2))
		retry(t, r, 4)
		keyed(t, st, "2a")
		require.Zero(t, probe(t, r, 1, 2, 4))
		require.Equal(t, store.Position(2), probe(t, r, 1, 4), "one that is deferred and has not failed")
		retry(t, r, 2)
		require.Equal(t, store.Position(1), probeAt(t, r, 1))
		require.False(t, of.Defer(1, false), "it is already")
		retry(t, r, 1)
		require.False(t, r.IsDone(1))

		d.down = ""
		if restart {
			r = trusting(t, st, w)
		} else {
			of.Release("a")
		}
		for next(t, r) > 0 {
		}
		require.ElementsMatch(t, matching(t, st, orders), reactions(t, st))
		require.Less(t, index(d.given, 1), index(d.given, 3))
		require.Less(t, index(d.given, 1), index(d.given, 2), "deferred ones in their order")
		require.Zero(t, r.Progress().Parked)
		for e, err := range checkpoint.Audits(t.Context(), st, "reserve", 0) {
			require.Fail(t, "nothing was parked", "%v %v", e, err)
		}
	}
}

func index(list []store.Position, p store.Position) int {
	for i, one := range list {
		if one == p {
			return i
		}
	}
	return -1
}

func TestAWorkerWithoutACheckpointDefersNothing(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a")
	d := &dependent{down: "a"}
	w := d.worker()
	w.Volatile = true
	r := runner(t, st, w)
	require.Equal(t, store.Position(1), next(t, r))
	require.False(t, cursor.DependenciesOf(r).Defer(1, false))
	require.True(t, r.IsFailed(1))
}

func TestWithLanesAnEventIsDeferredOnceThereIsNoRoomToReadOn(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a", "2a", "3a")
	d := &dependent{down: "a"}
	w := d.worker()
	w.Lanes, w.BatchSize = 2, 2
	r := runner(t, st, w)
	require.Equal(t, store.Position(1), next(t, r))
	of := cursor.DependenciesOf(r)
	require.False(t, of.Defer(1, false))
	require.False(t, of.HoldsUp(1), "others can be read and tried")
	keyed(t, st, "4a", "5a")
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	require.True(t, of.HoldsUp(1), "5 is not read")
	require.True(t, of.Defer(1, false))
	commit(t, r)
	_, err = r.Fill(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, store.Position(5), r.Progress().Read)
	require.True(t, of.Waits(1) && of.Waits(5))
	d.down = ""
	for next(t, r) > 0 {
	}
	require.ElementsMatch(t, []store.Position{1, 2, 3, 4, 5}, reactions(t, st))
	require.False(t, of.Waits(1) || of.Waits(5))
}

func TestAnEventIsNotDeferredForOthersOfItsKey(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a", "1a", "1a")
	d := &dependent{down: "a"}
	r := runner(t, st, d.worker())
	require.Equal(t, store.Position(1), next(t, r))
	of := cursor.DependenciesOf(r)
	require.False(t, of.Defer(1, false))
	require.True(t, of.HoldsUp(1))
	keyed(t, st, "2a")
	require.True(t, of.Defer(1, true), "unless what is not read yet is wanted")
	require.Equal(t, 3, r.Progress().Parked)
	commit(t, r)
	require.Equal(t, store.Position(4), next(t, r))
}

func TestWhatIsParkedHoldsUpWhatIsOfItsKey(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a", "1a", "1a")
	d := &dependent{down: "a"}
	r := runner(t, st, d.worker())
	require.Equal(t, store.Position(1), next(t, r))
	of := cursor.DependenciesOf(r)
	require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
	commit(t, r)
	require.Equal(t, store.Position(1), probeAt(t, r, 1))
	require.True(t, of.HoldsUp(1), "where it is parked, too")
	require.True(t, of.Parked(1) && !of.Waits(1))
}

func TestAParkedEventIsProbedWhereItIsAndHandlesWhatIsHeldForIt(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		keyed(t, st, "1a", "1a", "2b")
		d := &dependent{down: "a"}
		w := d.worker()
		w.Lanes = lanes
		r := runner(t, st, w)
		require.Equal(t, store.Position(1), next(t, r))
		require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
		commit(t, r)
		for next(t, r) > 0 {
		}
		of := cursor.DependenciesOf(r)
		for range 2 {
			task, err := of.ProbeAt(t.Context(), 1)
			require.Equal(t, store.Position(1), do(t, r, task, err))
			require.True(t, r.IsFailed(1))
			retry(t, r, 1)
			entry, ok, err := parkedAt(st, 1)
			require.NoError(t, err)
			require.True(t, ok && !entry.Replaying && entry.Attempts == 3, "nothing changes")
			require.Zero(t, next(t, r))
		}
		task, err := of.ProbeAt(t.Context(), 2)
		require.Zero(t, do(t, r, task, err), "it is only held")
		d.down = ""
		task, err = of.ProbeAt(t.Context(), 1)
		require.Equal(t, store.Position(1), do(t, r, task, err))
		entry, ok, err := parkedAt(st, 2)
		require.NoError(t, err)
		require.True(t, ok && entry.Replaying, "in the same commit")
		require.Equal(t, store.Position(2), next(t, r))
		require.Zero(t, r.Progress().Parked)
		require.Equal(t, []store.Position{3, 1, 2}, d.given)
	}
}

// parkedAt is what the store says of a parked event.
func parkedAt(st *store.Store, at store.Position) (checkpoint.Parked, bool, error) {
	for p, err := range checkpoint.ParkedEvents(st, "reserve", at) {
		return p, true, err
	}
	return checkpoint.Parked{}, false, nil
}

func TestParkedEventsThatAreTakenBackAreHandledAgain(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a", "1a", "2b")
	d := &dependent{down: "a"}
	r := runner(t, st, d.worker())
	require.Equal(t, store.Position(1), next(t, r))
	require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
	commit(t, r)
	d.down = ""
	cursor.DependenciesOf(r).TakeBack([]store.Position{1, 99})
	require.True(t, r.Dirty())
	commit(t, r)
	r = runner(t, st, d.worker())
	for next(t, r) > 0 {
	}
	require.ElementsMatch(t, []store.Position{1, 2, 3}, reactions(t, st))
	require.Zero(t, r.Progress().Parked)
}

func TestWhatIsParkedInDoubtIsHandledAgainByTheNextRunner(t *testing.T) {
	for _, doubt := range []bool{true, false} {
		st := open(t)
		keyed(t, st, "1a", "1a", "2b")
		d := &dependent{down: "a"}
		r := runner(t, st, d.worker())
		require.Equal(t, store.Position(1), next(t, r))
		require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
		of := cursor.DependenciesOf(r)
		of.Doubt(1, true)
		commit(t, r)
		if !doubt {
			of.Doubt(1, false)
			commit(t, r)
		}
		d.down = ""
		r = runner(t, st, d.worker())
		for next(t, r) > 0 {
		}
		if doubt {
			require.ElementsMatch(t, []store.Position{1, 2, 3}, reactions(t, st))
			require.Zero(t, r.Progress().Parked)
		} else {
			require.Equal(t, []store.Position{3}, reactions(t, st))
		}
	}
}

func TestADependencyThatPanicsIsTheKind(t *testing.T) {
	st := open(t)
	keyed(t, st, "1a")
	d := &dependent{down: "a"}
	w := d.worker()
	w.Dependency = func(store.Event) string { panic(errBroken) }
	r := runner(t, st, w)
	require.Equal(t, store.Position(1), next(t, r))
	require.Equal(t, placed{}.Kind(), cursor.DependenciesOf(r).Failed(1).Dependency)
}

// broken is an error that is the event's.
type broken struct{ error }

func (broken) Fault() {}

func TestOnlyAnErrorOfItsOwnMakesAFailureEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		handle   func(b *cursor.Batch) error
		evidence bool
	}{
		"an error":                   {func(*cursor.Batch) error { return errBroken }, true},
		"an error at an event":       {func(*cursor.Batch) error { return cursor.FailedAt(0, fmt.Errorf("call: %w", errBroken)) }, true},
		"a directive":                {func(*cursor.Batch) error { return cursor.FailedAt(0, supervision.Park(errBroken)) }, false},
		"a fault of the event":       {func(*cursor.Batch) error { return cursor.FailedAt(0, broken{errBroken}) }, false},
		"a panic":                    {func(*cursor.Batch) error { panic(errBroken) }, false},
		"a reaction that is refused": {func(b *cursor.Batch) error { b.React(0, store.At("x", "y"), oversized()); return nil }, false},
	} {
		st := open(t)
		keyed(t, st, "1")
		r := runner(t, st, cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			return cursor.Continue, c.handle(b)
		}})
		_, err := r.Step(t.Context(), 0, 0)
		var failure *cursor.HandlerError
		require.True(t, errors.As(err, &failure), "%s: %v", name, err)
		require.Equal(t, c.evidence, failure.Evidence, name)
	}
}
