package drive

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// group is an inner node: leaves from..to-1 and groups self+1..lastGroup-1 are below it.
type group struct {
	tree     *Tree
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

// judged returns the judge of a group, which is made when it is needed.
func (g *group) judged() *supervision.Judge {
	if g.judge == nil {
		g.judge = supervision.NewJudge(g.node.Spec, g.tree.options.Random)
	}
	return g.judge
}

// escalate judges a failure of a group, and carries the verdict out. Beyond the top nothing is left
// that could be restarted.
func (g *group) escalate(reason error) {
	if g.above < 0 {
		g.tree.emit(Note{Kind: NoteBeyondTop, Path: g.node.Path, Err: reason})
		g.haltAll(reason)
		return
	}
	v := g.judged().Failed(g.tree.now, supervision.Failure{Err: reason})
	g.tree.note(g.node, v, nil)
	switch v.Action {
	case supervision.ActionHalt:
		g.haltAll(v.Reason)
	case supervision.ActionEscalate:
		g.tree.groups[g.above].escalate(fmt.Errorf("child %q: %w", g.node.Path, v.Reason))
	default:
		for i := g.from; i < g.to; i++ {
			g.tree.leaves[i].showRestarting(v, nil)
		}
		g.tree.groups[g.above].restartChildren(g.place, nil, v.Delay)
	}
}

// haltAll ends all leaves of a group until they are resumed.
func (g *group) haltAll(reason error) {
	for i := g.from; i < g.to; i++ {
		l := &g.tree.leaves[i]
		if r := l.round; r != nil && r.from >= g.from && r.to <= g.to {
			r.end(roundReplaced)
		}
		if l.fate == live {
			l.fate = halted
			l.show(Halted, reason)
		}
		l.callOff()
		l.kill()
	}
	g.tree.leaves[g.from].round.proceed() // of a round around the group
}

// restartChildren restarts what the strategy of a group says when a child of it has failed. That
// is a round, joined with those that it overlaps. Handlers are cancelled, but for those of the
// leaf that failed, if it is one: it has come to rest. Groups among the children restart with
// fresh judges for all that is below them.
func (g *group) restartChildren(place int, failed *leaf, delay time.Duration) {
	fromChild, toChild := g.node.Strategy.Affected(place, len(g.children))
	for _, child := range g.children[fromChild:toChild] {
		g.tree.refresh(child)
	}
	r := g.tree.join(g.children[fromChild].from, g.children[toChild-1].to, delay)
	for i := r.from; i < r.to; i++ {
		l := &g.tree.leaves[i]
		l.callOff()
		if l != failed {
			l.abort()
		}
	}
	r.proceed()
}

// refresh has all that is below a child that is a group start with fresh judges.
func (t *Tree) refresh(child interval) {
	if child.group < 0 {
		return
	}
	for i := child.from; i < child.to; i++ {
		t.leaves[i].fresh = true
	}
	for i := child.group + 1; i < t.groups[child.group].next; i++ {
		t.groups[i].judge = nil
	}
}

// join makes a round that stops an interval and starts it again, in place of the rounds that
// overlap it: over all that these concern, with the longest delay. They are disjoint, so one pass
// finds them.
func (t *Tree) join(from, to int, delay time.Duration) *round {
	low, high := from, to
	for i := from; i < to; i++ {
		if r := t.leaves[i].round; r != nil {
			low, high, delay = min(low, r.from), max(high, r.to), max(delay, r.delay)
		}
	}
	r := t.newRound(again, low, high)
	r.delay = delay
	return r
}
