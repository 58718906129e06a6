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
		if dice.IntN(2) == 0 {
			e.drafts = e.events[:1+dice.IntN(len(e.events))]
		}
		got, err := parseErasure(e.id, e.encode())
		require.NoError(t, err)
		require.Equal(t, e, got)
	}
	_, err := parseErasure(uuid.Nil, []byte{draftsVersion + 1})
	require.ErrorIs(t, err, ErrNewerFormat)
	require.True(t, isErasureKey(erasureKey(uuid.New())))
	for _, key := range []string{"erasure/", "erasure/mine", "erasure/z1234567890123456789012345678901", fenceKey(1)} {
		require.False(t, isErasureKey(key), key)
	}
}

// What a version wrote that knew no drafts means what it meant.
func TestAnErasureWithoutDraftsIsWrittenAsBefore(t *testing.T) {
	e := &erasure{at: 7, by: "me", reason: "why", events: ranges{{4, 9}}, keys: []string{"k"}}
	require.Equal(t, "\x01\x07\x02me\x03why\x01\x04\x05\x01\x01k", string(e.encode()))
	e.drafts = ranges{{2, 2}}
	require.Equal(t, "\x02\x07\x02me\x03why\x01\x04\x05\x01\x01k\x01\x02\x00", string(e.encode()))
}

func FuzzAnErasure(f *testing.F) {
	for _, e := range []erasure{
		{events: ranges{{1, 1}}},
		{at: 7, by: "me", reason: "asked for", events: ranges{{4, 9}, {11, 300}}, keys: []string{"a", "b/c"}},
		{events: ranges{{4, 9}}, keys: []string{"a"}, drafts: ranges{{1, 2}, {7, 7}}},
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
	e := &erasure{events: ranges{{5, 5}, {16, 17}}, keys: []string{"a", "c"}, drafts: ranges{{2, 3}}}
	for _, key := range []string{"a", "c", namedAfter(3), namedAfter(5), "x/0000000000000010", "x/0000000000000011"} {
		require.True(t, e.names(key), key)
	}
	for _, key := range []string{"b", "", namedAfter(6), "x/y0000000000000005", "x-0000000000000005", "x/000000000000005"} {
		require.False(t, e.names(key), key)
	}
}
