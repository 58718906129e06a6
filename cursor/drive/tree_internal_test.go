package drive

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// leaf returns the number of a leaf by its name.
func (w *world) leaf(name string) int {
	i := slices.IndexFunc(w.tree.leaves, func(l *leaf) bool { return l.node.Name == name })
	w.require(i >= 0, "no leaf %q", name)
	return w.tree.leaves[i].number
}

// trouble lets something happen to a leaf.
func (w *world) trouble(name string, kind eventKind) *world {
	w.t.Helper()
	w.happen(event{kind, w.leaf(name)})
	return w
}

// starts lists how often each leaf was started.
func (w *world) starts() (list []int) {
	for _, a := range w.actors {
		list = append(list, a.starts)
	}
	return list
}

// states lists what each leaf looks like.
func (w *world) states() string {
	var list []string
	for _, s := range w.shown {
		list = append(list, s.String())
	}
	return strings.Join(list, " ")
}

func TestAStrategySaysWhichLeavesAreRestartedWithTheOneThatFailed(t *testing.T) {
	for text, want := range map[string][]int{
		"t(a x b)":             {1, 2, 1},
		"t*(a x b)":            {2, 2, 2},
		"t>(a x b)":            {1, 2, 2},
		"t*(g(a x) b)":         {1, 2, 1},
		"t*(g>(a x b) c)":      {1, 2, 2, 1},
		"t(a g*(b h(c) x) d)":  {1, 2, 2, 2, 1},
		"t*(a g>(b x h(c)) d)": {1, 1, 2, 2, 1},
	} {
		w := running(t, text).trouble("x", fails)
		w.settle()
		require.Equal(t, want, w.starts(), text)
	}
}

func TestAFailureThatEscalatesRestartsTheGroupAsTheStrategyOfTheOneAboveSays(t *testing.T) {
	for text, want := range map[string][]int{
		"t(a g(b X) c)":          {1, 2, 2, 1},
		"t*(a g(b X) c)":         {2, 2, 2, 2},
		"t>(a g(b X) c)":         {1, 2, 2, 2},
		"t(a m(G(b X) c) d)":     {1, 2, 2, 2, 1},
		"t(a m*(G(b X) h(c)) d)": {1, 2, 2, 2, 1},
		"t(a m>(b G(X)) d)":      {1, 2, 2, 1},
	} {
		w := running(t, text).trouble("X", fails)
		w.settle()
		require.Equal(t, want, w.starts(), text)
		require.NotContains(t, w.states(), "halted", text)
	}
}

func TestTheStartDoesNotWaitForALeafThatTheWorldRefuses(t *testing.T) {
	for _, kind := range []eventKind{unreachable, cannotAcquire, diskFull} {
		w := newWorld(t, "t*(a x g(b))")
		w.trouble("a", acquires).trouble("x", kind)
		require.Empty(t, w.asked, "nothing is decided before the others have come so far")
		w.trouble("b", acquires)
		require.Equal(t, 1, w.started)
		require.Empty(t, w.tree.problems)
		require.Equal(t, Retrying, w.shown[1], "Start returns after this")
		require.Equal(t, []Decision{{Action: supervision.ActionRetry, Delay: time.Second, Attempt: 1, Reason: w.asked[1][0].Reason}}, w.asked[1])
		w.trouble("x", kind)
		w.do(w.tree.Begin())
		require.Equal(t, "idle retrying idle", w.states(), "it is tried again, and the others begin")
		w.trouble("x", kind).trouble("x", acquires)
		require.Equal(t, "idle idle idle", w.states())
		require.Equal(t, []int{1, 1, 1}, w.starts())
		require.NotContains(t, w.notes, NoteRestarted, "it was never down")
	}
}

func TestALeafWhoseCheckpointIsNotOfThisLogIsHaltedWithTheStart(t *testing.T) {
	for _, reason := range []error{
		store.ErrForeignHistory, checkpoint.ErrAhead, checkpoint.ErrCorrupt, checkpoint.ErrNewerFormat,
		&cursor.RunnerError{Err: cursor.ErrNoPosition, Reason: supervision.Halt(errBroken)},
	} {
		w := newWorld(t, "t*(a x b)")
		w.report(w.leaf("x"), Update{Err: reason})
		w.trouble("a", acquires).trouble("b", acquires)
		require.Equal(t, 1, w.started)
		require.Empty(t, w.tree.problems)
		require.Equal(t, Halted, w.shown[1], "Start returns after this")
		w.do(w.tree.Begin())
		w.settle()
		require.Equal(t, "idle halted idle", w.states())
		w.trouble("x", resumed).settle()
		require.Equal(t, "idle idle idle", w.states())
		require.Equal(t, []int{1, 2, 1}, w.starts())
	}
}

func TestAMistakeOfTheProgramFailsTheStartWithAllThatIsWrong(t *testing.T) {
	for _, mistake := range []error{
		checkpoint.ErrRegion, checkpoint.ErrKindsChanged, checkpoint.ErrKeyVersion, checkpoint.ErrRenamed, checkpoint.ErrExists,
		store.ErrClosed,
	} {
		w := newWorld(t, "t(a x b c)")
		w.report(w.leaf("x"), Update{Err: mistake})
		w.trouble("b", cannotAcquire).trouble("a", acquires).trouble("c", acquires).settle()
		require.Equal(t, 1, w.started)
		require.Len(t, w.tree.problems, 2)
		require.ErrorIs(t, w.tree.problems[0], mistake)
		require.ErrorIs(t, w.tree.problems[1], errBroken)
		require.Empty(t, w.tree.Begin())
	}
}

func TestWithAllOrNothingWhateverTheWorldRefusesFailsTheStart(t *testing.T) {
	for _, kind := range []eventKind{unreachable, cannotAcquire, diskFull} {
		w := worldOf(t, NewTree(sprout("t(a x)"), TreeOptions{KillTimeout: killTimeout, AllOrNothing: true}))
		w.trouble("x", kind).trouble("a", acquires).settle()
		require.Equal(t, 1, w.started)
		require.Len(t, w.tree.problems, 1)
		require.Empty(t, w.tree.Begin())
	}
}

// A failure to acquire may escalate before any worker has begun.
func TestAnEscalationOutOfTheStartRestartsItsGroupOrHaltsAll(t *testing.T) {
	w := newWorld(t, "t(a g*(X b))")
	w.trouble("X", cannotAcquire).trouble("a", acquires).trouble("b", acquires)
	require.Equal(t, 1, w.started)
	require.Empty(t, w.tree.Begin(), "the round of the group has taken the place of the first one")
	w.settle()
	require.Equal(t, "idle idle idle", w.states())
	require.Equal(t, []int{2, 2, 2}, w.starts(), "none had begun")

	w = newWorld(t, "t(a X)")
	w.trouble("X", cannotAcquire).trouble("a", acquires)
	require.Equal(t, 1, w.started)
	require.Equal(t, "halted halted", w.states())
}

func TestBeyondTheTopAnEscalatedFailureHaltsAllLeavesAtOnceButThoseThatHaveEnded(t *testing.T) {
	for _, text := range []string{"t(X b c)", "t*(G(X) b c)", "t(M(G(X)) b c)"} {
		w := running(t, text).trouble("c", ends).trouble("X", fails)
		require.Equal(t, "halted halted ended", w.states(), text)
		w.settle()
		require.Equal(t, []int{1, 1, 1}, w.starts(), text)
		require.True(t, slices.ContainsFunc(w.notes, func(e Effect) bool { return e.Note == NoteBeyondTop }), text)
		w.trouble("X", resumed).trouble("b", resumed).settle()
		require.Equal(t, "idle idle ended", w.states(), text)
	}
}

// oneRestart lets a leaf be restarted once in a period.
func oneRestart(s *supervision.Spec) { s.Policy.Intensity = 1 }

// change changes the settings of the children with these names.
func (n *Node) change(by map[string]func(*supervision.Spec)) {
	if f := by[n.Name]; f != nil {
		spec := n.spec()
		if f(&spec); n.Spec != nil {
			*n.Spec = spec
		} else {
			n.Worker.Policy, n.Worker.Restart, n.Worker.StopTimeout = spec.Policy, spec.Restart, spec.StopTimeout
		}
	}
	for _, child := range n.Children {
		child.change(by)
	}
}

// runningWith is running with changed settings of the children with these names.
func runningWith(tb testing.TB, text string, change map[string]func(*supervision.Spec)) *world {
	tb.Helper()
	root := sprout(text)
	root.change(change)
	w := worldOf(tb, NewTree(root, TreeOptions{KillTimeout: killTimeout}))
	w.settle()
	w.do(w.tree.Begin())
	return w
}

func TestAGroupThatIsRestartedJudgesAllBelowAfreshAndSiblingsAmongWorkersDoNot(t *testing.T) {
	change := map[string]func(*supervision.Spec){"a": oneRestart, "b": oneRestart}
	w := runningWith(t, "t*(a g(b) x)", change)
	for _, name := range []string{"a", "b", "x", "b", "a"} {
		require.NotContains(t, w.states(), "halted")
		w.trouble(name, fails).settle()
	}
	require.Equal(t, Halted, w.shown[w.leaf("a")], "its second failure")
	require.NotEqual(t, Halted, w.shown[w.leaf("b")], "its first one since its group was restarted")
}

func TestAFailureThatComesWhileItsGroupIsAboutToBeRestartedCountsForNothing(t *testing.T) {
	w := runningWith(t, "t(g(X Y))", map[string]func(*supervision.Spec){"g": oneRestart})
	w.trouble("X", fails).trouble("Y", fails).settle()
	require.Equal(t, []int{2, 2}, w.starts(), "a second failure would have been too much for g")
	w.trouble("Y", fails).settle()
	require.Equal(t, "halted halted", w.states())
}

func TestLeavesAreStoppedInReverseAndBeginInOrderOnceAllAreReady(t *testing.T) {
	w := running(t, "t*(a g(b c) x)")
	w.trouble("x", fails)
	for _, name := range []string{"x", "c", "b", "a"} { // drain of the next one is checked by the world
		require.True(t, w.actors[w.leaf(name)].drained, name)
		require.Equal(t, name != "x", w.actors[w.leaf(name)].aborted, name)
		w.trouble(name, goes)
		require.Equal(t, Restarting, w.shown[w.leaf(name)])
	}
	require.Equal(t, begun.Add(time.Second), w.tree.Due(w.leaf("b")))
	w.happen(event{kind: timePasses})
	for _, name := range []string{"x", "b", "c", "a"} {
		require.NotContains(t, fmt.Sprint(w.actors), "begun:true")
		w.trouble(name, acquires)
	}
	for _, a := range w.actors {
		require.True(t, a.begun)
	}
}

func TestRoundsThatOverlapBecomeOneWithTheLongerDelay(t *testing.T) {
	slow := func(s *supervision.Spec) {
		s.Policy.Backoff = supervision.Backoff{Initial: time.Minute, Max: time.Minute}
	}
	w := runningWith(t, "t(m*(g>(a x b) y) c)", map[string]func(*supervision.Spec){"y": slow})
	w.trouble("x", fails).trouble("b", goes).trouble("y", fails)
	require.True(t, w.tree.leaves[0].round == w.tree.leaves[w.leaf("b")].round)
	w.settle()
	require.Equal(t, []int{2, 2, 2, 2, 1}, w.starts())
	require.Equal(t, begun.Add(time.Minute), w.now)

	w = runningWith(t, "t(m*(g>(a x b) y) c)", map[string]func(*supervision.Spec){"x": slow})
	w.trouble("x", fails).trouble("y", fails).settle()
	require.Equal(t, begun.Add(time.Minute), w.now, "the longer one may be the first")

	w = running(t, "t>(g*(x b) h*(y c))")
	w.trouble("y", fails).trouble("x", fails)
	require.True(t, w.tree.leaves[0].round != w.tree.leaves[2].round)
	w.settle()
	require.Equal(t, []int{2, 2, 2, 2}, w.starts())
}

func TestALeafThatWaitsForItsOwnDelayIsTakenAlongByARound(t *testing.T) {
	slow := func(s *supervision.Spec) { s.Policy.Backoff = supervision.Backoff{Initial: time.Hour, Max: time.Hour} }
	w := runningWith(t, "t(m*(g(a b) x))", map[string]func(*supervision.Spec){"a": slow})
	w.trouble("a", fails).trouble("a", goes)
	require.Equal(t, begun.Add(time.Hour), w.tree.Due(w.leaf("a")))
	w.trouble("x", fails).settle()
	require.Equal(t, []int{2, 2, 2}, w.starts())
	require.Equal(t, begun.Add(time.Second), w.now)
}

func TestAHandlerThatDoesNotReturnIsCancelledThenItsLeafHaltsAndIsNotRunBesideItself(t *testing.T) {
	w := running(t, "t*(a x)")
	w.trouble("x", fails).trouble("x", goes)
	require.True(t, w.actors[0].aborted && w.actors[0].drained)
	w.happen(event{kind: timePasses})
	require.True(t, w.actors[0].hung)
	require.Equal(t, begun.Add(killTimeout), w.now)
	require.Equal(t, Halted, w.shown[0])
	_, err := w.tree.Resume(w.now, 0)
	require.ErrorIs(t, err, ErrHung)
	w.happen(event{kind: timePasses})
	w.trouble("x", acquires)
	require.True(t, w.actors[1].begun, "it does not wait for the one that hangs")
	w.trouble("a", goes).trouble("a", resumed).settle()
	require.Equal(t, []int{2, 2}, w.starts())

	w = running(t, "t*(x b)") // the one that failed has other handlers, which are not cancelled at once
	w.trouble("x", fails).trouble("b", goes)
	require.True(t, w.actors[0].drained && !w.actors[0].aborted)
	w.happen(event{kind: timePasses})
	require.True(t, w.actors[0].aborted && !w.actors[0].hung)
	w.happen(event{kind: timePasses})
	require.True(t, w.actors[0].hung)
}

func TestWithTheSystemALeafIsCancelledAfterItsStopTimeoutAndAGroupAfterThatOfTheGroup(t *testing.T) {
	stop := func(d time.Duration) func(*supervision.Spec) { return func(s *supervision.Spec) { s.StopTimeout = d } }
	w := runningWith(t, "t(a g(b c) d)", map[string]func(*supervision.Spec){"g": stop(time.Minute), "d": stop(time.Second)})
	w.happen(event{kind: stops})
	require.False(t, w.actors[3].aborted)
	w.happen(event{kind: timePasses})
	require.True(t, w.actors[3].aborted)
	w.trouble("d", goes)
	require.True(t, w.actors[2].drained && !w.actors[2].aborted)
	w.happen(event{kind: timePasses})
	require.Equal(t, begun.Add(time.Minute+time.Second), w.now)
	require.True(t, w.actors[1].aborted && w.actors[2].aborted)
	require.False(t, w.actors[0].aborted)
	w.settle()
	require.True(t, w.stopped)
	require.Equal(t, "stopped stopped stopped stopped", w.states())
	_, err := w.tree.Resume(w.now, 0)
	require.ErrorIs(t, err, ErrStopping)
}

func TestNoLeafCountsAsHungOnceTheSystemStops(t *testing.T) {
	w := running(t, "t*(a x)")
	w.trouble("x", fails).trouble("x", goes)
	require.True(t, w.actors[0].drained && w.actors[0].aborted)
	w.happen(event{kind: stops})
	w.happen(event{kind: timePasses})
	require.False(t, w.actors[0].hung)
	w.settle()
	require.Equal(t, "stopped stopped", w.states())
}

func TestALeafThatCannotAcquireWhileItsGroupIsAboutToBeRestartedIsNotJudged(t *testing.T) {
	w := running(t, "t(g(y X) b)")
	w.trouble("y", fails).trouble("y", goes)
	w.happen(event{kind: timePasses})
	w.trouble("X", fails)
	notes := len(w.notes)
	w.trouble("y", cannotAcquire)
	require.Len(t, w.notes, notes)
	w.settle()
	require.Equal(t, "idle idle idle", w.states())
	require.Equal(t, []int{3, 2, 1}, w.starts())
}

func TestATemporaryWorkerIsNotStartedWithItsSiblingsButWhenItIsResumed(t *testing.T) {
	temporary := func(s *supervision.Spec) { s.Restart = supervision.Temporary }
	w := runningWith(t, "t*(a x)", map[string]func(*supervision.Spec){"a": temporary})
	w.trouble("x", fails).settle()
	require.Equal(t, "halted idle", w.states())
	w.trouble("a", resumed).settle()
	require.Equal(t, "idle idle", w.states())
	require.Equal(t, Resumed, w.actors[0].spawn.Cause)

	w.trouble("a", orders).trouble("x", fails).trouble("a", resumed) // in the middle of a round
	w.settle()
	require.Equal(t, "idle idle", w.states())
	require.Equal(t, Resumed, w.actors[0].spawn.Cause)
}

func TestAPermanentWorkerThatEndsIsStartedAgainAloneAndThatCounts(t *testing.T) {
	permanent := func(s *supervision.Spec) { s.Restart, s.Policy.Intensity = supervision.Permanent, 1 }
	w := runningWith(t, "t*(a b)", map[string]func(*supervision.Spec){"a": permanent})
	w.trouble("a", ends).settle()
	require.Equal(t, []int{2, 1}, w.starts())
	w.trouble("a", ends).settle()
	require.Equal(t, "halted idle", w.states())
	w.trouble("b", ends).settle()
	require.Equal(t, "halted ended", w.states())
}

func TestWhatAHandlerSaidAboutTheEndOutlastsARestartWithTheSiblings(t *testing.T) {
	w := running(t, "t*(a x)")
	w.trouble("x", fails).trouble("a", ends)
	w.settle()
	require.Equal(t, "ended idle", w.states())
}

func TestSiblingsWaitForOneThatHasNoRoomToAcquire(t *testing.T) {
	w := running(t, "t*(a x)")
	w.trouble("x", fails).trouble("x", goes).trouble("a", goes)
	w.happen(event{kind: timePasses})
	w.trouble("x", acquires).trouble("a", diskFull)
	require.Equal(t, supervision.ActionRetry, w.asked[0][0].Action, "it tries again in place")
	require.False(t, w.actors[1].begun)
	w.trouble("a", acquires)
	require.True(t, w.actors[0].begun && w.actors[1].begun)
}

func TestAnIncarnationThatFindsANewerOwnerHaltsAndOnlyOneThatIsResumedMayTakeOver(t *testing.T) {
	w := running(t, "t(x)")
	require.Equal(t, FirstStart, w.actors[0].spawn.Cause)
	w.trouble("x", fails).trouble("x", goes)
	w.happen(event{kind: timePasses})
	require.Equal(t, Restart, w.actors[0].spawn.Cause)
	w.trouble("x", takenOver)
	require.Equal(t, "halted", w.states())
	w.trouble("x", goes).trouble("x", resumed)
	require.Equal(t, Resumed, w.actors[0].spawn.Cause)
}

func TestAStoreThatFailsEndsTheSystemAndNoWorkerIsToBlame(t *testing.T) {
	for _, err := range []error{store.ErrClosed, store.ErrPoisoned} {
		w := running(t, "t(x)")
		w.trouble("x", fails).trouble("x", goes)
		w.happen(event{kind: timePasses})
		w.report(0, Update{Err: err})
		require.ErrorIs(t, w.failed, err)
		require.Equal(t, Starting, w.shown[0])
	}
}

func TestReportsOfAnIncarnationThatIsNoMoreAreIgnored(t *testing.T) {
	w := running(t, "t*(a x)")
	old := w.actors[0].gen
	w.trouble("x", fails).settle()
	before := w.String()
	tree := w.tree
	for kind := UpdateAcquired; kind <= UpdateStoreFailed; kind++ {
		u := &Update{Kind: kind, Err: errBroken, Failure: supervision.Failure{Err: errBroken}, Event: 1}
		require.Empty(t, tree.Report(w.now, 0, old, u))
		require.Equal(t, before, w.String())
	}
	require.Empty(t, tree.Gone(w.now, 0, old))
	require.Empty(t, tree.Crashed(w.now, 0, old, supervision.Failure{}))
	require.Equal(t, before, w.String())
}

func TestALeafThatDisappearsEndsTheSystem(t *testing.T) {
	w := running(t, "t(a b)").trouble("b", goes)
	require.ErrorContains(t, w.failed, "t/b disappeared")
}

func TestAPanicOfABatchHalvesTheNextOneAndAnEventThatIsDoneEndsThat(t *testing.T) {
	w := running(t, "t(a)")
	f := supervision.Failure{Err: errBroken, Panic: true}
	w.report(0, Update{Kind: UpdateHalve, Failure: f, Limit: 8})
	w.settle()
	require.Equal(t, begun, w.now, "at once")
	require.Equal(t, 8, w.actors[0].spawn.Limit)
	f.Event = 7
	w.report(0, Update{Kind: UpdateFailed, Failure: f, First: 7, Limit: 8})
	w.settle()
	require.Equal(t, []Failing{{Event: 7, Attempts: 1}}, w.actors[0].spawn.Failing)
	w.report(0, Update{Kind: UpdatePassed, Event: 7})
	w.trouble("a", asksAgain).settle()
	require.Equal(t, Effect{Kind: Spawn, Gen: 4, Cause: Restart, Later: true, Failing: w.actors[0].spawn.Failing}, w.actors[0].spawn)
	require.Empty(t, w.actors[0].spawn.Failing)
}

func TestAVerdictAfterWhichTheWorkerContinuesIsSentToIt(t *testing.T) {
	w := running(t, "t(a)")
	for _, err := range []error{errBroken, supervision.Park(errBroken), supervision.Skip(errBroken)} {
		w.report(0, Update{Kind: UpdateFailed, Failure: supervision.Failure{Err: err, Event: 3}, First: 3})
	}
	var got []supervision.Action
	for _, v := range w.asked[0] {
		require.Equal(t, store.Position(3), v.First)
		require.False(t, v.Restart)
		got = append(got, v.Action)
	}
	require.Equal(t, []supervision.Action{supervision.ActionRetry, supervision.ActionPark, supervision.ActionSkip}, got)
	f := supervision.Failure{Err: supervision.Park(errBroken), Event: 3, Panic: true}
	w.report(0, Update{Kind: UpdateFailed, Failure: f, First: 3})
	require.True(t, w.asked[0][3].Restart)
}

func TestAnOperatorWhoMovesAWorkerLetsTheGroupsAboveForgetToo(t *testing.T) {
	w := runningWith(t, "t(m(g(X b)))", map[string]func(*supervision.Spec){"g": oneRestart})
	w.trouble("X", fails).settle()
	w.do(w.tree.Rewound(1))
	w.trouble("X", fails).settle()
	require.NotContains(t, w.states(), "halted")
	w.trouble("X", fails).settle()
	require.Equal(t, "halted halted", w.states())
}

// One of ten thousand workers that fails concerns no other one.
func TestAFailureCostsWhatItConcernsNotWhatThereIs(t *testing.T) {
	const leaves, failing = 10_000, 5_000
	group := "g(" + strings.TrimSpace(strings.Repeat("a ", 100)) + ")"
	tree := grown("t(" + strings.TrimSpace(strings.Repeat(group+" ", leaves/100)) + ")")
	require.Len(t, tree.Start(begun), 2*leaves, "show, spawn")
	for i := range leaves {
		tree.Report(begun, i, tree.leaves[i].gen, &Update{})
	}
	require.Len(t, tree.Begin(), leaves)
	now := begun
	fail := func() []Effect {
		f := supervision.Failure{Err: errBroken, Panic: true}
		effects := tree.Report(now, failing, tree.leaves[failing].gen, &Update{Kind: UpdateFailed, Failure: f})
		effects = append(effects, tree.Gone(now, failing, tree.leaves[failing].gen)...)
		now, _ = tree.Next()
		effects = append(effects, tree.Tick(now)...)
		return append(effects, tree.Report(now, failing, tree.leaves[failing].gen, &Update{})...)
	}
	require.Len(t, fail(), 4+2+2, "note, show, abort, drain; show, spawn; note, begin")
	now = now.Add(time.Hour)
	require.Less(t, testing.AllocsPerRun(5, func() { fail() }), 60.0)
}
