package drive

import (
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// group is an inner node.
type group struct {
	tree         *Tree
	node         *Node
	above        *group             // nil for the top
	place        int                // among the children of the group above
	number, last int                // which group it is; those below it are number+1..last-1
	judge        *supervision.Judge // of what its children escalate; nil until one does
	timer        timer              // of its stop with the system
}

// below returns the leaves at and below a node.
func (t *Tree) below(n *Node) []*leaf { return t.leaves[n.from:n.to] }

// judged returns the judge of a group, which is made when it is needed.
func (g *group) judged() *supervision.Judge {
	if g.judge == nil {
		g.judge = supervision.NewJudge(g.node.spec(), g.tree.options.Random)
	}
	return g.judge
}

// acquit forgets the failures of a group.
func (g *group) acquit() {
	if g.judge != nil {
		charge(g.tree, g.node, nil)
	}
	g.judge = nil
}

// escalate judges a failure of a group, and carries the verdict out. Beyond the top nothing is left
// that could be restarted.
func (g *group) escalate(reason error) {
	if g.above == nil {
		g.tree.emit(Effect{Kind: Note, Note: NoteBeyondTop, Path: g.node.Path, Err: reason})
		g.haltAll(reason)
		return
	}
	v := g.judged().Failed(g.tree.now, supervision.Failure{Err: reason})
	charge(g.tree, g.node, g.judge)
	g.tree.note(g.node, v, nil)
	switch v.Action {
	case supervision.ActionHalt:
		g.haltAll(v.Reason)
	case supervision.ActionEscalate:
		g.above.escalate(fmt.Errorf("child %q: %w", g.node.Path, v.Reason))
	default:
		for _, l := range g.tree.below(g.node) {
			l.showRestarting(v, nil)
		}
		g.above.restartChildren(g.place, nil, v.Delay)
	}
}

// haltAll ends all leaves of a group until they are resumed. They are shown before any is ended, in
// the order in which they would be stopped: a reader that sees the first one halted finds all so.
func (g *group) haltAll(reason error) {
	leaves := g.tree.below(g.node)
	for _, l := range slices.Backward(leaves) {
		if r := l.round; r != nil && r.from >= g.node.from && r.to <= g.node.to {
			r.end(roundReplaced)
		}
		if l.fate == live {
			l.fate = halted
			l.show(Effect{State: Halted, Err: reason})
		}
	}
	for _, l := range leaves {
		l.leave()
	}
	leaves[0].round.proceed() // of a round around the group
}

// restartChildren restarts what the strategy of a group says when a child of it has failed. That
// is a round, joined with those that it overlaps. Handlers are cancelled, but for those of the
// leaf that failed, if it is one: it has come to rest. Groups among the children restart with
// fresh judges for all that is below them.
func (g *group) restartChildren(place int, failed *leaf, delay time.Duration) {
	from, to := g.node.Strategy.Affected(place, len(g.node.Children))
	children := g.node.Children[from:to]
	for _, child := range children {
		g.tree.refresh(child)
	}
	r := g.tree.join(again, children[0].from, children[len(children)-1].to, delay)
	for _, l := range r.leaves() {
		if l != failed {
			l.abort()
		}
	}
	r.proceed()
}

// refresh has all that is below a child that is a group start with fresh judges.
func (t *Tree) refresh(child *Node) {
	if child.IsLeaf() {
		return
	}
	for _, l := range t.below(child) {
		l.fresh = true
	}
	for i := child.state.number + 1; i < child.state.last; i++ {
		t.groups[i].acquit()
	}
}

// join makes a round that stops an interval and starts it again, in place of the rounds that
// overlap it: over all that these concern, with the longest delay, but that of a leaf which was to
// come back alone is nothing to its siblings. They are disjoint, so one pass finds them.
func (t *Tree) join(kind roundKind, from, to int, delay time.Duration) *round {
	low, high := from, to
	for _, l := range t.leaves[from:to] {
		if r := l.round; r != nil && (r.kind != alone || kind == alone) {
			low, high, delay, kind = min(low, r.from), max(high, r.to), max(delay, r.delay), max(kind, r.kind)
		}
	}
	if high-low > 1 { // as in place of the first round: it must not be taken for that of one leaf
		kind = max(kind, again)
	}
	r := t.newRound(kind, low, high)
	r.delay = delay
	return r
}
