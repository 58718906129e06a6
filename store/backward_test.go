package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// regions are some that a forest has events of, and some that it has not.
func (f *forest) regions() []Region {
	entity := fmt.Sprint("entity:", f.random.IntN(10))
	return []Region{
		{},
		{Entity: "entity"},
		{Entity: entity},
		{Entity: entity, MinVersion: 2, MaxVersion: 5},
		{Scope: "test"},
		{Scope: "none"},
		{Scope: ReservedScope},
		{Kinds: []string{"grown", "other"}},
		{Category: "none"},
	}
}

// compareBackward reads some regions backwards, from the end and from a position on.
func (f *forest) compareBackward(s *Store) {
	t, ctx := f.t, f.t.Context()
	for _, r := range f.regions() {
		want := all(t, s, r)
		slices.Reverse(want)
		got, err := collect(Backward(ctx, s, r, 0))
		require.NoError(t, err)
		require.Equal(t, want, got, "%v", r)
		if len(want) == 0 {
			continue
		}
		at := f.random.IntN(len(want))
		got, err = collect(Backward(ctx, s, r, want[at].Position))
		require.NoError(t, err)
		require.Equal(t, len(want)-at-1, len(got), "%v before %d", r, want[at].Position)
		require.Equal(t, want[at+1:], append([]Event{}, got...))
		got, err = collect(Backward(ctx, s, r, s.Head()+100))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestReadingBackwardsIsReadingInReverse(t *testing.T) {
	for seed := range uint64(3) {
		if seed == 1 {
			cachesOfOne(t)
		}
		f := forest{t: t, random: rand.New(rand.NewPCG(seed, 9)), disk: vfs.NewMemory()}
		f.store = openLog(t, f.disk, smallSegments(SyncNever))
		beside := openLog(t, f.disk, Options{ReadOnly: true})
		f.compareBackward(f.store)
		for range 3 {
			for range 15 {
				f.grow()
			}
			write(t, f.store, Batch{Events: []Proposal{Audit("entity:1", Raw{Type: "penstock.asked"})}})
			f.compareBackward(f.store)
			f.compareBackward(beside)
			f.store = reopen(t, f.store)
		}
		f.compareBackward(f.store)
	}
}

func TestTheLastEventsOfARegionAreFoundFarFromTheEnd(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	for range 5 {
		put(t, s, "rare")
	}
	grow(t, s, 6)
	var last []Position
	for e, err := range Backward(t.Context(), s, Region{Entity: "rare"}, 0) {
		require.NoError(t, err)
		if last = append(last, e.Position); len(last) == 3 {
			break
		}
	}
	require.Equal(t, []Position{5, 4, 3}, last)
}

func TestReadingBackwardsSaysWhyItEnds(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncNever))
	for range 9 {
		put(t, s, "order")
	}
	grow(t, s, 2)
	s = reopenDir(t, s, dir)
	forge(t, s, dir, 4, func(rec []byte) { rec[len(rec)-1] ^= 1 })
	s = reopenDir(t, s, dir)
	events, err := collect(Backward(t.Context(), s, Region{Entity: "order"}, 0))
	require.ErrorIs(t, err, ErrCorrupt)
	require.Len(t, events, 5, "those after the damage")
	_, err = collect(Backward(t.Context(), s, Region{Category: "a", Kinds: []string{"b"}}, 0))
	require.ErrorIs(t, err, ErrInvalid)
	require.NoError(t, s.Close())
	_, err = collect(Backward(t.Context(), s, Region{}, 0))
	require.ErrorIs(t, err, ErrClosed)
}
