package store

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/lineage"
)

// shape is what a forest is, without what the events say: position, state, parent, more.
type shape struct {
	at     uint64
	state  lineage.State
	parent int
	more   int
}

func shapes(f lineage.Forest) (all []shape) {
	for _, n := range f.Nodes {
		all = append(all, shape{n.Position, n.State, n.Parent, n.More})
	}
	return all
}

func TestALineageShowsWhereItEnds(t *testing.T) {
	s := memoryLog(t)
	ctx, whole := t.Context(), lineage.Whole
	foreign := uuid.New()
	root := effect(t, s, "a", Causation{Cause: foreign, Correlation: foreign, Depth: 1}) // 1
	b := effect(t, s, "b", root.Causation())                                             // 2
	c := effect(t, s, "c", root.Causation())                                             // 3
	d := effect(t, s, "d", b.Causation())                                                // 4
	effect(t, s, "e", d.Causation())                                                     // 5
	effect(t, s, "f", Causation{Cause: c.ID, Correlation: uuid.New()})                   // 6, of another correlation

	for name, c := range map[string]struct {
		ask   Question
		of    uuid.UUID
		reach Reach
		want  []shape
		cut   bool
	}{
		"up to a cause that is not there": {Causes, d.ID, Reach{}, []shape{
			{0, lineage.Missing, -1, 0}, {1, whole, 0, 1}, {2, whole, 1, 0}, {4, whole, 2, 1},
		}, false},
		"up, two of them": {Causes, d.ID, Reach{Count: 2}, []shape{
			{1, lineage.Outside, -1, 0}, {2, whole, 0, 0}, {4, whole, 1, 1},
		}, true},
		"all effects": {Effects, b.ID, Reach{}, []shape{
			{1, lineage.Outside, -1, 0}, {2, whole, 0, 0}, {4, whole, 1, 0}, {5, whole, 2, 0},
		}, false},
		"one step down": {Effects, root.ID, Reach{Depth: 1}, []shape{
			{0, lineage.Missing, -1, 0}, {1, whole, 0, 0}, {2, whole, 1, 1}, {3, whole, 1, 1},
		}, false},
		"effects of what is not there": {Effects, foreign, Reach{Depth: 1}, []shape{
			{0, lineage.Missing, -1, 0}, {1, whole, 0, 2},
		}, false},
		"a correlation": {Correlated, foreign, Reach{}, []shape{
			{0, lineage.Missing, -1, 0}, {1, whole, 0, 0}, {2, whole, 1, 0}, {3, whole, 1, 1}, {4, whole, 2, 0}, {5, whole, 4, 0},
		}, false},
		"as many as there are is not cut": {Correlated, foreign, Reach{Count: 5}, []shape{
			{0, lineage.Missing, -1, 0}, {1, whole, 0, 0}, {2, whole, 1, 0}, {3, whole, 1, 1}, {4, whole, 2, 0}, {5, whole, 4, 0},
		}, false},
	} {
		f, err := Lineage(ctx, s, c.ask, c.of, c.reach)
		require.NoError(t, err, name)
		require.Equal(t, c.want, shapes(f), name)
		require.Equal(t, c.cut, f.Cut, name)
	}
	_, err := Lineage(ctx, s, Effects, uuid.New(), Reach{})
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, s.Close())
	_, err = Lineage(ctx, s, Effects, root.ID, Reach{})
	require.ErrorIs(t, err, ErrClosed)
}

func TestALineageSaysWhoEmittedAnEventAndHowLongAfterItsCause(t *testing.T) {
	s := memoryLog(t)
	placed := effect(t, s, "order:1", Causation{})
	by := &Emitter{Worker: "reserve-stock", Build: "0123abc", Epoch: 3, Attempt: 2}
	r := write(t, s, Batch{Events: []Proposal{
		{At: At("stock:lamp", "shop"), Payload: note{}, Causation: placed.Causation(), Emitter: by},
	}})
	reserved, err := s.GetAt(t.Context(), r.Position())
	require.NoError(t, err)
	f, err := Lineage(t.Context(), s, Causes, reserved.ID, Reach{})
	require.NoError(t, err)
	require.Equal(t, lineage.Node{
		ID: reserved.ID.String(), Parent: 0, Cause: placed.ID.String(), Correlation: placed.ID.String(), Position: 2, Kind: "note.taken",
		Entity: "stock:lamp", Scope: "shop", Version: 1, Time: reserved.Time.Time(), Delay: reserved.Time.Time().Sub(placed.Time.Time()),
		Worker: "reserve-stock", Build: "0123abc", Epoch: 3, Attempt: 2,
	}, f.Nodes[1])
	require.Less(t, f.Nodes[1].Delay, time.Minute)
	require.Empty(t, f.Nodes[0].Worker)
}

func TestALineageThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncNever))
	events := chain(t, s, 5)
	grow(t, s, 2)
	s = reopenDir(t, s, dir)
	forge(t, s, dir, 3, func(rec []byte) { rec[len(rec)-1] ^= 1 })
	s = reopenDir(t, s, dir)
	for name, ask := range map[string]Question{"causes": Causes, "effects": Effects, "correlated": Correlated} {
		of := events[0].ID
		if name == "causes" {
			of = events[4].ID
		}
		_, err := Lineage(t.Context(), s, ask, of, Reach{})
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	_, err := Lineage(t.Context(), s, Effects, events[3].ID, Reach{})
	require.ErrorIs(t, err, ErrCorrupt, "a boundary that cannot be read is none")
}
