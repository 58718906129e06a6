package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheStateOfAFenceIsReadAsItWasWritten(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		r := fenceRecord{state: []fenceState{fenceOpen, fencePublished, fenceCancelled, fenceExpired}[dice.IntN(4)], epoch: dice.Uint32(), reason: "why"}
		for at := Position(0); len(r.ranges) < 1+dice.IntN(20); at++ {
			from := at + 1 + Position(dice.Uint64N(1<<dice.IntN(40)))
			at = from + Position(dice.Uint64N(1<<dice.IntN(20)))
			r.ranges = append(r.ranges, Range{from, at})
		}
		b := r.encode()
		require.LessOrEqual(t, len(b), fenceRecordBytes(len(r.ranges), r.reason))
		got, err := parseFence(b)
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	_, err := parseFence([]byte{fenceVersion + 1})
	require.ErrorIs(t, err, ErrNewerFormat)
	require.True(t, isFenceKey(fenceKey(1<<40)))
	for _, key := range []string{"fence/", "fence/mine", "fence/00000000000000zz", "emitter/0000000000000000"} {
		require.False(t, isFenceKey(key), key)
	}
}

func FuzzTheStateOfAFence(f *testing.F) {
	for _, r := range []fenceRecord{
		{ranges: ranges{{1, 1}}},
		{state: fenceExpired, epoch: 7, ranges: ranges{{4, 9}}},
		{state: fenceCancelled, epoch: 7, ranges: ranges{{4, 9}, {11, 300}}, reason: "close October"},
	} {
		f.Add(r.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseFence(b)
		if err != nil {
			return
		}
		require.Equal(t, b, r.encode(), "no other value means the same")
		require.Equal(t, r.ranges, r.ranges.with(), "they ascend and do not touch")
	})
}

// A plain list of positions is the model.
func TestRangesAgreeWithAListOfPositions(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var r ranges
		in := make([]bool, 40)
		for range dice.IntN(6) {
			from := 1 + dice.IntN(30)
			to := from + dice.IntN(6)
			r = r.with(Range{Position(from), Position(to)})
			for p := from; p <= to; p++ {
				in[p] = true
			}
		}
		from, to := 1+dice.IntN(38), dice.IntN(39)
		var want, got []int
		for p := range in {
			require.Equal(t, in[p], r.has(Position(p)), "%v %d", r, p)
			if in[p] && p >= from && p <= to {
				want = append(want, p)
			}
		}
		for _, part := range r.clip(Position(from), Position(to)) {
			for p := part.From; p <= part.To; p++ {
				got = append(got, int(p))
			}
		}
		require.Equal(t, want, got, "%v in %d to %d", r, from, to)
		next := r.visibleAfter(Position(from-1), 39)
		first := from + slices.Index(in[from:], false)
		require.Equal(t, Position(first), next.From)
		for p := next.From; p <= next.To; p++ {
			require.False(t, in[p])
		}
		require.True(t, next.To == 39 || in[next.To+1])
	}
}
