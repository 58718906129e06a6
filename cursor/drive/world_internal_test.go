package drive

import (
	"errors"
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

var (
	errBroken = errors.New("broken")
	begun     = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
)

const killTimeout = 5 * time.Second

// sprout reads a tree such as "t(a g*(b c))": a group that ends in "*" is one-for-all, in ">" rest-
// for-one; a name that begins with a capital escalates its first failure, a group in "!" halts.
func sprout(text string) *Node {
	s := &sprouting{text: text}
	return s.node("")
}

type sprouting struct {
	text   string
	leaves int
}

func (s *sprouting) node(path string) *Node {
	end := strings.IndexAny(s.text, "() ")
	if end < 0 {
		end = len(s.text)
	}
	name := s.text[:end]
	s.text = s.text[end:]
	n := &Node{Leaf: -1, Spec: &supervision.Spec{Policy: steady()}}
	for ; strings.ContainsAny(name, "*>!"); name = name[:len(name)-1] {
		switch name[len(name)-1] {
		case '*':
			n.Strategy = supervision.OneForAll
		case '>':
			n.Strategy = supervision.RestForOne
		case '!':
			n.Spec.Policy.Intensity = -1
		}
	}
	if name[0] < 'a' {
		n.Spec.Policy.Intensity, n.Spec.Policy.OverBudget = -1, supervision.ActionEscalate
	}
	n.Name, n.Spec.Name, n.Path = name, name, strings.TrimPrefix(path+"/"+name, "/")
	if !strings.HasPrefix(s.text, "(") {
		n.Leaf, n.Spec, n.Worker = s.leaves, nil, &cursor.Worker{Name: name, Policy: n.Spec.Policy}
		s.leaves++
		return n
	}
	for s.text[0] != ')' {
		s.text = s.text[1:]
		n.Children = append(n.Children, s.node(n.Path))
	}
	s.text = s.text[1:]
	return n
}

// steady has ten restarts, a second apart.
func steady() supervision.Policy {
	return supervision.Policy{
		Period: time.Hour, Attempts: 3, Backoff: supervision.Backoff{Initial: time.Second, Max: time.Second},
	}
}

func grown(text string) *Tree { return NewTree(sprout(text), TreeOptions{KillTimeout: killTimeout}) }

// world runs a tree as a transport would, and holds it to the invariants. What happens next is up
// to the test.
type world struct {
	t       testing.TB
	tree    *Tree
	now     time.Time
	actors  []actorModel
	shown   []State
	started int
	stopped bool
	failed  error
	asked   map[int][]Decision // by leaf
	coming  map[int]bool       // leaves that were added, with no answer yet
	going   map[int]bool       // likewise those that were removed
	answers map[int]error      // about those that were added
	room    int                // for so many leaves, those that were removed included
	notes   []Effect           // that are for the log
}

// actorModel is the incarnation of a leaf, if gen is not 0.
type actorModel struct {
	gen                                     uint64
	acquired, begun, drained, aborted, hung bool
	starts                                  int
	spawn                                   Effect
}

func newWorld(tb testing.TB, text string) *world {
	tb.Helper()
	return worldOf(tb, grown(text))
}

func worldOf(tb testing.TB, tree *Tree) *world {
	tb.Helper()
	w := &world{t: tb, tree: tree, now: begun, asked: make(map[int][]Decision), coming: make(map[int]bool), going: make(map[int]bool)}
	w.answers = make(map[int]error)
	w.room = len(tree.leaves) + 2
	w.actors = make([]actorModel, len(tree.leaves))
	w.shown = make([]State, len(tree.leaves))
	w.do(tree.Start(w.now))
	return w
}

// running is a world in which all leaves are up.
func running(tb testing.TB, text string) *world {
	tb.Helper()
	w := newWorld(tb, text)
	w.settle()
	require.Equal(tb, 1, w.started)
	w.do(w.tree.Begin())
	return w
}

// require fails without the cost of arguments that are not needed.
func (w *world) require(ok bool, format string, args ...any) {
	if !ok {
		w.t.Helper()
		w.t.Fatalf(format+": %s", append(args, w)...)
	}
}

// do carries out effects.
func (w *world) do(effects []Effect) {
	w.t.Helper()
	for _, e := range effects {
		w.one(e)
	}
}

func (w *world) one(e Effect) {
	w.t.Helper()
	switch e.Kind {
	case Spawn:
		w.spawn(e)
	case Begin:
		a := w.actor(e.Leaf, e.Gen)
		w.require(a.acquired && !a.begun, "begin of %d", e.Leaf)
		a.begun = true
		if w.shown[e.Leaf].MayBecome(Idle) { // the worker shows that itself
			w.shown[e.Leaf] = Idle
		}
	case Drain:
		a := w.actor(e.Leaf, e.Gen)
		w.require(!a.drained, "drain of %d again", e.Leaf)
		a.drained = true
		w.requireReverse(e.Leaf)
	case Abort:
		w.actor(e.Leaf, e.Gen).aborted = true
	case Decide:
		w.actor(e.Leaf, e.Gen)
		w.asked[e.Leaf] = append(w.asked[e.Leaf], e.Decision)
	case Show:
		if w.shown[e.Leaf].MayBecome(e.State) {
			w.shown[e.Leaf] = e.State
		}
	case Hang:
		a := w.actor(e.Leaf, e.Gen)
		w.require(a.aborted && a.drained, "hang of %d", e.Leaf)
		a.hung = true
		delete(w.going, e.Leaf) // it stays
		if w.shown[e.Leaf].MayBecome(Halted) {
			w.shown[e.Leaf] = Halted
		}
	case Added:
		w.require(w.coming[e.Leaf], "an answer about leaf %d again", e.Leaf)
		delete(w.coming, e.Leaf)
		w.answers[e.Leaf] = e.Err
	case Removed:
		w.require(w.actors[e.Leaf].gen == 0 && w.tree.numbered[e.Leaf] == nil, "leaf %d is there", e.Leaf)
		delete(w.going, e.Leaf)
	case AllStarted:
		w.started++
	case AllStopped:
		w.require(!w.stopped, "stopped twice")
		w.stopped = true
	case Fail:
		w.failed = e.Err
	case Note:
		w.notes = append(w.notes, e)
	}
}

func (w *world) spawn(e Effect) {
	w.t.Helper()
	old := w.actors[e.Leaf]
	w.require(old.gen == 0, "leaf %d beside itself", e.Leaf)
	w.require(!w.stopped && w.tree.final == nil, "leaf %d started while stopping", e.Leaf)
	w.require(w.shown[e.Leaf] == Starting, "leaf %d looks %v", e.Leaf, w.shown[e.Leaf])
	w.actors[e.Leaf] = actorModel{gen: e.Gen, starts: old.starts + 1, spawn: e}
}

// actor returns the incarnation that an effect is for.
func (w *world) actor(leaf int, gen uint64) *actorModel {
	w.t.Helper()
	a := &w.actors[leaf]
	w.require(a.gen == gen, "effect for an incarnation of %d that is no more", leaf)
	return a
}

// requireReverse wants a leaf that is stopped in its turn to come after all of its round that were
// started after it: they are gone, or hang. A leaf that leaves alone has been aborted.
func (w *world) requireReverse(leaf int) {
	w.t.Helper()
	l := w.tree.numbered[leaf]
	r := l.round
	if r == nil || r.stage != roundStopping || r.left-1 != l.at {
		w.require(w.actors[leaf].aborted || l.fate == removed, "leaf %d drained alone", leaf)
		return
	}
	for _, after := range w.tree.leaves[l.at+1 : r.to] {
		a := w.actors[after.number]
		w.require(a.gen == 0 || a.hung || after.fate == removed, "leaf %d drained before %d is gone", leaf, after.number)
	}
}

// event is something that may happen next.
type event struct {
	kind eventKind
	leaf int
}

type eventKind uint8

const (
	acquires eventKind = iota
	cannotAcquire
	mistakes // of the program
	diskFull
	unreachable // the place where it keeps its position
	takenOver
	fails     // without an event
	orders    // to halt
	asksAgain // for a restart, after an event was parked
	ends
	crashes
	goes
	resumed
	timePasses
	stops
	begins
	adds // a leaf to the group of this number
	removes
)

func (e event) String() string {
	return [...]string{
		"acquires", "cannotAcquire", "mistakes", "diskFull", "unreachable", "takenOver", "fails", "orders", "asksAgain", "ends", "crashes",
		"goes", "resumed", "timePasses", "stops", "begins", "adds", "removes",
	}[e.kind] + fmt.Sprint(e.leaf)
}

// trouble reports whether the event is one of which only few are tried in a row.
func (e event) trouble() bool {
	switch e.kind {
	case acquires, goes, timePasses, begins:
		return false
	default:
		return true
	}
}

// possible lists what may happen next.
func (w *world) possible() (list []event) {
	for i, a := range w.actors {
		add := func(kinds ...eventKind) {
			for _, k := range kinds {
				list = append(list, event{k, i})
			}
		}
		switch {
		case a.gen == 0:
		case a.drained:
			add(goes)
		case !a.acquired:
			add(acquires, cannotAcquire, mistakes, diskFull, unreachable, takenOver, crashes)
		case a.begun:
			add(fails, orders, asksAgain, ends, crashes)
		}
		if l := w.tree.numbered[i]; l != nil && l.phase != leafHung && w.operated() {
			if l.fate == halted {
				add(resumed)
			}
			if l.fate != removed {
				add(removes)
			}
		}
	}
	if w.operated() && len(w.actors) < w.room {
		for i := range w.tree.groups {
			list = append(list, event{adds, i})
		}
	}
	if _, ok := w.tree.Next(); ok {
		list = append(list, event{kind: timePasses})
	}
	if w.tree.final == nil {
		list = append(list, event{kind: stops})
	}
	if w.started > 0 && w.tree.start.stage == roundHeld && len(w.tree.problems) == 0 {
		list = append(list, event{kind: begins})
	}
	return list
}

// operated reports whether operators may call.
func (w *world) operated() bool {
	return w.tree.final == nil && w.started > 0 && len(w.tree.problems) == 0
}

// add adds a leaf to a group; every other one escalates its first failure.
func (w *world) add(g *group) {
	w.t.Helper()
	number := len(w.actors)
	n := &Node{Name: fmt.Sprint("n", number), Worker: &cursor.Worker{Policy: steady()}}
	if number%2 == 1 {
		n.Worker.Policy.Intensity, n.Worker.Policy.OverBudget = -1, supervision.ActionEscalate
	}
	n.Path = g.node.Path + "/" + n.Name
	w.actors, w.shown = append(w.actors, actorModel{}), append(w.shown, Starting)
	w.coming[number] = true
	w.tree.now = w.now
	w.tree.plant(g, n)
	w.do(w.tree.take())
}

// happen lets something happen.
func (w *world) happen(e event) {
	w.t.Helper()
	if e.kind == adds {
		w.add(w.tree.groups[e.leaf])
		return
	}
	a := &w.actors[e.leaf]
	f := supervision.Failure{Err: errBroken, Panic: true}
	switch e.kind {
	case adds: // see above
	case acquires:
		a.acquired = true
		w.report(e.leaf, Update{})
	case cannotAcquire:
		w.report(e.leaf, Update{Err: errBroken})
	case mistakes:
		w.report(e.leaf, Update{Err: &checkpoint.MismatchError{Err: checkpoint.ErrKindsChanged}})
	case diskFull:
		w.report(e.leaf, Update{Err: store.ErrDiskFull})
	case unreachable:
		w.report(e.leaf, Update{Err: &cursor.RunnerError{Err: cursor.ErrNoPosition, Reason: supervision.Wait(errBroken)}})
	case takenOver:
		w.report(e.leaf, Update{Err: checkpoint.ErrFenced})
	case fails:
		w.report(e.leaf, Update{Kind: UpdateFailed, Failure: f})
	case orders:
		w.report(e.leaf, Update{Kind: UpdateFailed, Failure: supervision.Failure{Err: supervision.Halt(errBroken)}})
	case asksAgain:
		w.report(e.leaf, Update{Kind: UpdateRestart})
	case ends:
		w.report(e.leaf, Update{Kind: UpdateEnded})
	case crashes:
		w.do(w.tree.Crashed(w.now, e.leaf, a.gen, f))
	case goes:
		gen := a.gen
		*a = actorModel{starts: a.starts}
		w.do(w.tree.Gone(w.now, e.leaf, gen))
	case resumed:
		effects, err := w.tree.Resume(w.now, e.leaf)
		w.require(err == nil, "resume of %d: %v", e.leaf, err)
		w.require(w.tree.numbered[e.leaf].fate == live, "leaf %d is not live once it is resumed", e.leaf)
		w.do(effects)
	case removes:
		w.going[e.leaf] = true
		effects, err := w.tree.Remove(w.now, e.leaf)
		w.require(err == nil, "removal of %d: %v", e.leaf, err)
		w.do(effects)
	case timePasses:
		at, _ := w.tree.Next()
		w.now = at
		w.do(w.tree.Tick(w.now))
	case stops:
		w.do(w.tree.Stop(w.now))
	case begins:
		w.do(w.tree.Begin())
	}
}

// report lets the incarnation of a leaf report something.
func (w *world) report(leaf int, u Update) {
	w.t.Helper()
	w.do(w.tree.Report(w.now, leaf, w.actors[leaf].gen, &u))
}

// settle lets everything go well until nothing more happens.
func (w *world) settle() {
	w.t.Helper()
	for range 10_000 {
		list := slices.DeleteFunc(w.possible(), func(e event) bool { return e.trouble() || e.kind == begins })
		if len(list) == 0 {
			return
		}
		w.happen(list[0])
	}
	w.require(false, "it never comes to rest")
}

// requireRest wants a world that has come to rest to be one that an operator can deal with, and
// that can be stopped.
func (w *world) requireRest() {
	w.t.Helper()
	if w.failed == nil && w.tree.final == nil && len(w.tree.problems) == 0 {
		w.settle()
		w.requireAtRest()
		for i := range w.actors {
			if l := w.tree.numbered[i]; l != nil && l.fate == halted {
				w.happen(event{resumed, i})
				w.settle()
			}
		}
		w.requireAtRest()
		for i, l := range w.tree.leaves {
			w.require(l.phase == leafUp || l.fate == ended, "leaf %d could not be resumed", i)
		}
	}
	if w.tree.final == nil {
		w.settle()
		w.require(w.started == 1 || w.failed != nil, "the start was not answered")
		w.happen(event{kind: stops})
	}
	w.settle()
	w.require(w.stopped, "it does not stop")
	for i, l := range w.tree.leaves {
		s := w.shown[l.number]
		w.require(s == Stopped || s == Halted || s == Ended || w.failed != nil || len(w.tree.problems) > 0, "leaf %d looks %v", i, s)
	}
	_, waits := w.tree.Next()
	w.require(!waits, "something is due after the end")
}

func (w *world) requireAtRest() {
	w.t.Helper()
	w.require(len(w.coming) == 0 && len(w.going) == 0, "no answer about what comes and goes")
	if w.tree.start.stage == roundHeld {
		w.happen(event{kind: begins})
	}
	_, waits := w.tree.Next()
	w.require(!waits, "something is due")
	for at, l := range w.tree.leaves {
		i := l.number
		w.require(l.round == nil, "leaf %d is in a round", i)
		w.require(l.at == at, "leaf %d is not at its place", i)
		switch l.fate {
		case live:
			w.require(l.phase == leafUp && w.shown[i] == Idle, "leaf %d is live", i)
		case halted:
			w.require(l.phase == leafDown && w.shown[i] == Halted, "leaf %d is halted", i)
		case ended:
			w.require(l.phase == leafDown && w.shown[i] == Ended, "leaf %d has ended", i)
		case removed:
			w.require(false, "leaf %d is there", i)
		}
	}
}

// String describes all that decides about what may happen next.
func (w *world) String() string {
	var b strings.Builder
	numbers := make(map[*round]int)
	for _, l := range w.tree.leaves {
		a := w.actors[l.number]
		fmt.Fprintf(&b, "%s %d%v %t%t%t%d %v %v%d%d f%t a%t q%t e%t r%t s%v A%t%t%t%t%t", l.node.Name, l.number, l.above.number, l.adding, l.said,
			l.problem != nil, l.former, l.phase, l.round == nil, l.fate, l.cause,
			l.fresh, l.aborted, l.ran, l.excused, l.refusal != nil, w.shown[l.number], a.acquired, a.begun, a.drained, a.aborted, a.hung)
		if r := l.round; r != nil {
			if numbers[r] == 0 {
				numbers[r] = len(numbers) + 1
			}
			fmt.Fprintf(&b, " r%d %v %d-%d-%d n%d d%v", r.kind, r.stage, r.from, r.left, r.to, r.settling, r.delay)
		}
		b.WriteString("; ")
	}
	for _, one := range w.tree.timers {
		fmt.Fprintf(&b, "%v ", one.at.Sub(w.now))
	}
	fmt.Fprint(&b, w.started, w.stopped, w.failed, len(w.tree.problems))
	return b.String()
}
