package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func handmade(n int) []store.Event {
	events := make([]store.Event, n)
	for i := range events {
		events[i] = store.Event{
			ID: uuid.UUID{15: byte(i + 1)}, Position: store.Position(10 * (i + 1)), Correlation: uuid.UUID{0: 1, 15: byte(i)}, Depth: uint32(i),
		}
	}
	return events
}

func TestReactionsCarryTheirCauseAndComeInTheOrderOfTheirEvents(t *testing.T) {
	b := cursor.NewBatch(handmade(3), cursor.Ownership{})
	require.Empty(t, b.Staged())
	react(b, 2)
	react(b, 0)
	b.Propose(2, store.Proposal{
		At: store.At("a", "b"), Payload: placed{}, Expect: store.Absent, Headers: map[string]string{"k": "v"},
		Causation: store.Causation{Depth: 77},
	})
	staged := b.Staged()
	require.Len(t, staged, 3)
	for i, event := range []int{0, 2, 2} {
		require.Equal(t, b.Events[event].Causation(), staged[i].Causation)
	}
	require.Equal(t, reserved{For: 10}, staged[0].Payload)
	require.Equal(t, reserved{For: 30}, staged[1].Payload)
	require.Equal(t, store.Absent, staged[2].Expect)
	require.Equal(t, map[string]string{"k": "v"}, staged[2].Headers)
}

func TestThereIsNoReactingToAnEventThatIsNotThere(t *testing.T) {
	b := cursor.NewBatch(handmade(1), cursor.Ownership{})
	for _, i := range []int{-1, 1} {
		require.Panics(t, func() { b.Begin(i) })
		require.Panics(t, func() { react(b, i) })
	}
}

func TestFailedIsNeverNilAndUnwraps(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("wrapped: %w", cursor.FailedAt(3, cause))
	require.ErrorIs(t, err, cause)
	require.EqualError(t, err, "wrapped: cursor: event 3 of the batch: cause")
	require.Error(t, cursor.FailedAt(0, nil))
	require.NotEmpty(t, cursor.FailedAt(0, nil).Error())
}

func TestOnlyAWorkerWithACheckpointHasAWitness(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		st := open(t)
		fill(t, st, 1, 0)
		var witness cursor.Ownership
		var ok bool
		w := cursor.Worker{Name: "reserve", Volatile: volatile, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			witness, ok = b.AtLeastOnce()
			return cursor.Continue, nil
		}}
		runner(t, st, w)
		r := runner(t, st, w)
		drain(t, r)
		require.Equal(t, !volatile, ok)
		if !volatile {
			require.Equal(t, cursor.Ownership{ID: "reserve", FirstName: "reserve", Epoch: 2, Origin: st.Origin()}, witness)
			require.Equal(t, uint64(2), r.Progress().Epoch)
			continue
		}
		require.Zero(t, r.Progress().Epoch)
		require.Zero(t, r.Progress().Stored)
		require.NoError(t, r.Flush(t.Context()))
		_, found, err := st.Side("checkpoint/reserve")
		require.NoError(t, err)
		require.False(t, found)
	}
}

func TestAHandlerThatStagesHearsWhatTheStoreWouldRefuse(t *testing.T) {
	b := cursor.NewBatch(handmade(2), cursor.Ownership{})
	require.NoError(t, b.Stage(1, store.Proposal{At: store.At("a", "b"), Payload: reserved{For: 20}}))
	for field, p := range map[string]store.Proposal{
		"entity": {At: store.At("", "b"), Payload: reserved{For: 10}},
		"kind":   {At: store.At("a", "b"), Payload: store.Raw{}},
	} {
		var refused *store.InvalidError
		require.ErrorAs(t, b.Stage(0, p), &refused)
		require.Equal(t, field, refused.Field)
	}
	staged := b.Staged()
	require.Len(t, staged, 1)
	require.Equal(t, reserved{For: 20}, staged[0].Payload)
	require.Equal(t, b.Events[1].Causation(), staged[0].Causation)
}

// A panic says which event it is about, and nothing of the reactions before.
func TestAReactionThatIsRefusedIsMetAlsoWhereTheHandlerPanicsLater(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	w := cursor.Worker{Name: "w", Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			b.Begin(i)
			if i == 2 {
				panic("broken")
			}
			p := store.Proposal{At: store.At("a", "b"), Payload: reserved{}}
			if i == 1 {
				p.At.Entity = ""
			}
			b.Propose(i, p)
		}
		return cursor.Continue, nil
	}}
	r := runner(t, st, w)
	out, err := r.Step(t.Context(), 0, 0)
	require.Equal(t, 1, out.Committed)
	var failed *cursor.HandlerError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, store.Position(2), failed.Event)
	require.ErrorIs(t, failed, store.ErrInvalid)
}
