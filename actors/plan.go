package actors

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/supervision"
)

// plan is a child of the tree, checked and with its inherited settings: a group with children, or a worker with its cell.
type plan struct {
	name     string
	path     string
	spec     supervision.Spec
	children []*plan // of a group
	worker   cursor.Worker
	cell     *cell                // of a worker, nil for a group
	seat     seat                 // of a worker
	owner    seat                 // the actor of the group above
	strategy supervision.Strategy // of a group

	suspicious atomic.Bool // the worker has not passed yet what may have killed the process before
}

// errNotSource is the reason of a ChildError.
var errNotSource = errors.New("is neither a group nor a source of a worker")

// planTree checks the tree, and then all its workers, and reports all faults of the first check that finds any: nothing is
// started of such a tree.
func planTree(top supervision.Group) (*plan, []*plan, error) {
	if err := top.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrChild, err)
	}
	b := planner{paths: make(map[string]string)}
	root := b.group(top, top.Spec(), top.Name)
	if err := errors.Join(b.faults...); err != nil {
		return nil, nil, err
	}
	return root, b.workers, nil
}

type planner struct {
	paths   map[string]string // of the workers so far, by their names
	workers []*plan
	faults  []error
}

func (b *planner) fault(path string, err error) {
	b.faults = append(b.faults, &ChildError{Path: path, Err: err})
}

func (b *planner) group(g supervision.Group, spec supervision.Spec, path string) *plan {
	p := &plan{name: spec.Name, path: path, spec: spec, strategy: g.Strategy}
	for _, child := range g.Children {
		inherited := child.Spec().Inherit(spec)
		below := path + "/" + inherited.Name
		if sub, isGroup := child.(supervision.Group); isGroup {
			p.children = append(p.children, b.group(sub, inherited, below))
		} else if w := b.worker(child, inherited, below); w != nil {
			p.children = append(p.children, w)
		}
	}
	return p
}

func (b *planner) worker(child supervision.Child, spec supervision.Spec, path string) *plan {
	source, ok := child.(cursor.Source)
	if !ok {
		b.fault(path, fmt.Errorf("%T %w", child, errNotSource))
		return nil
	}
	w, err := source.CursorWorker()
	if err != nil {
		b.fault(path, err)
		return nil
	}
	if other, taken := b.paths[w.Name]; taken {
		b.fault(path, fmt.Errorf("has the name, and so the checkpoint, of %q: %w", other, &supervision.DuplicateError{Name: w.Name}))
		return nil
	}
	b.paths[w.Name] = path
	spec = spec.WithDefaults()
	if w.Volatile && spec.Policy.Exhausted == supervision.ActionPark {
		spec.Policy.Exhausted = supervision.ActionHalt // there is no place to set anything aside
	}
	p := &plan{name: spec.Name, path: path, spec: spec, worker: w, cell: newCell(w.Name)}
	p.cell.path = path
	b.workers = append(b.workers, p)
	return p
}

// each visits the workers of the plan, in order.
func (p *plan) each(visit func(*plan)) {
	if p.cell != nil {
		visit(p)
	}
	for _, below := range p.children {
		below.each(visit)
	}
}
