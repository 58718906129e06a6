package drive

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/supervision"
)

// grow adds a leaf to the group at a path, and returns its number.
func (w *world) grow(path string) int {
	w.t.Helper()
	g := w.tree.groupAt(path)
	w.require(g != nil, "no group %q", path)
	w.add(g)
	return len(w.actors) - 1
}

func TestALeafThatIsAddedToAGroupAtRestStartsAtOnceAsItsLastChild(t *testing.T) {
	w := running(t, "t*(a g>(b c) d)")
	n := w.grow("t/g")
	require.Equal(t, []int{1, 1, 1, 1, 1}, w.starts())
	require.Equal(t, 3, w.tree.numbered[n].at, "between c and d")
	require.NotContains(t, w.answers, n, "it has not acquired")
	w.settle()
	require.Equal(t, "idle idle idle idle idle", w.states())
	require.NoError(t, w.answers[n])
	w.trouble("b", fails).settle()
	require.Equal(t, []int{1, 2, 2, 1, 2}, w.starts(), "from now on it is one of its siblings")
	w.happen(event{stops, 0})
	w.settle()
	require.True(t, w.stopped)
}

func TestALeafThatIsAddedIsPartOfTheRoundThatRestartsItsGroup(t *testing.T) {
	for text, joins := range map[string]bool{
		"t*(a x)": true, "t>(a x)": true, "t>(x a)": true, "t(a x)": false, "m(t*(a x) b)": true, "m*(t(a X) b)": true,
		"t(a g*(b x))": false, "t>(a g*(b x))": true, "t*(a g>(b x))": false,
	} {
		for _, stage := range []roundStage{roundStopping, roundWaiting, roundAcquiring} {
			w := running(t, text)
			name := "x"
			if text == "m*(t(a X) b)" {
				name = "X"
			}
			path := "t"
			if text[0] == 'm' {
				path = "m/t"
			}
			w.trouble(name, fails)
			for r := w.tree.numbered[w.leaf(name)].round; r.stage < stage; {
				list := w.possible()
				for _, e := range list {
					if e.kind == goes || stage == roundAcquiring && e.kind == timePasses {
						w.happen(e)
						break
					}
				}
			}
			r := w.tree.numbered[w.leaf(name)].round
			require.Equal(t, stage, r.stage, text)
			n := w.grow(path)
			started := w.actors[n].starts
			require.Equal(t, joins, w.tree.numbered[n].round == r, "%s %v", text, stage)
			require.Equal(t, !joins || stage == roundAcquiring, started == 1, "%s %v", text, stage)
			w.settle()
			require.NotContains(t, w.states(), "restarting", text)
			require.Equal(t, 1, w.actors[n].starts)
			w.requireRest()
		}
	}
}

func TestALeafThatIsRemovedEndsInGoodOrderAndItsSiblingsDoNotNotice(t *testing.T) {
	w := running(t, "t*(a x b)")
	x := w.leaf("x")
	w.trouble("x", removes)
	require.True(t, w.actors[x].drained)
	require.False(t, w.actors[x].aborted, "its handler may finish")
	require.True(t, w.going[x])
	w.settle()
	require.Empty(t, w.going)
	require.Equal(t, []int{1, 1, 1}, w.starts())
	_, err := w.tree.Remove(w.now, x)
	require.ErrorIs(t, err, ErrRemoved)
	_, err = w.tree.Resume(w.now, x)
	require.ErrorIs(t, err, ErrRemoved)
	require.Empty(t, w.tree.Rewound(x))
	require.Zero(t, w.tree.Due(x))
	w.trouble("a", fails).settle()
	require.Equal(t, []int{2, 1, 2}, w.starts())
}

func TestALeafWithoutAnActorIsRemovedAtOnce(t *testing.T) {
	for _, before := range [][]eventKind{{orders, goes}, {ends, goes}, {fails, goes}} {
		w := running(t, "t(a x)")
		for _, kind := range before {
			w.trouble("x", kind)
		}
		w.trouble("x", removes)
		require.Len(t, w.tree.leaves, 1)
		_, waits := w.tree.Next()
		require.False(t, waits, "it does not wait to be started any more")
		w.requireRest()
	}
}

func TestALeafThatIsRemovedFromARoundIsNotStartedAndTheOthersAre(t *testing.T) {
	w := running(t, "t*(a x b)").trouble("b", fails)
	w.trouble("x", removes).settle()
	require.Equal(t, []int{2, 1, 2}, w.starts())
	require.Equal(t, "idle", w.shown[0].String())
	w.requireRest()
}

func TestALeafWhoseHandlerDoesNotReturnStaysHaltedAndCanBeRemovedLater(t *testing.T) {
	w := running(t, "t(a x)")
	x := w.leaf("x")
	w.trouble("x", removes)
	w.happen(event{kind: timePasses})
	require.True(t, w.actors[x].aborted)
	w.happen(event{kind: timePasses})
	require.Equal(t, "idle halted", w.states())
	_, err := w.tree.Remove(w.now, x)
	require.ErrorIs(t, err, ErrHung)
	w.trouble("x", goes)
	require.Len(t, w.tree.leaves, 2, "it is removed by a call of its own")
	w.trouble("x", removes)
	require.Len(t, w.tree.leaves, 1)
}

func TestAGroupMayLoseAllItsLeavesAndGetNewOnes(t *testing.T) {
	w := running(t, "t(g*(a) b)")
	w.trouble("a", removes).settle()
	n := w.grow("t/g")
	w.settle()
	require.Equal(t, 0, w.tree.numbered[n].at)
	w.trouble("b", removes).settle()
	w.requireRest()

	w = worldOf(t, NewTree(&Node{Name: "t", Path: "t", Leaf: -1}, TreeOptions{}))
	require.Equal(t, 1, w.started)
	w.grow("t")
	w.do(w.tree.Begin())
	w.grow("t")
	w.settle()
	require.Equal(t, "idle idle", w.states())
}

func TestALeafIsAddedToAGroupWhoseWorkersAreHalted(t *testing.T) {
	w := running(t, "t(g(X a) b)")
	w.trouble("X", fails).settle()
	w = running(t, "t(X a)").trouble("X", fails)
	w.settle()
	require.Equal(t, "halted halted", w.states())
	w.grow("t")
	w.settle()
	require.Equal(t, "halted halted idle", w.states(), "a halt is that of workers")
	w.requireRest()
}

func TestAMistakeRemovesWhatWasAddedAndWhatTheWorldRefusesDoesNot(t *testing.T) {
	w := running(t, "t(a)")
	n := w.grow("t")
	w.happen(event{mistakes, n})
	require.NotContains(t, w.answers, n, "its actor is there")
	w.settle()
	require.ErrorIs(t, w.answers[n], checkpoint.ErrKindsChanged)
	require.ErrorContains(t, w.answers[n], `child "t/n1"`)
	require.Len(t, w.tree.leaves, 1)

	for _, kind := range []eventKind{cannotAcquire, diskFull, unreachable} {
		n = w.grow("t")
		if n%2 == 1 {
			n = w.grow("t") // one that does not escalate
		}
		w.happen(event{kind, n})
		require.NoError(t, w.answers[n])
		require.Contains(t, w.answers, n)
		require.Equal(t, Retrying, w.shown[n], "why is shown before the answer")
	}
	w.settle()
	w.requireRest()

	w = worldOf(t, NewTree(sprout("t(a)"), TreeOptions{KillTimeout: killTimeout, AllOrNothing: true}))
	w.settle()
	w.do(w.tree.Begin())
	n = w.grow("t")
	w.happen(event{unreachable, n})
	w.settle()
	require.ErrorIs(t, w.answers[n], errBroken)
	require.Len(t, w.tree.leaves, 1)
}

func TestNothingIsAddedOrRemovedOnceTheTreeStops(t *testing.T) {
	w := running(t, "t(a b)")
	w.grow("t")
	w.trouble("b", removes)
	w.happen(event{stops, 0})
	w.settle()
	require.True(t, w.stopped)
	require.NotEmpty(t, w.coming, "the end of the system is the answer")
	require.NotEmpty(t, w.going)
	require.Equal(t, "stopped stopped stopped", w.states())
	_, err := w.tree.Remove(w.now, 0)
	require.ErrorIs(t, err, ErrStopping)
	require.ErrorIs(t, w.tree.Admit("t", Candidate{}), ErrStopping)
}

func TestWhatIsAddedFollowsTheRulesOfATree(t *testing.T) {
	worker := func(name string, formerly ...string) cursor.Worker {
		return cursor.Worker{Name: name, Formerly: formerly, Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
			return cursor.Continue, nil
		}}
	}
	root, leaves, err := Plan(supervision.Group{
		Name: "t", StopTimeout: time.Minute, Children: []supervision.Child{
			worker("a", "old"), supervision.Group{Name: "g", Children: []supervision.Child{worker("b")}},
		},
	})
	require.NoError(t, err)
	require.Len(t, leaves, 2)
	tree := NewTree(root, TreeOptions{})
	tree.Start(begun)
	for _, c := range []struct {
		path string
		w    cursor.Worker
		want error
		text string
	}{
		{"t/x", worker("c"), ErrNoGroup, `no such group: "t/x"`},
		{"t/a", worker("c"), ErrNoGroup, "a worker is no group"},
		{"t/g", worker("a"), supervision.ErrDuplicate, `child "t/g/a": has the name, and so the checkpoint, of "t/a"`},
		{"t", worker("a"), supervision.ErrDuplicate, `child "t/a"`},
		{"t", worker("g"), supervision.ErrDuplicate, `child "t/g"`},
		{"t", worker("old"), supervision.ErrDuplicate, `of "t/old"`},
		{"t", worker("c", "b"), supervision.ErrDuplicate, `child "t/c": had the name, and so the checkpoint, of "t/g/b"`},
		{"t", worker("c", "old"), supervision.ErrDuplicate, `of "t/a"`},
	} {
		candidate, err := NewCandidate(c.w)
		require.NoError(t, err)
		_, effects, err := tree.Add(begun, c.path, candidate)
		require.ErrorIs(t, err, c.want, c.text)
		if c.want != ErrNoGroup { //nolint:errorlint // the row's own
			require.ErrorContains(t, err, c.text)
		}
		require.Empty(t, effects)
	}
	for _, child := range []supervision.Child{nil, supervision.Group{Name: "h"}, cursor.Worker{Name: "a/b"}, cursor.Worker{Name: "c"}} {
		_, err := NewCandidate(child)
		require.Error(t, err)
	}
	good, err := NewCandidate(worker("c"))
	require.NoError(t, err)
	require.Equal(t, "c", good.Name())
	n, effects, err := tree.Add(begun, "t/g", good)
	require.NoError(t, err)
	require.Equal(t, "t/g/c", n.Path)
	require.Equal(t, time.Minute, n.Worker.StopTimeout, "inherited")
	require.Equal(t, 2, n.Leaf)
	require.Equal(t, []EffectKind{Show, Spawn}, []EffectKind{effects[0].Kind, effects[1].Kind})
	require.NoError(t, tree.Admit("t", mustCandidate(t, worker("d"))))
}

func mustCandidate(t *testing.T, w cursor.Worker) Candidate {
	t.Helper()
	c, err := NewCandidate(w)
	require.NoError(t, err)
	return c
}
