package supervision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

func group(name string, children ...supervision.Child) supervision.Group {
	return supervision.Group{Name: name, Children: children}
}

func TestSoundTreesAreAccepted(t *testing.T) {
	for what, g := range map[string]supervision.Group{
		"empty":  group("shop"),
		"flat":   group("shop", worker{Name: "a"}, worker{Name: "b"}),
		"nested": group("shop", worker{Name: "a"}, group("more", worker{Name: "b"}, group("none"))),
		"the same name in different groups, and of a child and its parent": group(
			"a", worker{Name: "a"}, group("x", worker{Name: "a"}), group("y", worker{Name: "a"})),
	} {
		t.Run(what, func(t *testing.T) { require.NoError(t, g.Validate()) })
	}
}

func TestSiblingsWithTheSameNameAreRefused(t *testing.T) {
	err := group("shop", group("in", worker{Name: "a"}, worker{Name: "b"}, group("a"))).Validate()

	require.ErrorIs(t, err, supervision.ErrDuplicate)
	require.EqualError(t, err, `"shop/in": supervision: duplicate name: "a"`, "the error names the place in the tree")
}

func TestChildrenWithoutASpecAreRefused(t *testing.T) {
	var noGroup *supervision.Group
	var noWorker *worker
	for what, c := range map[string]struct {
		child supervision.Child
		what  string
	}{
		"nil":              {nil, "nil"},
		"nil in a pointer": {noWorker, "nil"},
		"nil group":        {noGroup, "nil"},
		"pointer to group": {&supervision.Group{Name: "g"}, "a *Group"},
	} {
		t.Run(what, func(t *testing.T) {
			err := group("shop", worker{Name: "a"}, c.child).Validate()

			var bad *supervision.SettingError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, supervision.SettingError{Field: "Children[1]", Rule: "must be a worker or a Group", Value: c.what}, *bad)
			require.ErrorIs(t, err, supervision.ErrSetting)
			require.ErrorContains(t, err, "Children[1]")
		})
	}
	require.NoError(t, group("shop", &worker{Name: "a"}).Validate(), "a pointer to another child is fine")
}

func TestEveryInvalidPlaceOfATreeIsNamed(t *testing.T) {
	faulty := supervision.Policy{Attempts: -1, Period: -1}
	err := supervision.Group{
		Name: "shop", Strategy: 9,
		Children: []supervision.Child{
			worker{Name: "deep/down"},
			group("in", worker{Name: "w", Policy: faulty}),
		},
	}.Validate()

	for _, want := range []string{
		`"shop": invalid Strategy Strategy(9): must be a known strategy`,
		`"shop/deep/down": invalid Name "deep/down": looks like a path: it contains '/' or '\'`,
		`"shop/in/w": invalid Policy.Attempts -1: must be at least 0`,
		`"shop/in/w": invalid Policy.Period -1ns: must be at least 0`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.EqualError(t, group("").Validate(), `"": invalid Name "": is empty`, "the outermost group needs a name too")
}

func TestAGroupThatContainsItselfIsRefused(t *testing.T) {
	children := make([]supervision.Child, 1)
	children[0] = group("again", children...)

	var limit *supervision.SettingError
	require.ErrorAs(t, group("shop", children...).Validate(), &limit)
	require.Equal(t, "depth of nested groups", limit.Field)
}

func TestTheDeepestAllowedTreeIsAccepted(t *testing.T) {
	g := group("g")
	for range 16 - 1 {
		g = group("g", g)
	}
	require.NoError(t, g.Validate())
	require.ErrorIs(t, group("g", g).Validate(), supervision.ErrSetting)
}

func TestStrategiesHaveNames(t *testing.T) {
	require.Equal(t, "OneForOne", supervision.OneForOne.String())
	require.Equal(t, supervision.OneForOne, supervision.Group{}.Strategy)
}

// pair is a child that runs as two.
type pair struct{ name string }

func (p pair) Spec() supervision.Spec { return p.Group().Spec() }

func (p pair) Group() supervision.Group {
	return supervision.Group{Name: p.name, Children: []supervision.Child{
		supervision.Group{Name: "first"}, supervision.Group{Name: "second"},
	}}
}

func TestAChildThatRunsAsAGroupIsCheckedLikeOne(t *testing.T) {
	tree := supervision.Group{Name: "top", Children: []supervision.Child{pair{"a"}, pair{"b"}}}
	require.NoError(t, tree.Validate())
	tree.Children = append(tree.Children, pair{"a"})
	require.ErrorIs(t, tree.Validate(), supervision.ErrDuplicate)
	tree.Children = []supervision.Child{pair{"a/b"}}
	require.Error(t, tree.Validate())
	var none *pair
	tree.Children = []supervision.Child{none}
	require.ErrorContains(t, tree.Validate(), "nil")
}
