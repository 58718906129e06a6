package actors

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// node is a worker of the tree over all its incarnations.
type node struct {
	*drive.Node // the supervisor's; of it any goroutine reads Name, Path and Leaf, which never change

	// baton belongs to the actor of the present incarnation, and to the supervisor while there is
	// none: one ends, which the supervisor hears of, before the next is spawned. Its Worker never
	// changes: any goroutine reads it.
	baton drive.Baton
	// published and calls are locked: any goroutine uses them.
	published published
	calls     calls

	// oldest is the key of the oldest event that the worker has read and not done, which its actor
	// publishes for Status where the key is a function of the user; nil before the first one.
	oldest atomic.Pointer[keyedEvent]

	// unwritten is what was missing when the worker was started; nil before that, and for nothing.
	unwritten atomic.Pointer[unwritten]

	// The present incarnation, nil and 0 while there is none. Only the supervisor uses them.
	pid *actor.PID
	gen uint64
}

// name is that of the checkpoint, and names the worker in the whole tree.
func (n *node) name() string { return n.baton.Worker.Name }

// incarnation is the present one.
func (n *node) incarnation() incarnation { return incarnation{leaf: n.Leaf, gen: n.gen} }

// planTree checks the tree, and then all its workers, and reports all problems of the first check
// that finds any: nothing is started of such a tree.
func planTree(top supervision.Group) (*drive.Node, []*node, error) {
	root, leaves, err := drive.Plan(top)
	if err != nil {
		return nil, nil, childError(err)
	}
	var workers []*node
	for _, l := range leaves {
		workers = append(workers, newNode(l))
	}
	return root, workers, nil
}

// newNode takes the worker of a leaf over: there is one only of each, since a system may have very
// many.
func newNode(l *drive.Node) *node {
	n := &node{Node: l, baton: drive.Baton{Worker: *l.Worker, Random: rand.Float64}, published: published{of: l}}
	l.Worker = &n.baton.Worker
	return n
}

// join makes a node part of a system, before its first incarnation: the runs of a handler are
// counted over all of them.
func (n *node) join(s *System) {
	n.baton.Worker = n.baton.Worker.WithBuild(s.options.Build).WithRedact(s.options.Redact).WithPages(&s.pages).WithProbe(s.options.Probe)
	n.baton.Store = s.store
	n.published.watched(&s.transitions, s.store.Now)
}

// childError is nil for nil.
func childError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrChild, err)
}

// keyedEvent is an event and its key.
type keyedEvent struct {
	event store.Position
	key   string
}
