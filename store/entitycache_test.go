package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestStatesOfTheOpenBatchStayInTheCacheAndOthersAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		c := newEntityCache(limit)
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			c.begin(0)
			pinned := map[string]*entityState{}
			for range rapid.IntRange(0, 12).Draw(t, "uses") {
				name := fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "entity"))
				s := c.get(name)
				if s == nil {
					require.NotContains(t, pinned, name)
					s = c.add(name, 1, [32]byte{})
				}
				require.Equal(t, name, s.name)
				pinned[name] = s
				if rapid.IntRange(0, 5).Draw(t, "refused") == 0 {
					c.remove(s)
					delete(pinned, name)
				}
			}
			for name, s := range pinned {
				require.Same(t, s, c.get(name))
			}
			require.Len(t, c.states, len(c.ring))
			for i, s := range c.ring {
				require.Equal(t, i, s.place)
				require.Same(t, s, c.states[s.name])
			}
		}
		c.begin(0)
		for i := range 50 { // each a batch of its own
			c.begin(0)
			c.add(fmt.Sprint("new ", i), 1, [32]byte{})
		}
		require.LessOrEqual(t, len(c.ring), limit+1)
	})
}

func TestABatchOfManyEntitiesCostsInProportionAndTheCacheShrinksAfterIt(t *testing.T) {
	c := newEntityCache(100)
	c.begin(0)
	for i := range 50_000 { // a walk over all for each would take minutes
		c.add(fmt.Sprint(i), 1, [32]byte{})
	}
	require.Len(t, c.ring, 50_000)
	for i := range 10_000 {
		c.begin(0)
		c.add(fmt.Sprint("later ", i), 1, [32]byte{})
	}
	require.LessOrEqual(t, len(c.ring), 100)
}
