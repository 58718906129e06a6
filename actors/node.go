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
	// worker as declared, with the policy that it inherits; its runner keeps a pointer to it, until
	// one with another region takes its place. Its Region and Kinds are changed, by a Widen or
	// Rebind, and read by the actor of the present incarnation alone; the rest never changes, and
	// any goroutine reads it.
	worker    cursor.Worker
	published *published
	calls     calls

	// oldest is the key of the oldest event that the worker has read and not done, which it publishes
	// for Status where the key is a function of the user; nil before the first one.
	oldest atomic.Pointer[keyedEvent]
	// epoch of the checkpoint that the latest incarnation acquired. Only the present incarnation uses
	// it: the next one is spawned after its end.
	epoch uint64
	// guarded: the worker has not passed yet the events that may have crashed the process before. Its
	// actor writes and reads it, and the supervisor clears it for Resume.
	guarded atomic.Bool

	// The present incarnation, nil and 0 while there is none. Only the container of the group uses
	// them.
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
		n.worker.Policy = l.Spec.Policy // with what it inherits
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
