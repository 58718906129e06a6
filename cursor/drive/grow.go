package drive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/supervision"
)

// Errors of [Tree.Add] and [Tree.Remove], beside [ErrHung] and [ErrStopping].
var (
	// ErrNoGroup: there is no group at this path.
	ErrNoGroup = errors.New("drive: no such group")
	// ErrRemoved: the worker is no part of the tree any more.
	ErrRemoved = errors.New("drive: worker was removed")
)

// A Candidate is a worker that may be added to a tree that runs, checked by itself.
type Candidate struct {
	spec   supervision.Spec
	worker cursor.Worker
}

// NewCandidate checks a child by itself. The errors are those of [Plan]; groups are those that the
// tree was started with, so it cannot be one.
func NewCandidate(child supervision.Child) (Candidate, error) {
	if err := (supervision.Group{Name: "added", Children: []supervision.Child{child}}).Validate(); err != nil {
		return Candidate{}, err
	}
	if _, isGroup := child.(supervision.Grouped); isGroup {
		return Candidate{}, errors.New("a group cannot be added, only workers to a group")
	}
	spec := child.Spec()
	w, err := workerOf(child)
	if err != nil {
		return Candidate{}, problem(spec.Name, err)
	}
	return Candidate{spec: spec, worker: w}, nil
}

// Name is that of the worker.
func (c Candidate) Name() string { return c.worker.Name }

// Admit checks a candidate against the group at a path, and against all other workers, as [Plan]
// does those of a tree.
func (t *Tree) Admit(path string, c Candidate) error {
	if t.final != nil {
		return ErrStopping
	}
	g := t.groupAt(path)
	if g == nil {
		return fmt.Errorf("%w: %q", ErrNoGroup, path)
	}
	taken := func(n *Node) bool { return n.Name == c.spec.Name }
	if slices.ContainsFunc(g.node.Children, taken) {
		return problem(path+"/"+c.spec.Name, duplicate(c.spec.Name))
	}
	p := planner{paths: make(map[string]string)}
	for _, l := range t.leaves {
		p.leaves, p.paths[l.node.Worker.Name] = append(p.leaves, l.node), l.node.Path
	}
	below := path + "/" + c.spec.Name
	if _, err := p.leaf(c.worker, inherit(c.spec, *g.node.Spec), below); err != nil {
		return problem(below, err)
	}
	p.checkFormerNames()
	return errors.Join(p.problems...)
}

func (t *Tree) groupAt(path string) *group {
	i := slices.IndexFunc(t.groups, func(g *group) bool { return g.node.Path == path })
	if i < 0 {
		return nil
	}
	return t.groups[i]
}

// Add adds a worker to the group at a path, as its last child, and starts it: at once, or with the
// round of its siblings. [Added] says how that went. The errors are those of [Tree.Admit].
//
// A mistake of the program, as at the first start, removes it again. What the world refuses leaves
// it halted or retrying.
func (t *Tree) Add(now time.Time, path string, c Candidate) (*Node, []Effect, error) {
	t.now = now
	if err := t.Admit(path, c); err != nil {
		return nil, nil, err
	}
	g := t.groupAt(path)
	n := leafNode(c.worker, inherit(c.spec, *g.node.Spec), path+"/"+c.spec.Name)
	t.plant(g, n)
	return n, t.take(), nil
}

// plant makes a leaf of a node, the last one of a group, and starts it.
func (t *Tree) plant(g *group, n *Node) {
	n.Leaf = t.numbers
	r := g.open()
	shift(t, g.node.to, 1, r)
	g.node.Children = append(g.node.Children, n)
	t.arrange()
	l := t.numbered[n.Leaf]
	l.adding = true
	t.pending = append(t.pending, l)
	if l.round = r; r == nil || r.stage == roundAcquiring || r.stage == roundHeld {
		l.spawn()
	}
}

// open returns the round that a new last child of a group is part of, nil if it starts alone: one
// that has leaves of both sides, or that restarts the whole group, or the last of its children
// where that means those after it, too.
func (g *group) open() *round {
	n := g.node
	if n.to == 0 {
		return nil
	}
	r := g.tree.leaves[n.to-1].round
	switch {
	case r == nil || r.to > n.to:
		return r
	case n.from == n.to || r.kind == alone:
		return nil
	case r.from <= n.from, n.Strategy == supervision.RestForOne && r.from <= n.Children[len(n.Children)-1].from:
		return r
	}
	return nil
}

// shift moves the intervals of the rounds for a leaf that comes to a position, by 1 and within the
// given round, or leaves it, by -1.
func shift(t *Tree, at, by int, within *round) {
	seen := make(map[*round]bool)
	for _, l := range t.leaves {
		r := l.round
		if r == nil || seen[r] {
			continue
		}
		seen[r] = true
		if r != within && r.from < at {
			continue // it ends before
		}
		r.to += by
		if r != within {
			r.from += by
		}
		if r != within || r.left > at {
			r.left += by
		}
	}
}

// Remove ends a worker in good order, whatever it is doing, and takes it out of the tree, as
// [Removed] says. Its checkpoint stays. One whose handler does not return stays in the tree,
// halted.
func (t *Tree) Remove(now time.Time, number int) ([]Effect, error) {
	t.now = now
	l := t.numbered[number]
	switch {
	case t.final != nil:
		return nil, ErrStopping
	case l == nil:
		return nil, ErrRemoved
	case l.phase == leafHung:
		return nil, ErrHung
	}
	remove(l)
	return t.take(), nil
}

// remove has a leaf leave the tree once its actor is gone.
func remove(l *leaf) {
	if l.fate != removed {
		l.fate, l.former = removed, l.fate
	}
	if !slices.Contains(l.tree.pending, l) {
		l.tree.pending = append(l.tree.pending, l)
	}
	if l.phase.lives() && !l.phase.leaves() {
		l.drain()
	}
}

// settle says of the leaves that come and go what is known by now. In the last round all stay, and
// nothing is said any more.
func (t *Tree) settle() {
	if t.final != nil {
		return
	}
	t.pending = slices.DeleteFunc(t.pending, func(l *leaf) bool {
		switch {
		case l.fate == removed:
			if !l.phase.lives() {
				uproot(t, l)
			}
			return !l.phase.lives()
		case !l.adding: // it was to be removed, and hangs
		case l.fate == live && !l.ran && !l.said:
			return false
		default:
			l.adding = false
			t.emit(Effect{Kind: Added, Leaf: l.number})
		}
		return true
	})
}

// uproot takes a leaf out of the tree.
func uproot(t *Tree, l *leaf) {
	t.timers.stop(&l.timer)
	r := l.round
	shift(t, l.at, -1, r)
	l.round = nil
	if r != nil && r.from == r.to {
		r.end(roundReplaced)
	}
	g := l.above
	g.node.Children = slices.DeleteFunc(g.node.Children, func(n *Node) bool { return n == l.node })
	delete(t.numbered, l.number)
	t.arrange()
	t.emit(Effect{Kind: Removed, Leaf: l.number})
	if l.adding {
		l.adding = false
		t.emit(Effect{Kind: Added, Leaf: l.number, Err: cmp.Or(l.problem, ErrRemoved)})
	}
}
