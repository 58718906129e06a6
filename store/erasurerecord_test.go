package store

import (
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestAnErasureIsReadAsItWasWritten(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		e := &erasure{id: uuid.New(), at: int64(dice.Uint64N(1 << 45)), by: "me", reason: "why"}
		for at := Position(0); len(e.events) < 1+dice.IntN(20); at++ {
			from := at + 1 + Position(dice.Uint64N(1<<dice.IntN(40)))
			at = from + Position(dice.Uint64N(1<<dice.IntN(20)))
			e.events = append(e.events, Range{from, at})
		}
		for range dice.IntN(3) {
			e.keys = append(e.keys, "key")
		}
		got, err := parseErasure(e.id, e.encode())
		require.NoError(t, err)
		require.Equal(t, e, got)
	}
	_, err := parseErasure(uuid.Nil, []byte{erasureVersion + 1})
	require.ErrorIs(t, err, ErrNewerFormat)
	require.True(t, isErasureKey(erasureKey(uuid.New())))
	for _, key := range []string{"erasure/", "erasure/mine", "erasure/z1234567890123456789012345678901", fenceKey(1)} {
		require.False(t, isErasureKey(key), key)
	}
}

func FuzzAnErasure(f *testing.F) {
	for _, e := range []erasure{
		{events: ranges{{1, 1}}},
		{at: 7, by: "me", reason: "asked for", events: ranges{{4, 9}, {11, 300}}, keys: []string{"a", "b/c"}},
	} {
		f.Add(e.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseErasure(uuid.Nil, b)
		if err != nil {
			return
		}
		require.Equal(t, b, e.encode(), "no other value means the same")
		require.Equal(t, e.events, e.events.with(), "they ascend and do not touch")
	})
}

func TestASideValueIsNamedAfterAnEventByTheEndOfItsKey(t *testing.T) {
	e := &erasure{events: ranges{{5, 5}, {16, 17}}, keys: []string{"a", "c"}}
	for _, key := range []string{"a", "c", namedAfter(5), "x/0000000000000010", "x/0000000000000011"} {
		require.True(t, e.names(key), key)
	}
	for _, key := range []string{"b", "", namedAfter(6), "x/y0000000000000005", "x-0000000000000005", "x/000000000000005"} {
		require.False(t, e.names(key), key)
	}
}
