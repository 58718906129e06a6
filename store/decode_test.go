package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
)

func TestNamesThatShareAHashAreNotMistakenForEachOther(t *testing.T) {
	s := memoryLog(t)
	var want []Coordinate
	for i := range 300 { // the hash that costs little goes by the ends of the names
		at := At(fmt.Sprintf("%03d:same-end", i%100), "test")
		_, err := s.Append(t.Context(), at, Any, Raw{Type: fmt.Sprintf("%d.same-kind", i%2), Data: []byte("{}")})
		require.NoError(t, err)
		want = append(want, at)
	}
	for range 2 {
		i := 0
		for e, err := range s.Scan(t.Context(), Region{}, Beginning()) {
			require.NoError(t, err)
			require.Equal(t, want[i], e.Coordinate)
			require.Equal(t, fmt.Sprintf("%d.same-kind", i%2), e.Kind)
			require.Equal(t, CodecJSON, e.Codec)
			i++
		}
		require.Equal(t, len(want), i)
	}
}

// blind is an index that knows no event, and fails when it is asked where one is.
type blind struct{ index.Index }

func (blind) Select(index.Query, uint32, uint32, int, []uint32) ([]uint32, uint32, error) {
	return nil, 0, fmt.Errorf("asked")
}

func TestAScanOfEverythingAsksNoIndexInGoodBatches(t *testing.T) {
	s, _, _ := randomLog(t, 17)
	want, err := clones(s.Read(t.Context(), Region{}, Beginning()))
	require.NoError(t, err)
	every, err := clones(single(s))
	require.NoError(t, err)
	for _, g := range *s.segments.Load() {
		idx, err := s.indexOf(g)
		require.NoError(t, err)
		g.index.Store(&loadedIndex{Index: blind{idx}})
	}
	got, err := clones(borrowed(s, Region{}))
	require.NoError(t, err)
	requireSameEvents(t, want, got)
	got, err = clones(s.Read(t.Context(), Region{}, Beginning()))
	require.NoError(t, err)
	requireSameEvents(t, want, got)
	require.Less(t, len(got), len(every), "audit events are in between")
	_, err = clones(borrowed(s, Region{Entity: "e"}))
	require.ErrorContains(t, err, "asked")
}
