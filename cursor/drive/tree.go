package drive

import (
	"errors"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Tree decides about all workers of a tree. Each method is called with something that happened
// and returns what to do about it, in order. A failure costs O(depth) and O(leaves that it
// concerns).
//
// What is reported of an incarnation carries its generation; of one that is no more it is
// ignored, and failures are so of one that was told to end for a start with a fresh judge.
type Tree struct {
	options  TreeOptions
	groups   []group // depth first, the top first
	leaves   []leaf  // depth first
	timers   timers
	gen      uint64    // the last one that was handed out
	alive    int       // leaves that have an actor
	final    *round    // the last round, once there is one
	problems []Problem // that kept leaves from the first start
	out      []Effect  // of the present input
}

// TreeOptions of a tree.
type TreeOptions struct {
	// KillTimeout is how long a leaf whose handlers were cancelled may take to end before it
	// counts as hung, where its StopTimeout is 0.
	KillTimeout time.Duration
	// Random is the source of jitter as in supervision.NewJudge; nil means none.
	Random func() float64
}

// leaf is a worker over all its incarnations.
type leaf struct {
	node   *Node
	number int
	above  int // its group
	place  int // among the children of the group

	phase leafPhase
	fate  fate
	shown State  // what the tree said last; the incarnation may look like another one meanwhile
	gen   uint64 // of the latest incarnation
	cause Cause  // of the next one
	round *round // that it is part of, or nil
	timer timer  // of a delay, or of a stop
	delay time.Duration

	judge    *supervision.Judge // nil until it fails: most never do
	fresh    bool               // the next incarnation has a fresh judge, and this one is not judged any more
	limit    int                // of the first batch of the next incarnation
	acquired bool               // an incarnation had its checkpoint
	aborted  bool               // the contexts of the handlers of this incarnation have ended
}

// fate says whether a leaf is started again once its actor is gone.
type fate uint8

const (
	live   fate = iota
	halted      // until an operator resumes it
	ended       // for good
)

// group is an inner node: leaves from..to-1 and groups self+1..lastGroup-1 are below it.
type group struct {
	node     *Node
	above    int // -1 for the top
	place    int // among the children of the group above
	from, to int
	next     int // the first group after it that is not below it
	children []interval
	judge    *supervision.Judge // of what its children escalate; nil until one does
	timer    timer              // of its stop with the system
}

// interval is a child of a group: its leaves, and which group it is, or -1.
type interval struct{ from, to, group int }

// Errors of [Tree.Resume].
var (
	// ErrHung: a handler of the worker has not returned yet.
	ErrHung = errors.New("drive: handler does not return")
	// ErrStopping: no worker is started any more.
	ErrStopping = errors.New("drive: tree is stopping")
)

// NewTree makes the machine of a planned tree. Nothing runs before [Tree.Start].
func NewTree(root *Node, o TreeOptions) *Tree {
	t := &Tree{options: o}
	t.grow(root, -1, 0)
	return t
}

// grow adds the group n and all below it.
func (t *Tree) grow(n *Node, above, place int) int {
	number := len(t.groups)
	t.groups = append(t.groups, group{node: n, above: above, place: place, from: len(t.leaves)})
	children := make([]interval, 0, len(n.Children))
	for i, child := range n.Children {
		in := interval{from: len(t.leaves), group: -1}
		if child.IsLeaf() {
			t.leaves = append(t.leaves, leaf{
				node: child, number: len(t.leaves), above: number, place: i,
			})
		} else {
			in.group = t.grow(child, number, i)
		}
		in.to = len(t.leaves)
		children = append(children, in)
	}
	g := &t.groups[number]
	g.to, g.next, g.children = len(t.leaves), len(t.groups), children
	return number
}

// judgeOf returns a judge of a node, made when it is needed.
func (t *Tree) judgeOf(n *Node, judge **supervision.Judge) *supervision.Judge {
	if *judge == nil {
		*judge = supervision.NewJudge(n.Spec, t.options.Random)
	}
	return *judge
}

// succeeded says to the judge of a leaf, if it has one, that it gets on.
func (l *leaf) succeeded(now time.Time) {
	if l.judge != nil {
		l.judge.Succeeded(now, 0)
	}
}

// take returns the effects of the present input.
func (t *Tree) take() []Effect {
	out := t.out
	t.out = nil
	return out
}

func (t *Tree) emit(e ...Effect) { t.out = append(t.out, e...) }

// show has a state of a leaf shown.
func (t *Tree) show(l *leaf, s State, reason error) {
	l.shown = s
	t.emit(Show{Leaf: l.number, State: s, Reason: reason})
}

// move is the one place where a phase changes.
func (t *Tree) move(l *leaf, m leafMove) {
	next, allowed := l.phase.after(m)
	if !allowed {
		illegal("leaf "+l.node.Path, l.phase, m)
	}
	if l.round != nil {
		l.round.settling += weight(next) - weight(l.phase)
	}
	switch {
	case next.lives() && !l.phase.lives():
		t.alive++
	case !next.lives() && l.phase.lives():
		t.alive--
	}
	l.phase = next
}

// weight counts what a round waits for.
func weight(p leafPhase) int {
	if p.settles() {
		return 1
	}
	return 0
}

// Start starts all leaves, once. [AllStarted] says how that went.
func (t *Tree) Start(now time.Time) []Effect {
	r := t.newRound(first, 0, len(t.leaves))
	r.stage = roundAcquiring
	t.spawnAll(now, r)
	return t.take()
}

// Begin lets all leaves handle events after [AllStarted], unless something went wrong since.
func (t *Tree) Begin() []Effect {
	if len(t.leaves) == 0 || t.final != nil || len(t.problems) > 0 {
		return nil
	}
	if r := t.leaves[0].round; r != nil && r.kind == first && r.stage == roundHeld {
		t.endRound(r, roundBegun)
	}
	return t.take()
}

// Tick does what is due at a moment: see [Tree.Next].
func (t *Tree) Tick(now time.Time) []Effect {
	t.timers.fire(now)
	return t.take()
}

// Next returns when Tick is to be called, if there is anything to wait for. It may change with each
// call of another method.
func (t *Tree) Next() (time.Time, bool) { return t.timers.next() }

// Due returns when a leaf that waits for its next start will be started, zero if that is not a
// matter of time.
func (t *Tree) Due(number int) time.Time {
	l := &t.leaves[number]
	switch {
	case l.fate != live:
	case l.phase == leafDelayed:
		return l.timer.at
	case l.phase == leafDown && l.round != nil && l.round.stage == roundWaiting:
		return l.round.timer.at
	}
	return time.Time{}
}

// reporter returns the leaf if it has an incarnation of that generation.
func (t *Tree) reporter(number int, gen uint64) *leaf {
	if l := &t.leaves[number]; l.gen == gen && l.phase.lives() {
		return l
	}
	return nil
}

// Report takes what an incarnation reports.
func (t *Tree) Report(now time.Time, number int, gen uint64, u *Update) []Effect {
	l := t.reporter(number, gen)
	if l == nil {
		return nil
	}
	switch u.Kind {
	case UpdateAcquired:
		t.acquired(now, l, u)
	case UpdateFailed, UpdateHalve:
		t.troubled(now, l, u)
	case UpdateRestart:
		t.restartMe(now, l)
	case UpdateEnded:
		t.ended(now, l)
	case UpdateRecovered:
		if !l.fresh {
			l.succeeded(now)
			l.limit = 0
		}
	case UpdatePassed:
		if l.judge != nil && !l.fresh {
			l.judge.Passed(now, uint64(u.Event))
			l.limit = 0
		}
	case UpdateMoved:
		t.forgive(l)
	case UpdateStoreFailed:
		t.emit(Fail{Err: u.Err})
	case UpdateHalved, UpdateDecided: // nothing is to be decided
	}
	return t.take()
}

// acquired takes that an incarnation has acquired its checkpoint, or could not.
func (t *Tree) acquired(now time.Time, l *leaf, u *Update) {
	if l.phase != leafStarting {
		return // it was told to end meanwhile
	}
	switch inFirst := l.round != nil && l.round.kind == first; {
	case u.Err == nil:
		t.acquiredWell(now, l)
	case inFirst:
		t.problems = append(t.problems, Problem{Path: l.node.Path, Err: u.Err})
		l.fate = halted
		t.kill(now, l)
		t.proceed(now, l.round)
	case errors.Is(u.Err, store.ErrClosed), errors.Is(u.Err, store.ErrPoisoned):
		t.emit(Fail{Err: u.Err})
	case !l.fresh:
		t.failed(now, l, &Update{Failure: notAcquired(u.Err), Limit: l.limit})
	}
}

// notAcquired is the failure of a leaf that could not acquire its checkpoint. A newer owner keeps
// it.
func notAcquired(err error) supervision.Failure {
	if errors.Is(err, checkpoint.ErrFenced) {
		err = supervision.Halt(err)
	}
	return supervision.Failure{Err: err, NoAttempt: errors.Is(err, store.ErrDiskFull)}
}

func (t *Tree) acquiredWell(now time.Time, l *leaf) {
	if l.round == nil || l.round.kind != first {
		l.succeeded(now)
		t.emit(Note{Kind: NoteRestarted, Path: l.node.Path})
	}
	l.acquired = true
	t.move(l, leafAcquired)
	if l.round == nil {
		t.begin(l)
		return
	}
	t.proceed(now, l.round)
}

func (t *Tree) begin(l *leaf) {
	t.move(l, leafBegun)
	t.emit(Begin{Leaf: l.number, Gen: l.gen})
}

// Rewound says that an operator has moved a worker in the log: what it failed at before does not
// count, and neither does what the groups above know of that.
func (t *Tree) Rewound(number int) []Effect {
	t.forgive(&t.leaves[number])
	return nil
}

// forgive forgets the failures of a leaf and of the groups above.
func (t *Tree) forgive(l *leaf) {
	l.judge, l.limit = nil, 0
	for g := l.above; g >= 0; g = t.groups[g].above {
		t.groups[g].judge = nil
	}
}

// Gone says that the actor of an incarnation is no more.
func (t *Tree) Gone(now time.Time, number int, gen uint64) []Effect {
	l := t.reporter(number, gen)
	if l == nil {
		return nil
	}
	t.timers.stop(&l.timer)
	if !l.phase.leaves() && t.final == nil {
		l.fate = halted
		t.emit(Fail{Err: errors.New("drive: child " + l.node.Path + " disappeared")})
	}
	t.move(l, leafGone)
	switch r := l.round; {
	case t.final != nil:
		t.showStopped(l)
	case l.fate != live:
	case r != nil && r.stage == roundStopping:
		if l.shown != Restarting { // which has a reason of its own
			t.show(l, Restarting, nil)
		}
	default:
		t.postpone(now, l)
	}
	t.proceed(now, l.round)
	return t.take()
}

func (t *Tree) showStopped(l *leaf) {
	if l.fate == live {
		t.show(l, Stopped, nil)
	}
}

// postpone lets a leaf come back alone after its delay.
func (t *Tree) postpone(now time.Time, l *leaf) {
	if l.delay <= 0 {
		t.spawn(l)
		return
	}
	t.move(l, leafPostponed)
	t.timers.start(&l.timer, now.Add(l.delay), func(time.Time) { t.spawn(l) })
}

// spawn starts an incarnation.
func (t *Tree) spawn(l *leaf) {
	t.gen++
	if l.fresh {
		l.judge, l.limit, l.fresh = nil, 0, false
	}
	t.timers.stop(&l.timer)
	t.move(l, leafSpawned)
	t.show(l, Starting, nil)
	order := Spawn{Leaf: l.number, Gen: t.gen, Cause: l.cause, Later: l.acquired, Limit: l.limit}
	if l.judge != nil {
		order.Failing = l.judge.Failing()
	}
	t.emit(order)
	l.gen, l.cause, l.delay, l.aborted = t.gen, Restart, 0, false
}
