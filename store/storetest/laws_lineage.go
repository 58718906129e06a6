package storetest

import (
	"context"
	"iter"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func lineageLaws() []law {
	const about = "lineage"
	return []law{
		{about: about, says: "causes go up, effects down, and a correlation is the whole story", needs: needsStore, test: lineageAnswers},
		{about: about, says: "a cause that is not there is a boundary", needs: needsStore, test: missingCauses},
		{about: about, says: "the history of an entity is a chain", needs: needsStore, test: histories},
		{about: about, says: "a log that is whole is verified without a finding", needs: needsStore, test: verifies},
	}
}

// effect commits an effect of an event and returns that.
func (x *scene) effect(entity string, c store.Causation) store.Event {
	x.Helper()
	p := eventsAt(entity)[0]
	p.Causation = c
	r := x.commit(store.Batch{Events: []store.Proposal{p}})
	e, err := x.Reader.GetAt(x.ctx, r.Position())
	require.NoError(x, err)
	return e
}

// answer is the positions of the events of an iterator.
func (x *scene) answer(seq iter.Seq2[store.Event, error]) (all []store.Position) {
	x.Helper()
	events, err := collect(seq)
	require.NoError(x, err)
	for _, e := range events {
		all = append(all, e.Position)
	}
	return all
}

func lineageAnswers(x *scene) {
	root := x.effect("a", store.Causation{})
	x.append("other")
	left := x.effect("b", root.Causation())
	right := x.effect("c", root.Causation())
	leaf := x.effect("d", left.Causation())
	at := func(all ...store.Event) (positions []store.Position) {
		for _, e := range all {
			positions = append(positions, e.Position)
		}
		return positions
	}
	st, whole := x.Store, store.Reach{}
	require.Equal(x, at(leaf, left, root), x.answer(store.Causes(x.ctx, st, leaf.ID, whole)))
	require.Equal(x, at(root, left, right, leaf), x.answer(store.Effects(x.ctx, st, root.ID, whole)))
	require.Equal(x, at(root, left, right), x.answer(store.Effects(x.ctx, st, root.ID, store.Reach{Depth: 1})))
	require.Equal(x, at(root, left), x.answer(store.Effects(x.ctx, st, root.ID, store.Reach{Count: 2})))
	require.Equal(x, at(root, left, right, leaf), x.answer(store.Correlated(x.ctx, st, root.ID, whole)))
	forest, err := store.Lineage(x.ctx, st, store.Effects, root.ID, whole)
	require.NoError(x, err)
	require.Len(x, forest.Nodes, 4)
	for _, ask := range []store.Question{store.Causes, store.Effects, store.Correlated} {
		_, err := collect(ask(x.ctx, st, uuid.New(), whole))
		require.ErrorIs(x, err, store.ErrNotFound)
		ctx, cancel := context.WithCancel(x.ctx)
		cancel()
		_, err = collect(ask(ctx, st, root.ID, whole))
		require.ErrorIs(x, err, context.Canceled)
	}
}

func missingCauses(x *scene) {
	foreign := uuid.New()
	first := x.effect("a", store.Causation{Cause: foreign, Correlation: foreign, Depth: 1})
	second := x.effect("b", first.Causation())
	events, err := collect(store.Causes(x.ctx, x.Store, second.ID, store.Reach{}))
	require.Len(x, events, 2)
	refused(x, &store.MissingCauseError{Event: first.ID, Position: 1, Cause: foreign}, err)
	require.Equal(x, []store.Position{1, 2}, x.answer(store.Effects(x.ctx, x.Store, foreign, store.Reach{})))
}

func histories(x *scene) {
	for range 5 {
		x.append("a", "b", "a:1", "a")
	}
	require.Equal(x, x.positions(store.Region{Entity: "b"}), x.answer(store.History(x.ctx, x.Store, "b")))
	require.Len(x, x.answer(store.History(x.ctx, x.Store, "a")), 10, "the entity alone, not its namespace")
	require.Empty(x, x.answer(store.History(x.ctx, x.Store, "none")))
	require.Equal(x, []store.Position{20, 17}, x.answer(store.Backward(x.ctx, x.Store, store.Region{Entity: "a", MinVersion: 9}, 0)))
}

func verifies(x *scene) {
	for range 5 {
		x.commit(store.Batch{Events: eventsAt("a", "b", "a"), Sides: []store.SideWrite{{Key: "s", Value: make([]byte, 100)}}})
	}
	x.commit(store.Batch{IdempotencyKey: "key", Events: eventsAt("c")})
	report, err := store.Verify(x.ctx, x.Store, store.VerifyOptions{})
	require.NoError(x, err)
	require.NoError(x, report.Err())
	require.Equal(x, uint64(16), report.Events)
}
