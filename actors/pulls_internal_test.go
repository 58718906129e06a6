package actors

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is parked and removed, also while it is iterated over, the pulls of a term are a set.
func TestPullsOfATermAreASet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var s pulls
	want := make(map[*pull]struct{})
	for range 2000 {
		if some := slices.Collect(maps.Keys(want)); len(some) > 0 && random.IntN(2) == 0 {
			s = s.without(some[0])
			delete(want, some[0])
		} else {
			p := new(pull)
			s = s.with(p)
			want[p] = struct{}{}
		}
		require.Equal(t, len(want) == 0, s.empty())
		require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(s.all()))
	}
	for p := range s.all() {
		s = s.without(p)
		delete(want, p)
	}
	require.True(t, s.empty())
	require.Empty(t, want)
}
