package drive

import (
	"errors"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// Tree decides about all workers of a tree. Each method is called with something that happened
// and returns what to do about it, in order. A failure costs O(depth) and O(leaves that it
// concerns).
//
// What is reported of an incarnation carries its generation; of one that is no more it is
// ignored, and failures are so of one that was told to end for a start with a fresh judge.
type Tree struct {
	now      time.Time // of the present input
	options  TreeOptions
	root     *Node
	groups   []*group // depth first, the top first
	leaves   []*leaf  // depth first
	numbered map[int]*leaf
	numbers  int // of leaves that were handed out: one that was removed leaves its number behind
	timers   timers
	gen      uint64   // the last one that was handed out
	start    *round   // the first round, once there is one
	final    *round   // the last one, once there is one
	problems []error  // that kept leaves from the first start
	pending  []*leaf  // that were added or removed, until that is settled
	out      []Effect // of the present input
}

// TreeOptions of a tree.
type TreeOptions struct {
	// KillTimeout is how long a leaf whose handlers were cancelled may take to end before it
	// counts as hung, where its StopTimeout is 0.
	KillTimeout time.Duration
	// AllOrNothing: whatever keeps a leaf from acquiring its checkpoint with the first start is
	// among the problems of that.
	AllOrNothing bool
	// Random is the source of jitter as in supervision.NewJudge; nil means none.
	Random func() float64
	// Charged is told when each failure of a node happened that counts against the Intensity of its
	// policy, oldest first, each time that this changes: of these, those of the last Period count. nil
	// means that it interests no caller.
	Charged func(n *Node, at []time.Time)
}

// charge tells what a judge of a node has charged to it: of none, nothing.
func charge(t *Tree, n *Node, j *supervision.Judge) {
	if t.options.Charged == nil {
		return
	}
	var at []time.Time
	if j != nil {
		at = j.Charged()
	}
	t.options.Charged(n, at)
}

// Errors of [Tree.Resume].
var (
	// ErrHung: a handler of the worker has not returned yet.
	ErrHung = errors.New("drive: handler does not return")
	// ErrStopping: no worker is started any more.
	ErrStopping = errors.New("drive: tree is stopping")
)

// NewTree makes the machine of a planned tree. Nothing runs before [Tree.Start].
func NewTree(root *Node, o TreeOptions) *Tree {
	t := &Tree{options: o, root: root, numbered: make(map[int]*leaf)}
	t.arrange()
	return t
}

// arrange puts the groups and the leaves in order, those of nodes that are new made for them.
func (t *Tree) arrange() {
	t.groups, t.leaves = t.groups[:0], t.leaves[:0]
	lineUp(t, t.root, nil, 0)
}

// lineUp puts a node and all below it after those that are in order already.
func lineUp(t *Tree, n *Node, above *group, at int) {
	if n.from = len(t.leaves); n.IsLeaf() {
		l := t.numbered[n.Leaf]
		if l == nil {
			l = &leaf{tree: t, node: n, number: n.Leaf}
			t.numbered[n.Leaf], t.numbers = l, max(t.numbers, n.Leaf+1)
		}
		l.above, l.place, l.at = above, at, n.from
		t.leaves = append(t.leaves, l)
	} else {
		if n.state == nil {
			n.state = &group{tree: t, node: n}
		}
		n.state.above, n.state.place, n.state.number = above, at, len(t.groups)
		t.groups = append(t.groups, n.state)
		for i, child := range n.Children {
			lineUp(t, child, n.state, i)
		}
		n.state.last = len(t.groups)
	}
	n.to = len(t.leaves)
}

// take returns the effects of the present input.
func (t *Tree) take() []Effect {
	t.settle()
	out := t.out
	t.out = nil
	return out
}

func (t *Tree) emit(e Effect) { t.out = append(t.out, e) }

// note puts a verdict into the log.
func (t *Tree) note(n *Node, v supervision.Verdict, stack []byte) {
	t.emit(Effect{Kind: Note, Note: NoteVerdict, Path: n.Path, Err: v.Reason, Stack: stack, Decision: decided(v)})
}

// Start starts all leaves, once. [AllStarted] says how that went.
func (t *Tree) Start(now time.Time) []Effect {
	t.now = now
	t.start = t.newRound(first, 0, len(t.leaves))
	t.start.stage = roundAcquiring
	t.start.spawnAll()
	return t.take()
}

// Begin lets all leaves handle events after [AllStarted], unless something went wrong since.
func (t *Tree) Begin() []Effect {
	if t.final != nil || len(t.problems) > 0 {
		return nil
	}
	if t.start.stage == roundHeld { // else another one is in its place
		t.start.end(roundBegun)
	}
	return t.take()
}

// Tick does what is due at a moment: see [Tree.Next].
func (t *Tree) Tick(now time.Time) []Effect {
	t.now = now
	t.timers.fire(now)
	return t.take()
}

// Next returns when Tick is to be called, if there is anything to wait for. It may change with each
// call of another method.
func (t *Tree) Next() (time.Time, bool) { return t.timers.next() }

// Due returns when a leaf that waits for its next start will be started, zero if that is not a
// matter of time.
func (t *Tree) Due(number int) time.Time {
	l := t.numbered[number]
	if l != nil && l.fate == live && l.phase == leafDown && l.round != nil && l.round.stage == roundWaiting {
		return l.round.timer.at
	}
	return time.Time{}
}

// Place returns the place of a leaf among all leaves.
func (t *Tree) Place(number int) int { return t.numbered[number].at }

// reporter begins an input about an incarnation: it returns its leaf, nil if it is no more.
func (t *Tree) reporter(now time.Time, number int, gen uint64) *leaf {
	t.now = now
	if l := t.numbered[number]; l != nil && l.gen == gen && l.phase.lives() {
		return l
	}
	return nil
}

// Report takes what an incarnation reports.
func (t *Tree) Report(now time.Time, number int, gen uint64, u *Update) []Effect {
	l := t.reporter(now, number, gen)
	if l == nil {
		return nil
	}
	switch u.Kind {
	case UpdateAcquired:
		l.tookOver(u)
	case UpdateFailed, UpdateHalve:
		l.troubled(u)
	case UpdateRestart:
		l.restartMe(u.Decision)
	case UpdateDecided:
		l.decided(u.Decision)
	case UpdateGivesUp:
		t.emit(Effect{Kind: Note, Note: NoteGivesUp, Path: l.node.Path, Err: u.Decision.Reason, Decision: u.Decision})
	case UpdatePutOff:
		isPutOff(l, u)
	case UpdateKept:
		keepAttempts(l, u.Event, u.Attempts)
	case UpdateCharged:
		if !l.fresh {
			l.judged().Charge(uint64(u.Event))
		}
	case UpdateOutage:
		t.emit(Effect{Kind: Note, Note: NoteOutage, Path: l.node.Path, Err: u.Err})
	case UpdateOutageOver:
		t.emit(Effect{Kind: Note, Note: NoteOutageOver, Path: l.node.Path, Err: u.Err})
	case UpdateFull:
		t.emit(Effect{Kind: Note, Note: NoteFull, Path: l.node.Path, Err: u.Err})
	case UpdateEnded:
		l.ended()
	case UpdateRecovered:
		if !l.fresh {
			l.succeeded()
			l.limit = 0
		}
	case UpdatePassed:
		if l.judge != nil && !l.fresh {
			l.judge.Passed(now, uint64(u.Event))
			l.limit = 0
		}
	case UpdateMoved:
		l.forgive()
	case UpdateStoreFailed:
		t.emit(Effect{Kind: Fail, Err: u.Err})
	case UpdateHalved: // nothing is to be decided
	}
	return t.take()
}

// Gone says that the actor of an incarnation is no more.
func (t *Tree) Gone(now time.Time, number int, gen uint64) []Effect {
	l := t.reporter(now, number, gen)
	if l == nil {
		return nil
	}
	t.timers.stop(&l.timer)
	if !l.phase.leaves() && t.final == nil {
		l.fate = halted
		t.emit(Effect{Kind: Fail, Err: errors.New("drive: child " + l.node.Path + " disappeared")})
	}
	l.move(leafGone)
	switch r := l.round; {
	case t.final != nil:
		l.showStopped()
	case l.fate != live:
	case r != nil && r.stage == roundStopping:
		if l.shown != Restarting { // which has a reason of its own
			l.show(Effect{State: Restarting})
		}
	case r == nil || r.stage == roundAcquiring || r.stage == roundHeld: // it was resumed on its way out
		l.spawn()
	}
	l.round.proceed()
	return t.take()
}

// Crashed says that an actor has panicked outside of a handler, which only an error of ours can
// cause, and is ending.
func (t *Tree) Crashed(now time.Time, number int, gen uint64, f supervision.Failure) []Effect {
	l := t.reporter(now, number, gen)
	if l == nil {
		return nil
	}
	t.emit(Effect{Kind: Note, Note: NoteCrashed, Path: l.node.Path, Err: f.Err, Stack: f.Stack})
	starts := inFirst(l) && !l.adding
	l.leave()
	switch {
	case t.final != nil, l.fate != live, l.fresh:
	case starts:
		l.fate = halted
		l.show(Effect{State: Halted, Err: f.Err})
		t.emit(Effect{Kind: Fail, Err: f.Err})
	default:
		v := judge(l, f)
		t.note(l.node, v, nil) // the stack is in the note above
		l.decide(v, f.Stack)
	}
	return t.take()
}

// Rewound says that an operator has moved a worker in the log: what it failed at before does not
// count, and neither does what the groups above know of that.
func (t *Tree) Rewound(number int) []Effect {
	if l := t.numbered[number]; l != nil {
		l.forgive()
	}
	return nil
}

// Resume starts a halted leaf again, with a fresh judge of it and of the groups above. One that is
// not halted stays as it is. It returns [ErrHung], [ErrRemoved] or [ErrStopping] when the leaf
// cannot be started.
func (t *Tree) Resume(now time.Time, number int) ([]Effect, error) {
	t.now = now
	l := t.numbered[number]
	switch {
	case t.final != nil:
		return nil, ErrStopping
	case l == nil:
		return nil, ErrRemoved
	case l.fate != halted:
		return nil, nil
	case l.phase == leafHung:
		return nil, ErrHung
	}
	l.forgive()
	l.fate, l.cause = live, Resumed
	inRound := l.round != nil && (l.round.stage == roundStopping || l.round.stage == roundWaiting)
	switch {
	case l.phase.lives(): // it is still on its way out
		l.fresh = true
		l.show(Effect{State: Restarting})
	case inRound:
		l.show(Effect{State: Restarting})
	default:
		l.spawn()
	}
	return t.take(), nil
}

// Stop drains all leaves in reverse, each when the one after it is gone, and starts none any more.
// [AllStopped] says that all are gone; how long to wait for that is up to the caller.
func (t *Tree) Stop(now time.Time) []Effect {
	t.now = now
	if t.final != nil {
		return nil
	}
	t.final = t.newRound(last, 0, len(t.leaves))
	t.final.proceed()
	return t.take()
}
