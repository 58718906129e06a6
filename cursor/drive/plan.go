package drive

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/supervision"
)

// Node is a child of a tree, checked and with its inherited settings: a group, or a worker, which
// is a leaf.
type Node struct {
	// Name of the child, and Path: the names of the groups above it and its own, joined by "/".
	Name, Path string
	Spec       *supervision.Spec    // of a group; that of a leaf is its Worker's
	Strategy   supervision.Strategy // of a group
	Children   []*Node              // of a group
	// Leaf numbers the workers of the tree depth first, from 0, and those that are added later after
	// them; it is -1 for a group.
	Leaf int
	// Worker of a leaf, with what it inherits and is supervised by, for whatever runs it; its Name is
	// that of the checkpoint. It never changes.
	Worker *cursor.Worker

	// Set by the tree that it is in: the leaves at and below it are from..to-1, and what a group is in
	// that tree.
	from, to int
	state    *group
}

// Supervised is what supervision knows of the node, with what it inherits and the defaults of its
// policy. It never changes.
func (n *Node) Supervised() supervision.Spec {
	s := n.spec()
	s.Policy = s.Policy.WithDefaults()
	return s
}

// IsLeaf reports whether the node is a worker.
func (n *Node) IsLeaf() bool { return n.Leaf >= 0 }

// spec is what supervision knows of the node, with what it inherits.
func (n *Node) spec() supervision.Spec {
	if n.Spec != nil {
		return *n.Spec
	}
	w := n.Worker
	return supervision.Spec{Name: n.Name, Policy: w.Policy, Restart: w.Restart, StopTimeout: w.StopTimeout}
}

// ErrNotSource is the reason of a child that is neither a group nor a cursor.Source.
var ErrNotSource = errors.New("is neither a group nor a source of a worker")

// Plan checks a tree and makes its nodes; the leaves are in order. The error joins all problems of
// the tree itself, or else of its workers, with their paths: one without a definition, or two with
// one checkpoint, by a former name too.
func Plan(top supervision.Group) (root *Node, leaves []*Node, err error) {
	if err := top.Validate(); err != nil {
		return nil, nil, err
	}
	p := planner{paths: make(map[string]string)}
	root = p.group(top, top.Spec(), top.Name)
	p.checkFormerNames()
	return root, p.leaves, errors.Join(p.problems...)
}

// problem is why a child cannot be run.
func problem(path string, err error) error { return fmt.Errorf("child %q: %w", path, err) }

type planner struct {
	leaves   []*Node
	paths    map[string]string // of the workers so far, by their names
	problems []error
}

func (p *planner) group(g supervision.Group, spec supervision.Spec, path string) *Node {
	n := &Node{Name: spec.Name, Path: path, Spec: &spec, Strategy: g.Strategy, Leaf: -1}
	for _, child := range g.Children {
		if sub, isGroup := child.(supervision.Grouped); isGroup {
			g := sub.Group()
			n.Children = append(n.Children, p.group(g, inherit(g.Spec(), spec), path+"/"+g.Name))
			continue
		}
		inherited := inherit(child.Spec(), spec)
		below := path + "/" + inherited.Name
		if w, err := p.worker(child, inherited, below); err != nil {
			p.problems = append(p.problems, problem(below, err))
		} else {
			n.Children = append(n.Children, w)
		}
	}
	return n
}

// inherit takes a zero Policy and a zero StopTimeout from the group above. A Policy is inherited
// whole or not at all, so that Intensity and Period, or Initial and Max, always come from the same
// hand.
func inherit(s, group supervision.Spec) supervision.Spec {
	if s.StopTimeout == 0 {
		s.StopTimeout = group.StopTimeout
	}
	if s.Policy == (supervision.Policy{}) {
		s.Policy = group.Policy
	}
	return s
}

func (p *planner) worker(child supervision.Child, spec supervision.Spec, path string) (*Node, error) {
	w, err := workerOf(child)
	if err != nil {
		return nil, err
	}
	return p.leaf(w, spec, path)
}

// workerOf returns the worker of a child that is no group.
func workerOf(child supervision.Child) (cursor.Worker, error) {
	source, ok := child.(cursor.Source)
	if !ok {
		return cursor.Worker{}, fmt.Errorf("%T %w", child, ErrNotSource)
	}
	return source.CursorWorker()
}

// leaf makes the next leaf.
func (p *planner) leaf(w cursor.Worker, spec supervision.Spec, path string) (*Node, error) {
	if other, taken := p.paths[w.Name]; taken {
		return nil, fmt.Errorf("has the name, and so the checkpoint, of %q: %w", other, duplicate(w.Name))
	}
	n := leafNode(w, spec, path)
	n.Leaf = len(p.leaves)
	p.leaves, p.paths[w.Name] = append(p.leaves, n), path
	return n, nil
}

// leafNode makes a leaf that has no number yet.
func leafNode(w cursor.Worker, spec supervision.Spec, path string) *Node {
	spec.Policy = spec.Policy.WithDefaults()
	if w.Volatile && spec.Policy.Exhausted == supervision.ActionPark {
		spec.Policy.Exhausted = supervision.ActionHalt // without a checkpoint nothing can be parked
	}
	w.Policy, w.Restart, w.StopTimeout = spec.Policy, spec.Restart, spec.StopTimeout
	return &Node{Name: spec.Name, Path: path, Worker: &w}
}

func duplicate(name string) error { return fmt.Errorf("%w: %.64q", supervision.ErrDuplicate, name) }

// checkFormerNames finds workers that would take the checkpoint of another worker of the tree,
// because it has a name that they had formerly.
func (p *planner) checkFormerNames() {
	for _, leaf := range p.leaves {
		for _, name := range leaf.Worker.Formerly {
			other, taken := p.paths[name]
			if !taken {
				p.paths[name] = leaf.Path
			} else if other != leaf.Path {
				err := fmt.Errorf("had the name, and so the checkpoint, of %q: %w", other, duplicate(name))
				p.problems = append(p.problems, problem(leaf.Path, err))
			}
		}
	}
}
