package cursor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func TestReactionsAndCheckpointAreOneCommit(t *testing.T) {
	st := open(t)
	fill(t, st, 4, 0)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: reactAll})
	before, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)

	out, err := r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, cursor.Outcome{Handled: 4, Committed: 4, CaughtUp: true}, out)

	after, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	require.Equal(t, before.Revision+1, after.Revision, "one commit")
	require.Equal(t, store.Position(8), st.Head(), "with the reactions")
	require.Equal(t, store.Position(4), after.Record.Scanned)
	require.Equal(t, store.Position(4), after.Record.Delivered)
	require.Equal(t, []store.Position{1, 2, 3, 4}, reactions(t, st))

	source, err := st.GetAt(t.Context(), 3)
	require.NoError(t, err)
	effect, err := st.GetAt(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, source.ID, effect.Cause)
	require.Equal(t, source.Correlation, effect.Correlation)
	require.Equal(t, source.Depth+1, effect.Depth)
}

func TestABatchWithoutReactionsMovesTheCheckpointAndNoHead(t *testing.T) {
	for _, synced := range []bool{false, true} {
		st := open(t)
		fill(t, st, 4, 0)
		r := runner(t, st, cursor.Worker{SyncCheckpoints: synced, Handle: nothing})
		drain(t, r)
		require.Equal(t, store.Position(4), st.Head())
		require.Equal(t, store.Position(4), r.Progress().Stored)
		require.Equal(t, store.Position(4), record(t, st, "reserve").Scanned)
	}
}

func nothing(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil }

// seen is a handler that notes what it gets.
func seen(into *[][]store.Position) cursor.Handler {
	return func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		*into = append(*into, at(b.Events))
		return cursor.Continue, nil
	}
}

func TestAStepTakesNoMoreThanTheBatchSizeTheLimitAndTheBound(t *testing.T) {
	st := open(t)
	fill(t, st, 10, 0)
	var got [][]store.Position
	r := runner(t, st, cursor.Worker{BatchSize: 3, Handle: seen(&got)})
	for _, step := range []struct {
		upTo  store.Position
		limit int
		want  []store.Position
		done  bool
	}{
		{0, 0, []store.Position{1, 2, 3}, false},
		{0, 2, []store.Position{4, 5}, false},
		{6, 2, []store.Position{6}, true},
		{6, 2, nil, true},
		{3, 0, nil, true},
		{99, 9, []store.Position{7, 8, 9}, false},
		{0, 0, []store.Position{10}, true},
		{0, 0, nil, true},
	} {
		got = nil
		out, err := r.Step(t.Context(), step.upTo, step.limit)
		require.NoError(t, err)
		require.Equal(t, cursor.Outcome{Handled: len(step.want), Committed: len(step.want), CaughtUp: step.done}, out)
		if step.want == nil {
			require.Empty(t, got, "a handler never gets an empty batch")
		} else {
			require.Equal(t, [][]store.Position{step.want}, got)
		}
	}
}

func TestAnEmptyLogIsCaughtUp(t *testing.T) {
	out, err := runner(t, open(t), cursor.Worker{Handle: reactAll}).Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, cursor.Outcome{CaughtUp: true}, out)
}

func TestStopCommitsTheBatchAndStopWithRollbackDoesNot(t *testing.T) {
	for action, committed := range map[cursor.Action]int{cursor.Stop: 2, cursor.StopWithRollback: 0} {
		t.Run(action.String(), func(t *testing.T) {
			st := open(t)
			fill(t, st, 2, 0)
			r := runner(t, st, cursor.Worker{Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
				_, err := reactAll(ctx, b)
				return action, err
			}})
			out, err := r.Step(t.Context(), 2, 0)
			require.NoError(t, err)
			require.Equal(t, cursor.Outcome{Handled: 2, Committed: committed, Action: action, CaughtUp: committed == 2}, out)
			require.Len(t, reactions(t, st), committed)
			require.Equal(t, store.Position(committed), record(t, st, "reserve").Scanned)
			require.Equal(t, store.Position(committed), r.Progress().Position)
		})
	}
}

func TestScannedToMovesPastEventsThatDoNotMatch(t *testing.T) {
	st := open(t)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: nothing})
	_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any, placed{})
	require.NoError(t, err)
	drain(t, r)
	for range 100 {
		_, err := st.Append(t.Context(), store.At("noise", "shop"), store.Any, placed{})
		require.NoError(t, err)
	}
	drain(t, r)
	require.Equal(t, store.Position(101), r.Progress().Position)
	require.Equal(t, store.Position(1), r.Progress().Delivered)
	require.Equal(t, store.Position(1), r.Progress().Stored, "in memory only")

	require.NoError(t, r.Flush(t.Context()))
	require.Equal(t, store.Position(101), r.Progress().Stored)
	info, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	require.Equal(t, store.Position(101), info.Record.Scanned)
	require.Equal(t, store.Position(1), info.Record.Delivered)

	require.NoError(t, r.Flush(t.Context()))
	again, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	require.Equal(t, info.Revision, again.Revision, "nothing new, nothing written")
	require.Equal(t, store.Position(101), runner(t, st, cursor.Worker{Region: orders, Handle: nothing}).Progress().Position)
	fill(t, st, 1, 1)
	drain(t, runner(t, st, cursor.Worker{Region: orders, Handle: nothing}))
	require.Equal(t, store.Position(103), record(t, st, "reserve").Scanned, "a real commit takes the rest of the page along")
}

func TestTheOlderOfTwoRunnersIsFencedAndItsReactionsAreRefused(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	w := cursor.Worker{Region: orders, BatchSize: 1, Handle: reactAll}
	old := runner(t, st, w)
	_, err := old.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	young := runner(t, st, w)

	_, err = old.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	var commit *cursor.RunnerError
	require.ErrorAs(t, err, &commit)
	require.Equal(t, []store.Position{1}, reactions(t, st))
	require.ErrorIs(t, flushAfterNoise(t, st, old), checkpoint.ErrFenced)

	drain(t, young)
	require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st))
}

// flushAfterNoise gives the runner something to flush by letting it look at the rest of the log.
func flushAfterNoise(t *testing.T, st *store.Store, r *cursor.Runner) error {
	t.Helper()
	_, err := st.Append(t.Context(), store.At("noise", "shop"), store.Any, placed{})
	require.NoError(t, err)
	for {
		out, err := r.Step(t.Context(), 0, 0)
		if err != nil || out.CaughtUp {
			return errors.Join(err, r.Flush(t.Context()))
		}
	}
}

func TestARunnerFencedInItsHandlerWritesNothing(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	w := cursor.Worker{Name: "reserve", Region: orders, Handle: reactAll}
	overtaken := w
	overtaken.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		drain(t, runner(t, st, w)) // the successor does the work meanwhile
		return reactAll(ctx, b)
	}
	out, err := runner(t, st, overtaken).Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	require.Equal(t, 0, out.Committed)
	require.Equal(t, []store.Position{1}, reactions(t, st))
}

func TestACrashBetweenHandlingAndCommitRepeatsTheBatchAndNotItsReactions(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	fill(t, st, 3, 0)
	handled := 0
	crash := true
	w := cursor.Worker{Region: orders, BatchSize: 2, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		handled += len(b.Events)
		if crash && b.Events[0].Position == 3 {
			require.NoError(t, st.Close()) // the process is gone: nothing that follows reaches the log
		}
		return reactAll(ctx, b)
	}}
	r := runner(t, st, w)
	_, err = r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	_, err = r.Step(t.Context(), 3, 0)
	require.ErrorIs(t, err, store.ErrClosed)

	st, err = store.Open(dir, store.Options{})
	require.NoError(t, err)
	defer st.Close()
	crash = false
	r = runner(t, st, w)
	require.Equal(t, store.Position(2), r.Progress().Position)
	require.Equal(t, uint64(2), r.Progress().Epoch)
	drain(t, r)
	require.Equal(t, 4, handled, "event 3 twice")
	require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st), "its reaction once")
}

func TestWithoutACheckpointANewRunnerBeginsAtItsStart(t *testing.T) {
	st := open(t)
	fill(t, st, 2, 0)
	w := cursor.Worker{Region: orders, Volatile: true, Start: store.After(1), Handle: reactAll}
	r := runner(t, st, w)
	require.Equal(t, store.Position(1), r.Progress().Position)
	drain(t, r)
	require.Equal(t, []store.Position{2}, reactions(t, st))
	drain(t, r)
	require.Equal(t, []store.Position{2}, reactions(t, st), "within its life once")
	drain(t, runner(t, st, w))
	require.Equal(t, []store.Position{2, 2}, reactions(t, st))
}

func TestABatchTooLargeForTheStoreIsSplitBetweenEvents(t *testing.T) {
	const each = store.MaxBatchEvents/2 - 10
	st := open(t)
	fill(t, st, 4, 0)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			for range each {
				react(b, i)
			}
		}
		return cursor.Stop, nil
	}})
	before, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	out, err := r.Step(t.Context(), 4, 0)
	require.NoError(t, err)
	require.Equal(t, cursor.Outcome{Handled: 4, Committed: 4, Action: cursor.Stop, CaughtUp: true}, out)
	after, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	require.Equal(t, before.Revision+2, after.Revision, "two commits of two events each")
	list := reactions(t, st)
	require.Len(t, list, 4*each)
	require.IsIncreasing(t, []store.Position{list[0], list[each], list[2*each], list[3*each]})
}

func TestReactionsThatTheStoreRefusesNameTheirEvent(t *testing.T) {
	for name, bad := range map[string]store.Proposal{
		"too large":      {At: store.At("stock:1", "shop"), Payload: oversized()},
		"bad coordinate": {At: store.At("", "shop"), Payload: placed{}},
		"reserved scope": {At: store.At("stock:1", store.ReservedScope), Payload: placed{}},
		"no payload":     {At: store.At("stock:1", "shop")},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			fill(t, st, 5, 0)
			r := runner(t, st, cursor.Worker{Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
				for i, e := range b.Events {
					if e.Position == 4 {
						b.Propose(i, bad)
					}
				}
				return reactAll(ctx, b)
			}})
			out, err := r.Step(t.Context(), 5, 0)
			var failed *cursor.HandlerError
			require.ErrorAs(t, err, &failed)
			require.ErrorIs(t, err, store.ErrInvalid)
			require.Equal(t, store.Position(4), failed.Event)
			require.Equal(t, 5, failed.Size)
			require.Equal(t, cursor.Outcome{Handled: 5, Committed: 3}, out)
			require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st))
			require.Equal(t, store.Position(3), record(t, st, "reserve").Scanned)
		})
	}
}

func TestALostRaceIsNotAFailureOfTheHandler(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	lamp := store.At("stock:lamp", "shop")
	var version uint64
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		expect := version
		if version == 0 { // another writer is faster, once
			_, err := st.Append(ctx, lamp, store.Absent, reserved{For: 1000})
			require.NoError(t, err)
			version = 1
		}
		for i, e := range b.Events {
			if e.Position == 3 {
				b.Propose(i, store.Proposal{At: lamp, Payload: reserved{For: 3}, Expect: store.Exactly(expect)})
				continue
			}
			b.React(i, store.At("stock:other", "shop"), reserved{For: e.Position})
		}
		return cursor.Continue, nil
	}})
	out, err := r.Step(t.Context(), 3, 0)
	var commit *cursor.RunnerError
	require.ErrorAs(t, err, &commit)
	require.ErrorIs(t, err, store.ErrConflict)
	require.NotErrorIs(t, err, checkpoint.ErrFenced)
	require.Equal(t, store.Position(3), commit.Event)
	var failed *cursor.HandlerError
	require.NotErrorAs(t, err, &failed)
	require.Equal(t, 2, out.Committed, "the events before are through")

	out, err = r.Step(t.Context(), 3, 0)
	require.NoError(t, err)
	require.Equal(t, 1, out.Committed)
	require.Equal(t, []store.Position{1000, 1, 2, 3}, reactions(t, st))
}

func TestAReadErrorIsOfTheStore(t *testing.T) {
	st := open(t)
	r := runner(t, st, cursor.Worker{Handle: reactAll})
	require.NoError(t, st.Close())
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, store.ErrClosed)
	_, err = cursor.NewRunner(t.Context(), st, cursor.Worker{Name: "reserve", Handle: reactAll})
	require.ErrorIs(t, err, store.ErrClosed)
}
