package actors_test

import (
	"context"
	"slices"
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

func TestAFormerNameThatAnotherWorkerClaimsFailsStart(t *testing.T) {
	renamed := reacting("deliver")
	renamed.Formerly = []string{"ship"}
	volatile := reacting("ship")
	volatile.Volatile = true
	for _, other := range []cursor.Worker{reacting("ship"), volatile} {
		_, err := actors.Start(t.Context(), memory(t, store.Options{}), actors.Options{}, tree(renamed, other))
		require.ErrorIs(t, err, supervision.ErrDuplicate)
		require.EqualError(t, err, `actors: cannot run the tree: child "test/deliver": had the name, and so the checkpoint, of "test/ship": `+
			`supervision: duplicate name: "ship"`)
	}
	second := reacting("send")
	second.Formerly = []string{"ship"}
	_, err := actors.Start(t.Context(), memory(t, store.Options{}), actors.Options{}, tree(renamed, second))
	require.ErrorIs(t, err, supervision.ErrDuplicate, "both would take the one checkpoint")
}

func TestARenamedWorkerResumesWhatItDidUnderItsFormerNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		run := func(name string, formerly ...string) *actors.System {
			w := poisoned(ill, 2, 3)
			w.Name, w.Formerly = name, formerly
			return start(t, st, w)
		}
		former := poisoned(ill, 3)
		former.Name = "a"
		former.Policy.Exhausted = supervision.ActionSkip
		appendInputs(t, st, 2) // before the worker, whose reactions take positions, too
		third := appendInputs(t, st, 1)
		sys := start(t, st, former)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "a", third), actors.ErrSkipped)
		require.NoError(t, sys.Stop(t.Context()))

		sys = run("b", "a")
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "b", third), actors.ErrSkipped, "it was skipped as a")
		fourth := appendInputs(t, st, 1)
		require.NoError(t, sys.WaitApplied(t.Context(), "b", fourth))
		require.NoError(t, sys.Stop(t.Context()))
		sys = run("c", "a", "b")
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "c", third), actors.ErrSkipped)
		require.NoError(t, sys.WaitApplied(t.Context(), "c", fourth))
		require.NoError(t, sys.Stop(t.Context()))
		requireExactlyOnceBut(t, st, 3)

		_, err := actors.Start(t.Context(), st, actors.Options{}, tree(reacting("a")))
		require.ErrorIs(t, err, checkpoint.ErrRenamed)
		require.ErrorIs(t, err, actors.ErrChild)
	})
}

// requireExactlyOnceBut checks that each input but one has one reaction, whatever its worker was
// called.
func requireExactlyOnceBut(t *testing.T, st *store.Store, skipped store.Position) {
	t.Helper()
	want := positions(t, st, inputs)
	want = slices.DeleteFunc(want, func(p store.Position) bool { return p == skipped })
	require.ElementsMatch(t, want, reactions(t, st, "w"))
}

func TestAuditsOfANeighbourWithAColonInItsNameDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		neighbour := poisoned(ill, 1)
		neighbour.Name = "w:2"
		neighbour.Policy.Exhausted = supervision.ActionSkip
		sys := start(t, st, reacting("w"), neighbour)
		first := appendInputs(t, st, 1)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w:2", first), actors.ErrSkipped)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", first))
		require.NoError(t, apply(t.Context(), sys, "w", checkpoint.Reset{}))
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w:2", first), actors.ErrSkipped, "only its neighbour was reset")
	})
}

func TestStartWarnsOfCheckpointsThatNoWorkerReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("old"), reacting("w"))
		require.NoError(t, sys.Stop(t.Context()))
		_, err := cursor.Open(t.Context(), st, inputs, cursor.Options{ID: "pulled"})
		require.NoError(t, err)

		core, logs := observer.New(zapcore.WarnLevel)
		sys = startWith(t, st, actors.Options{Logger: zap.New(core)}, reacting("w"))
		require.NoError(t, sys.Stop(t.Context()))
		entries := logs.FilterMessageSnippet("checkpoint without a worker").All()
		require.Len(t, entries, 1, "not of what a program pulls itself")
		require.Equal(t, "old", entries[0].ContextMap()["checkpoint"])
	})
}

func TestACallToAnEndedWorkerNamesTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := reacting("w")
		w.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Stop, nil }
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		synctest.Wait()
		_, discarded := sys.Discard(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
		for _, err := range []error{
			sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}), apply(t.Context(), sys, "w", checkpoint.Rewind{}),
			discarded, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)),
		} {
			require.ErrorIs(t, err, actors.ErrEnded)
			require.EqualError(t, err,
				`actors: worker "w" has ended: its handler said so, and the next start of the system runs it again`)
		}
	})
}

func TestARequestThatBreaksARuleChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		bad := checkpoint.Request{By: "a\nb"}
		invalid := func(err error) store.InvalidError {
			var evidence *store.InvalidError
			require.ErrorAs(t, err, &evidence)
			return *evidence
		}
		badBy := store.InvalidError{Field: "by", Rule: "must not hold control characters", Value: bad.By}
		require.Equal(t, badBy, invalid(sys.Pause(t.Context(), "w", time.Time{}, bad)))
		require.Equal(t, badBy, invalid(sys.Resume(t.Context(), "w", bad)))
		_, err := sys.Apply(t.Context(), "w", checkpoint.Reset{}, bad)
		require.Equal(t, badBy, invalid(err))
		_, err = sys.Apply(t.Context(), "w", nil, checkpoint.Request{})
		require.Equal(t, store.InvalidError{Field: "change", Rule: "must not be nil"}, invalid(err))
		_, err = sys.Apply(t.Context(), "w", checkpoint.Rename{To: "x"}, checkpoint.Request{})
		require.ErrorIs(t, err, checkpoint.ErrRunning)
		_, err = sys.Apply(t.Context(), "w", checkpoint.Delete{}, checkpoint.Request{DryRun: true})
		require.ErrorIs(t, err, checkpoint.ErrRunning)
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{DryRun: true}))
		require.NotEqual(t, actors.Paused, statusOf(t, sys, "w").State)
		require.Empty(t, audits(t, st))

		why := checkpoint.Request{Reason: "lunch", By: "ann"}
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, why))
		require.EqualError(t, statusOf(t, sys, "w").Reason, "paused by ann until it is resumed: lunch")
		info, err := checkpoint.Inspect(st, "w")
		require.NoError(t, err)
		require.NotNil(t, info.Pause)
		require.Equal(t, "lunch", info.Pause.Reason)
		require.Equal(t, "ann", info.Pause.By)
		require.True(t, info.Pause.Until.IsZero())
	})
}
