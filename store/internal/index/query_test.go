package index

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAQueryMatchesNamespacesAtColonsAndCategoriesAtTheFirstDot(t *testing.T) {
	event := Terms{Entity: "order:42:item", Scope: "shop", Kind: "order.placed.late"}
	for _, c := range []struct {
		name  string
		query Query
		want  bool
	}{
		{"zero matches all", Query{}, true},
		{"first level", Query{Entity: "order"}, true},
		{"second level", Query{Entity: "order:42"}, true},
		{"the entity itself", Query{Entity: "order:42:item"}, true},
		{"below the entity", Query{Entity: "order:42:item:1"}, false},
		{"part of a level", Query{Entity: "order:4"}, false},
		{"part of the first level", Query{Entity: "ord"}, false},
		{"an empty level that is not there", Query{Entity: "order:"}, false},
		{"scope", Query{Scope: "shop"}, true},
		{"part of a scope", Query{Scope: "sho"}, false},
		{"one of the kinds", Query{Kinds: []string{"x", "order.placed.late"}}, true},
		{"none of the kinds", Query{Kinds: []string{"order", "order.placed"}}, false},
		{"empty kinds match all", Query{Kinds: []string{}}, true},
		{"category", Query{Category: "order"}, true},
		{"more than the category", Query{Category: "order.placed"}, false},
		{"all fields", Query{Entity: "order", Scope: "shop", Category: "order"}, true},
		{"all fields but one", Query{Entity: "order", Scope: "bank", Category: "order"}, false},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.query.Matches(event)) })
	}
	require.True(t, Query{Entity: "a"}.Matches(Terms{Entity: "a::b"}))
	require.True(t, Query{Entity: "a:"}.Matches(Terms{Entity: "a::b"}))
	require.True(t, Query{Category: "alone"}.Matches(Terms{Kind: "alone"}))
}

func TestARangeEndsAtTheLastEventAndAnEmptyOneMovesNothing(t *testing.T) {
	m := model{}
	for i := range uint32(5) {
		m.events = append(m.events, Terms{"a", "s", "k"})
		m.offsets = append(m.offsets, i)
	}
	for _, x := range both(t, m) {
		for _, q := range []Query{{}, {Entity: "a"}, {Entity: "a", Scope: "s"}} {
			ords, next := x.Select(q, 2, 100, 100, nil)
			require.Equal(t, []uint32{2, 3, 4}, ords)
			require.Equal(t, uint32(5), next, "what is added later is not skipped")
			require.Equal(t, 3, x.Count(q, 2, 100, 100))
		}
		for _, q := range []Query{{}, {Entity: "a"}, {Entity: "absent"}} {
			for _, c := range []struct {
				from, to uint32
				limit    int
			}{{3, 3, 10}, {4, 3, 10}, {7, 9, 10}, {1, 3, 0}, {1, 3, -1}} {
				ords, next := x.Select(q, c.from, c.to, c.limit, nil)
				require.Empty(t, ords)
				require.Equal(t, c.from, next)
				require.Zero(t, x.Count(q, c.from, c.to, c.limit))
			}
		}
		ords, next := x.Select(Query{Entity: "absent"}, 1, 4, 1, nil)
		require.Empty(t, ords)
		require.Equal(t, uint32(4), next)
	}
}

func TestAQueryOfEightLevelsIsExactAndOfNineAnswersForItsFirstEight(t *testing.T) {
	const seven = "1:2:3:4:5:6:7"
	m := model{offsets: []uint32{0, 1, 2, 3}}
	for _, entity := range []string{seven, seven + ":8", seven + ":8:9", seven + ":x"} {
		m.events = append(m.events, Terms{entity, "s", "k"})
	}
	for _, x := range both(t, m) {
		for query, want := range map[string][]uint32{
			seven:             {0, 1, 2, 3},
			seven + ":8":      {1, 2},
			seven + ":x":      {3},
			seven + ":8:9":    {1, 2},
			seven + ":8:none": {1, 2},
		} {
			ords, _ := x.Select(Query{Entity: query}, 0, 4, 9, nil)
			require.Equal(t, want, ords, "%T %s", x, query)
		}
		ord, ok := x.LastOf(seven + ":8:9")
		require.True(t, ok)
		require.Equal(t, uint32(2), ord, "the last event of an entity is exact at any depth")
	}
}
