package cursor_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

var errRefused = errors.New("refused")

// keeper keeps a position as a database would, and notes what it is told.
type keeper struct {
	position store.Position
	asked    []cursor.ResumeState
	given    [][]store.Position // batches that were handled
	aside    [][]store.Position // beside each
	parked   []bool
	bad      map[store.Position]bool
	unknown  []store.Position // of aside, to the log, when the handler was called
	st       *store.Store
}

func (k *keeper) worker() cursor.Worker {
	return cursor.Worker{Name: "keeper", Region: orders, Handle: k.handle, BatchSize: 4, ExternalPosition: k.locate}
}

func (k *keeper) locate(_ context.Context, at cursor.ResumeState) (store.Position, error) {
	k.asked = append(k.asked, at)
	return k.position, nil
}

func (k *keeper) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i, e := range b.Events {
		if k.bad[e.Position] {
			return cursor.Continue, cursor.FailedAt(i, errRefused)
		}
	}
	aside := b.PassedOver(k.position)
	for _, p := range aside {
		found := false
		for _, err := range checkpoint.ParkedEvents(k.st, "keeper", p) {
			found = err == nil
		}
		if !found {
			k.unknown = append(k.unknown, p)
		}
	}
	k.given, k.aside, k.parked = append(k.given, at(b.Events)), append(k.aside, aside), append(k.parked, b.Parked())
	if !b.Parked() {
		k.position = b.Events[len(b.Events)-1].Position
	}
	return cursor.Continue, nil
}

// runner trusts the end of the one before, so that batches are whole.
func (k *keeper) runner(t *testing.T, st *store.Store) *cursor.Runner {
	t.Helper()
	k.st = st
	return trusting(t, st, k.worker())
}

// parkAll steps until caught up, and parks what fails.
func parkAll(t *testing.T, r *cursor.Runner) {
	t.Helper()
	for {
		out, err := r.Step(t.Context(), 0, 0)
		var failure *cursor.HandlerError
		if errors.As(err, &failure) {
			require.NoError(t, r.Settle(failure.First, toPark(err, 1)))
			continue
		}
		require.NoError(t, err)
		if out.CaughtUp {
			return
		}
	}
}

func TestEachRunnerReadsTheExternalPosition(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	k := &keeper{}
	w := k.worker()
	w.Start = store.After(3)
	drain(t, runner(t, st, w))
	require.Equal(t, []store.Position{1, 2, 3, 4}, k.given[0], "its answer counts, not Start")
	k.position = 7
	k.given = nil
	drain(t, trusting(t, st, w))
	require.Equal(t, [][]store.Position{{8, 9, 10, 11}, {12}}, k.given, "nor does the checkpoint")
	for i, asked := range k.asked {
		require.Equal(t, cursor.ResumeState{
			Ownership: cursor.Ownership{ID: "keeper", FirstName: "keeper", Epoch: uint64(i + 1), Origin: st.Origin()},
			Store:     st, Scanned: []store.Position{0, 12}[i], Start: 3,
		}, asked)
	}
	k.position = 99
	_, err := cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrAhead)
}

// The keys are those of order:0 to order:4: with 3 goes 8, and with 4 goes 9.
func TestABatchTellsWhatItsPositionPassesWithoutIt(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	k := &keeper{bad: map[store.Position]bool{3: true}}
	r := k.runner(t, st)
	parkAll(t, r)
	require.Equal(t, [][]store.Position{{1, 2}, {4}, {5, 6, 7}, {9, 10, 11, 12}}[2:], k.given[len(k.given)-2:])
	var passed []store.Position
	for i, aside := range k.aside {
		for _, p := range aside {
			require.Less(t, p, k.given[i][len(k.given[i])-1])
			passed = append(passed, p)
		}
	}
	require.Equal(t, []store.Position{3, 8}, passed, "each once")
	require.Empty(t, k.unknown, "who keeps only its position may pass them: they are in the log before")

	k.bad, k.given, k.aside, k.parked = nil, nil, nil, nil
	r = k.runner(t, st)
	require.Equal(t, []store.Position{3, 8}, k.asked[1].Parked)
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	drain(t, r)
	require.Equal(t, [][]store.Position{{3, 8}}, k.given)
	require.Equal(t, []bool{true}, k.parked)
	require.Equal(t, [][]store.Position{nil}, k.aside)
}

// The list of what is parked is what counts, not how far the checkpoint is: a replay has moved that
// ahead of the position, over an event that is held.
func TestAHeldEventIsPassedOverThoughTheCheckpointWasAheadOfThePosition(t *testing.T) {
	st := open(t)
	fill(t, st, 7, 0) // up to order:1; 3 is of order:2 and 5 of order:4
	k := &keeper{bad: map[store.Position]bool{3: true, 5: true}}
	parkAll(t, k.runner(t, st))
	held, err := st.Append(t.Context(), store.At("order:2", "shop"), store.Any, placed{})
	require.NoError(t, err)
	next, err := st.Append(t.Context(), store.At("order:0", "shop"), store.Any, placed{})
	require.NoError(t, err)
	r := k.runner(t, st)
	_, err = r.Fill(t.Context(), 0)
	require.NoError(t, err)
	_, err = r.Next(t.Context(), 0) // it is lost with the next one in flight
	require.NoError(t, err)

	delete(k.bad, 5)
	r = k.runner(t, st)
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{Position: 5}, checkpoint.Request{})
	require.NoError(t, err)
	for r.Progress().Parked > 2 {
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
	}
	require.Equal(t, store.Position(7), k.position)
	k.given, k.aside = nil, nil
	drain(t, k.runner(t, st))
	require.Equal(t, [][]store.Position{{next.Position()}}, k.given)
	require.Equal(t, [][]store.Position{{held.Position()}}, k.aside)
}

func TestAScanThatFoundNothingIsNotRepeatedThoughTheExternalPositionLags(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 100) // the last event that matches is 203
	k := &keeper{}
	r := k.runner(t, st)
	drain(t, r)
	require.NoError(t, r.Close(t.Context()))
	require.Equal(t, store.Position(203), k.position)
	require.Equal(t, store.Position(303), k.runner(t, st).Progress().Read)
	k.position = 202
	require.Equal(t, store.Position(202), k.runner(t, st).Progress().Read, "203 is to be handled again")
}

func TestOnlyWhatFollowsAParkedEventIsHeldWhereThePositionWentBack(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	k := &keeper{bad: map[store.Position]bool{8: true}}
	parkAll(t, k.runner(t, st))
	k.position, k.given = 0, nil
	r := k.runner(t, st)
	drain(t, r)
	require.Equal(t, [][]store.Position{{1, 2, 3, 4}, {5, 6, 7}, {9, 10, 11, 12}}, k.given)
	parked, held := r.Progress().Parked, r.Progress().Held
	require.Equal(t, []int{1, 0}, []int{parked, held})

	k.position, k.bad = 0, map[store.Position]bool{3: true} // of the same key
	r = k.runner(t, st)
	parkAll(t, r)
	k.bad, k.given = nil, nil
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{Position: 3}, checkpoint.Request{})
	require.NoError(t, err)
	drain(t, r)
	require.Equal(t, [][]store.Position{{3, 8}}, k.given, "in their order")
}

func TestEventsOfAKeyKeepTheirOrderWhereThePositionWentBackBeforeAParkedOne(t *testing.T) {
	for name, stepsBefore := range map[string]int{"all is read before": 100, "the replay begins at once": 0} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			fill(t, st, 14, 0) // 3, 8 and 13 are of one key
			k := &keeper{bad: map[store.Position]bool{13: true}}
			parkAll(t, k.runner(t, st))
			k.position, k.given, k.bad = 0, nil, map[store.Position]bool{3: true}
			r := k.runner(t, st)
			for !r.IsFailed(3) {
				_, _ = r.Step(t.Context(), 0, 0)
			}
			require.NoError(t, r.Settle(3, toPark(errRefused, 1)))
			for range stepsBefore {
				_, err := r.Step(t.Context(), 0, 0)
				require.NoError(t, err)
			}
			k.bad = nil
			_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
			require.NoError(t, err)
			drain(t, r)
			var line []store.Position
			for _, p := range slices.Concat(k.given...) {
				if p%5 == 3 {
					line = append(line, p)
				}
			}
			require.Equal(t, []store.Position{3, 8, 13}, line)
		})
	}
}

func TestASkippedOrDiscardedEventCountsAsSkippedUntilItIsParkedAgain(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	k := &keeper{bad: map[store.Position]bool{1: true, 2: true, 4: true, 5: true}}
	r := k.runner(t, st)
	for _, first := range []store.Position{1, 2, 4, 5} {
		for !r.IsFailed(first) {
			_, err := r.Step(t.Context(), 0, 0)
			require.Error(t, err)
		}
		if first == 4 {
			require.NoError(t, r.Settle(first, toSkip(errRefused, 1)))
		} else {
			require.NoError(t, r.Settle(first, toPark(errRefused, 1)))
		}
		_, err := r.Commit(t.Context())
		require.NoError(t, err)
	}
	for _, p := range []store.Position{1, 5} {
		require.NoError(t, discard(t.Context(), r, p))
	}
	skipped := func() []store.Position {
		all := []store.Position{1, 2, 3, 4, 5}
		list, err := k.asked[len(k.asked)-1].Skipped(t.Context(), all)
		require.NoError(t, err)
		require.Equal(t, []store.Position{1, 2, 3, 4, 5}, all)
		return list
	}
	require.Equal(t, []store.Position{1, 4, 5}, skipped())

	k.position = 4 // 5 comes again, and fails again
	parkAll(t, k.runner(t, st))
	require.Equal(t, []store.Position{1, 4}, skipped())
	list, err := cursor.ResumeState{}.Skipped(t.Context(), []store.Position{1})
	require.NoError(t, err)
	require.Empty(t, list, "made by hand it knows nothing")
}

func TestNoChangeMovesAWorkerThatKeepsItsPosition(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	k := &keeper{}
	r := k.runner(t, st)
	drain(t, r)
	before := record(t, st, "keeper")
	for _, c := range []checkpoint.Change{
		checkpoint.Rewind{To: 3}, checkpoint.SkipTo{To: st.Head()}, checkpoint.Widen{Region: store.Region{Scope: "shop"}},
	} {
		require.ErrorIs(t, apply(t.Context(), r, c), cursor.ErrExternalPosition, c)
		require.ErrorIs(t, applyCold(t.Context(), st, "keeper", c), cursor.ErrExternalPosition, c)
		require.Equal(t, before, record(t, st, "keeper"))
	}
}

// It was another worker's, which kept its position in the log.
func TestACheckpointThatWasRewoundIsRefusedByAWorkerThatKeepsItsPosition(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	k := &keeper{}
	drain(t, k.runner(t, st))
	former := k.worker()
	former.ExternalPosition = nil
	r := runner(t, st, former)
	require.NoError(t, apply(t.Context(), r, checkpoint.Rewind{To: 3}))
	_, err := cursor.NewRunner(t.Context(), st, k.worker())
	require.ErrorIs(t, err, cursor.ErrExternalPosition)
	require.NoError(t, applyCold(t.Context(), st, "keeper", checkpoint.Reset{}))
	k.given = nil
	drain(t, k.runner(t, st))
	require.Empty(t, k.given)
}

func TestAWorkerThatKeepsItsPositionHasOneOrderAndNoBackfill(t *testing.T) {
	for name, change := range map[string]func(*cursor.Worker){
		"Lanes":             func(w *cursor.Worker) { w.Lanes = 2 },
		"Volatile":          func(w *cursor.Worker) { w.Volatile = true },
		"NewKindsBackfill":  func(w *cursor.Worker) { w.NewKinds = checkpoint.NewKindsBackfill },
		"nothing at all ok": func(*cursor.Worker) {},
	} {
		w := (&keeper{}).worker()
		change(&w)
		if name == "nothing at all ok" {
			require.NoError(t, fault(w))
			continue
		}
		require.ErrorContains(t, fault(w), "excludes "+name)
	}
}

func TestAPositionThatIsTakenFromTheLogLeavesOutNothingThatWasPending(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b", "c")
	w := cursor.Worker{Region: orders, Handle: brokenAt(1), Lanes: 3}
	r := runner(t, st, w)
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	for range 3 {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		task.Run(t.Context())
		r.Finish(task)
	}
	_, err = r.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.Position{1}, record(t, st, "reserve").Pending)

	var given []store.Position
	w = cursor.Worker{
		Region: orders,
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			given = append(given, at(b.Events)...)
			return cursor.Continue, nil
		},
		ExternalPosition: func(_ context.Context, s cursor.ResumeState) (store.Position, error) { return s.Scanned, nil },
	}
	drain(t, runner(t, st, w))
	require.Equal(t, []store.Position{1, 2, 3}, given)
}
