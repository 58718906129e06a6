package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// These two have the same hash in the index of a segment that has only one of them.
const collider1, collider2 = "8yn0iYCKYHlIj4-BwPqk", "GReLUrM4wMqfg9yzV3KQ"

func TestAnEntityWithTheHashOfAnotherOneIsToldFromItByTheRecord(t *testing.T) {
	cachesOfOne(t)
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	put(t, s, collider1)
	grow(t, s, 3)
	g := (*s.segments.Load())[0]
	idx, err := s.indexOf(g)
	require.NoError(t, err)
	ord, found, err := idx.LastOf(collider2)
	require.NoError(t, err)
	require.True(t, found)
	require.Zero(t, ord, "the index takes it for the other one")

	require.Zero(t, version(t, s, collider2))
	require.Empty(t, all(t, s, Region{Entity: collider2}))
	for i := range uint64(3) {
		_, err := s.Append(t.Context(), At(collider2, "test"), Exactly(i), note{})
		require.NoError(t, err)
		put(t, s, "another")
	}
	grow(t, s, 5)
	require.Equal(t, uint64(3), version(t, s, collider2))
	require.Equal(t, uint64(1), version(t, s, collider1))
	require.Len(t, all(t, s, Region{Entity: collider2}), 3)
	requireChains(t, all(t, s, Region{}))
}

func TestAKeyWithTheHashOfAnotherOneIsToldFromItByTheRecord(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	for _, key := range []string{collider1, collider2} {
		require.False(t, write(t, s, Batch{IdempotencyKey: key, Events: eventsOf("a")}).Duplicate)
		grow(t, s, s.Stats().Segments+2)
	}
	for i, key := range []string{collider1, collider2} {
		r := write(t, s, Batch{IdempotencyKey: key, Events: eventsOf("a")})
		require.True(t, r.Duplicate)
		require.Equal(t, uint64(i+1), r.Events[0].Version)
	}
}
