package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestTheOutboxKeepsTheLastWriteOfAKeyAndPositionsInOrder(t *testing.T) {
	var o outbox
	require.True(t, o.empty())
	o.side(store.SideWrite{Key: "a", Value: []byte("1")})
	o.side(store.SideWrite{Key: "a", Value: []byte("2")})
	for _, p := range []store.Position{5, 2, 9} {
		o.finish(p)
	}
	require.Len(t, o.sides, 1)
	require.Equal(t, []byte("2"), o.sides["a"].Value)
	require.Equal(t, []store.Position{2, 5, 9}, o.done)
	o.discard()
	require.True(t, o.empty())
	o.survived = true
	require.False(t, o.empty(), "the checkpoint is to say so")
}

func TestRangesAreCutBetweenEvents(t *testing.T) {
	a, b := &Task{}, &Task{}
	ranges := []taskRange{{a, 2, 5}, {b, 0, 3}}
	require.Equal(t, 6, size(ranges))
	for n, want := range map[int][2][]taskRange{
		0: {nil, {{a, 2, 5}, {b, 0, 3}}},
		1: {{{a, 2, 3}}, {{a, 3, 5}, {b, 0, 3}}},
		3: {{{a, 2, 5}}, {{b, 0, 3}}},
		4: {{{a, 2, 5}, {b, 0, 1}}, {{b, 1, 3}}},
		6: {{{a, 2, 5}, {b, 0, 3}}, nil},
	} {
		former, latter := halves(ranges, n)
		require.Equal(t, want, [2][]taskRange{former, latter}, n)
	}
}
