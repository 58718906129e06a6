package actors_test

import (
	"bytes"
	"context"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// largeInputs appends inputs each of which takes a good part of a small segment.
func largeInputs(t *testing.T, st *store.Store, n int) store.Receipt {
	t.Helper()
	var r store.Receipt
	for i := range n {
		var err error
		r, err = st.Append(t.Context(), store.At("in:"+strconv.Itoa(i), "test"), store.Any,
			store.Raw{Type: "in.made", Data: append(append([]byte(`{"N":1,"X":"`), bytes.Repeat([]byte{'x'}, 4000)...), `"}`...)})
		require.NoError(t, err)
	}
	return r
}

// dropAll drops what retention can, for readers that are ignored.
func dropAll(t *testing.T, st *store.Store, ignore ...string) store.Position {
	t.Helper()
	report, err := store.Retain(t.Context(), st, checkpoint.Holds, store.RetainOptions{Before: st.Head(), Ignore: ignore})
	require.NoError(t, err)
	require.Positive(t, report.Segments)
	return report.First
}

// A worker that is slower than retention, and does not count for it, never passes over events: it
// halts, and the others go on. Where it continues is for an operator to say.
func TestAWorkerThatEventsWereDroppedForHaltsAndContinuesWhereItIsSent(t *testing.T) {
	for name, to := range map[string]func(first store.Position) checkpoint.Change{
		"reset":    func(store.Position) checkpoint.Change { return checkpoint.Reset{} },
		"skipped":  func(first store.Position) checkpoint.Change { return checkpoint.SkipTo{To: first - 1} },
		"volatile": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{SegmentBytes: 64 << 10})
				release := make(chan struct{})
				var seen []store.Position
				slow := cursor.Worker{Name: "slow", Region: inputs, Volatile: to == nil}
				slow.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
					<-release
					for _, e := range b.Events {
						seen = append(seen, e.Position)
					}
					return cursor.Continue, nil
				}
				sys := start(t, st, slow, reacting("w"))
				largeInputs(t, st, 1)
				synctest.Wait()
				require.NoError(t, sys.WaitApplied(t.Context(), "w", largeInputs(t, st, 200)))
				first := dropAll(t, st, "slow")
				close(release)
				synctest.Wait()
				s := statusOf(t, sys, "slow")
				require.Equal(t, actors.Halted, s.State)
				require.ErrorIs(t, s.Reason, store.ErrDropped)
				require.Equal(t, []store.Position{1}, seen)
				last := largeInputs(t, st, 1)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", last))
				require.ErrorIs(t, sys.WaitApplied(t.Context(), "slow", last), store.ErrDropped)
				if to == nil {
					return
				}
				_, err := checkpoint.Apply(t.Context(), st, "slow", checkpoint.SkipTo{To: first - 2}, checkpoint.Request{})
				require.ErrorIs(t, err, store.ErrDropped, "it would stop there again")
				_, err = checkpoint.Apply(t.Context(), st, "slow", to(first), checkpoint.Request{})
				require.NoError(t, err)
				require.NoError(t, sys.Resume(t.Context(), "slow", checkpoint.Request{}))
				require.NoError(t, sys.WaitApplied(t.Context(), "slow", last))
				require.Equal(t, positions(t, st, inputs), seen[1:])
			})
		})
	}
}

// What is said of a skipped event is erased with it: that it was skipped is still known.
func TestWaitAppliedKnowsThatAnErasedEventWasSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		w := poisoned(ill, 2)
		w.Policy.Exhausted = supervision.ActionSkip
		sys := start(t, st, w)
		before, bad := appendInputs(t, st, 1), appendInputs(t, st, 1)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", bad), actors.ErrSkipped)
		_, err := store.Erase(t.Context(), st, store.Erasure{
			Events: []uuid.UUID{bad.Events[0].ID}, Reason: "asked for", By: "an officer", Sides: checkpoint.ErasedSides(st),
		})
		require.NoError(t, err)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", before))
		err = sys.WaitApplied(t.Context(), "w", bad)
		require.ErrorIs(t, err, actors.ErrSkipped)
		require.ErrorContains(t, err, checkpoint.ErasedText)
	})
}
