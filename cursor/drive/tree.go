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
	groups   []group // depth first, the top first
	leaves   []*leaf // depth first
	timers   timers
	gen      uint64   // the last one that was handed out
	final    *round   // the last round, once there is one
	problems []error  // that kept leaves from the first start
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
	t := &Tree{options: o}
	t.grow(root, -1, 0)
	return t
}

// grow adds a node and all below it to the group above.
func (t *Tree) grow(n *Node, above, place int) {
	if n.from = len(t.leaves); n.IsLeaf() {
		t.leaves = append(t.leaves, &leaf{tree: t, node: n, number: n.from, above: above, place: place})
	} else {
		number := len(t.groups)
		t.groups = append(t.groups, group{tree: t, node: n, above: above, place: place})
		for i, child := range n.Children {
			t.grow(child, number, i)
		}
		n.group, n.lastGroup = number, len(t.groups)
	}
	n.to = len(t.leaves)
}

// take returns the effects of the present input.
func (t *Tree) take() []Effect {
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
	r := t.newRound(first, 0, len(t.leaves))
	r.stage = roundAcquiring
	r.spawnAll()
	return t.take()
}

// Begin lets all leaves handle events after [AllStarted], unless something went wrong since.
func (t *Tree) Begin() []Effect {
	if len(t.leaves) == 0 || t.final != nil || len(t.problems) > 0 {
		return nil
	}
	if r := t.leaves[0].round; r != nil && r.kind == first && r.stage == roundHeld {
		r.end(roundBegun)
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
	l := t.leaves[number]
	if l.fate == live && l.phase == leafDown && l.round != nil && l.round.stage == roundWaiting {
		return l.round.timer.at
	}
	return time.Time{}
}

// reporter begins an input about an incarnation: it returns its leaf, nil if it is no more.
func (t *Tree) reporter(now time.Time, number int, gen uint64) *leaf {
	t.now = now
	if l := t.leaves[number]; l.gen == gen && l.phase.lives() {
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
	case r == nil || r.stage == roundAcquiring: // it was resumed on its way out
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
	inFirst := l.round != nil && l.round.kind == first
	l.leave()
	switch {
	case t.final != nil, l.fate != live, l.fresh:
	case inFirst:
		l.fate = halted
		t.emit(Effect{Kind: Fail, Err: f.Err})
	default:
		v := l.judged().Failed(now, f)
		t.note(l.node, v, nil) // the stack is in the note above
		l.decide(v, f.Stack)
	}
	return t.take()
}

// Rewound says that an operator has moved a worker in the log: what it failed at before does not
// count, and neither does what the groups above know of that.
func (t *Tree) Rewound(number int) []Effect {
	t.leaves[number].forgive()
	return nil
}

// Resume starts a halted leaf again, with a fresh judge of it and of the groups above. One that is
// not halted stays as it is. It returns [ErrHung] or [ErrStopping] when the leaf cannot be started.
func (t *Tree) Resume(now time.Time, number int) ([]Effect, error) {
	t.now = now
	l := t.leaves[number]
	switch {
	case t.final != nil:
		return nil, ErrStopping
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
