package drive

import "github.com/penstock-io/penstock/supervision"

// leaf is a worker over all its incarnations.
type leaf struct {
	tree   *Tree
	node   *Node
	number int    // for good
	at     int    // among the leaves
	above  *group // that it is a child of
	place  int    // among the children of the group

	phase leafPhase
	fate  fate
	shown State  // what the tree said last; the incarnation may look like another one meanwhile
	gen   uint64 // of the latest incarnation
	cause Cause  // of the next one
	round *round // that it is part of, or nil
	timer timer  // of its stop

	judge   *supervision.Judge // nil until it fails: most never do
	fresh   bool               // the next incarnation has a fresh judge, and this one is not judged any more
	limit   int                // of the first batch of the next incarnation
	ran     bool               // an incarnation had its checkpoint
	excused bool               // its round does not wait for it to leave this phase
	refusal *Update            // why it could not acquire with the first round, until that is judged
	aborted bool               // the contexts of the handlers of this incarnation have ended

	adding  bool  // it was added, and whether that went well is not said yet
	said    bool  // what kept it from its checkpoint was
	problem error // why it is removed again
	former  fate  // until it was to be removed
}

// fate says whether a leaf is started again once its actor is gone.
type fate uint8

const (
	live    fate = iota
	halted       // until an operator resumes it
	ended        // for good
	removed      // it leaves the tree, too
)

// weight counts what a round waits for.
func weight(l *leaf) int {
	if l.phase.settles() && !l.excused {
		return 1
	}
	return 0
}

// excuse lets the first round hold without a leaf that could not acquire its checkpoint. It begins
// with the others if it is ready by then, and else alone.
func (l *leaf) excuse() {
	l.round.settling -= weight(l)
	l.excused = true
	l.round.proceed()
}

// judged returns the judge of a leaf, which is made when it is needed.
func (l *leaf) judged() *supervision.Judge {
	if l.judge == nil {
		l.judge = supervision.NewJudge(l.node.spec(), l.tree.options.Random)
	}
	return l.judge
}

// succeeded says to the judge of a leaf, if it has one, that it gets on.
func (l *leaf) succeeded() {
	if l.judge != nil {
		l.judge.Passed(l.tree.now, 0)
	}
}

// judge judges a failure of the leaf.
func judge(l *leaf, f supervision.Failure) supervision.Verdict {
	v := l.judged().Failed(l.tree.now, f)
	charge(l.tree, l.node, l.judge)
	return v
}

// forgive forgets the failures of a leaf and of the groups above.
func (l *leaf) forgive() {
	acquit(l)
	for g := l.above; g != nil; g = g.above {
		g.acquit()
	}
}

// acquit forgets the failures of a leaf.
func acquit(l *leaf) {
	if l.judge != nil {
		charge(l.tree, l.node, nil)
	}
	l.judge, l.limit = nil, 0
}

// order has something done to the present incarnation of a leaf.
func (l *leaf) order(k EffectKind) { l.tree.emit(Effect{Kind: k, Leaf: l.number, Gen: l.gen}) }

// show has a state of the leaf shown.
func (l *leaf) show(e Effect) {
	e.Kind, e.Leaf, l.shown = Show, l.number, e.State
	l.tree.emit(e)
}

func (l *leaf) showStopped() {
	if l.fate == live || l.fate == removed {
		l.show(Effect{State: Stopped})
	}
}

func (l *leaf) showRestarting(v supervision.Verdict, stack []byte) {
	if l.fate == live {
		l.show(Effect{State: Restarting, Err: v.Reason, Attempt: v.Attempt, Stack: stack})
	}
}

// move is the one place where a phase changes.
func (l *leaf) move(m leafMove) {
	next, allowed := leafTable[l.phase][m]
	if !allowed {
		illegal("leaf "+l.node.Path, l.phase, m)
	}
	before := weight(l)
	l.phase, l.excused = next, false
	if l.round != nil {
		l.round.settling += weight(l) - before
	}
}

// spawn starts an incarnation.
func (l *leaf) spawn() {
	l.tree.gen++
	if l.fresh {
		l.fresh = false
		acquit(l)
	}
	l.move(leafSpawned)
	l.show(Effect{State: Starting})
	order := Effect{Kind: Spawn, Leaf: l.number, Gen: l.tree.gen, Cause: l.cause, Later: l.ran, Limit: l.limit}
	if l.judge != nil {
		for _, event := range l.judge.Failing() {
			order.Failing = append(order.Failing, Failing{Event: event, Attempts: l.judge.Attempts(event)})
		}
	}
	l.tree.emit(order)
	l.gen, l.cause, l.aborted = l.tree.gen, Restart, false
}

func (l *leaf) begin() {
	l.move(leafBegun)
	l.order(Begin)
}

// drain ends an incarnation in good order. With the system its handlers have until its StopTimeout,
// and those of a group until that of the group, before they are cancelled; 0 means as long as it
// takes. For a restart they are cancelled already, unless it is the leaf that failed.
func (l *leaf) drain() {
	if l.aborted {
		l.move(leafCancel)
	} else {
		l.move(leafDrained)
	}
	l.order(Drain)
	l.bound()
	if l.tree.final != nil {
		l.boundGroups()
	}
}

// bound limits how long a leaf that was told to end may take until the next step: until its
// handlers are cancelled, or until it counts as hung. When the system stops it never does.
func (l *leaf) bound() {
	timeout := l.node.Worker.StopTimeout
	switch {
	case timeout == 0 && l.tree.final != nil, l.phase == leafCancelled && l.tree.final != nil:
		l.tree.timers.stop(&l.timer)
		return
	case timeout == 0:
		timeout = l.tree.options.KillTimeout
	}
	l.tree.timers.start(&l.timer, l.tree.now.Add(timeout), l.stopOver)
}

// boundGroups limits how long the groups of a leaf may take to stop with the system, beginning with
// the first of their leaves that does. The top has the bounds of the system instead.
func (l *leaf) boundGroups() {
	for g := l.above; g.above != nil; g = g.above {
		if g.node.Spec.StopTimeout == 0 || g.timer.due != nil {
			continue
		}
		l.tree.timers.start(&g.timer, l.tree.now.Add(g.node.Spec.StopTimeout), func() {
			for _, below := range l.tree.below(g.node) {
				below.abort()
			}
		})
	}
}

// stopOver takes the next step with a leaf that did not end in time.
func (l *leaf) stopOver() {
	switch {
	case l.phase == leafDraining:
		l.abort()
	case l.tree.final == nil:
		l.move(leafTimedOut)
		if l.fate == removed { // it stays
			l.fate = l.former
		}
		if l.fate == live {
			l.fate = halted
		}
		l.order(Hang)
		l.round.proceed()
	}
}

// abort ends the contexts of the handlers of a leaf.
func (l *leaf) abort() {
	if !l.phase.lives() || l.aborted {
		return
	}
	l.aborted = true
	l.order(Abort)
	if l.phase == leafDraining {
		l.move(leafCancel)
		l.bound()
	}
}

// leave ends an incarnation that has come to rest, or is not to wait for its handlers.
func (l *leaf) leave() {
	if l.abort(); l.phase.lives() && !l.phase.leaves() {
		l.drain()
	}
}
