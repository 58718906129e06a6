package actors

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// node is a worker of the tree over all its incarnations.
type node struct {
	*drive.Node // its Worker is nil
	worker      cursor.Worker
	published   *published
	address     address

	// oldest is the key of the oldest event that the worker has read and not done, which it publishes
	// for Status where the key is a function of the user; nil before the first one.
	oldest atomic.Pointer[keyedEvent]
	// epoch of the checkpoint that the latest incarnation acquired. Each incarnation uses it
	// alone: the next one is spawned when it is gone.
	epoch   uint64
	guarded atomic.Bool // the worker has not passed yet what may have ended the process before

	// Of the container of its group: the present incarnation, nil and 0 while there is none.
	pid *actor.PID
	gen uint64
}

// planTree checks the tree, and then all its workers, and reports all problems of the first check
// that finds any: nothing is started of such a tree.
func planTree(top supervision.Group) (*drive.Node, []*node, error) {
	if err := top.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrChild, err)
	}
	root, problems := drive.Plan(top)
	if err := childErrors(problems); err != nil {
		return nil, nil, err
	}
	var workers []*node
	for _, l := range root.Leaves() {
		n := &node{Node: l, worker: *l.Worker, published: newPublished(l.Worker.Name)}
		n.published.path, l.Worker = l.Path, nil
		workers = append(workers, n)
	}
	return root, workers, nil
}

// childErrors joins problems as a ChildError each.
func childErrors(problems []drive.Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = &ChildError{Path: p.Path, Err: p.Err}
	}
	return errors.Join(errs...)
}

// keyedEvent is an event and its key.
type keyedEvent struct {
	event store.Position
	key   string
}
