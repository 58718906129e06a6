package actors

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Add starts a worker in a group of the running system, as its last child: for those that a program
// knows only at run time, such as one for each tenant. The group is given by its path, as in
// [WorkerStatus]: the names of those above it and its own, joined by "/". The child inherits from
// it what it leaves out, and from then on is one of its children in every respect; in a group that
// is being restarted it starts with its siblings, and in one whose workers are halted it runs. It
// lasts as long as the system: the next start has what the program declares then. The set of groups
// does not change.
//
// It returns when the worker has acquired its checkpoint, or was refused by the world as [Start]
// says, which Status shows. A mistake of the program is the error, and then the system has no such
// worker: [ErrUnknownGroup], or [ErrChild] and what that wraps, as from Start; a name that is taken
// is a supervision.ErrDuplicate. With Options.AllOrNothing so is what the world refuses. ctx bounds
// the wait: a child that has not started when it ends may do so yet, and then the error wraps
// store.ErrOutcomeUnknown, too. It may be called from a handler, with the handler's context. What
// was done is recorded by an audit event; with q.DryRun only the definition is checked.
func (s *System) Add(ctx context.Context, group string, child supervision.Child, q checkpoint.Request) error {
	if err := q.Validate(); err != nil {
		return err
	}
	c, err := drive.NewCandidate(child)
	if err != nil {
		return childError(err)
	}
	m := &addition{group: group, worker: c, dry: q.DryRun, reply: make(chan error, 1)}
	s.actors.Root.Send(s.supervisor, m)
	select {
	case err = <-m.reply:
	case <-s.stopping:
		return fmt.Errorf("actors: worker %q: %w", c.Name(), ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("actors: worker %q: %w", c.Name(), errors.Join(ctx.Err(), store.ErrOutcomeUnknown))
	}
	if err != nil || q.DryRun {
		return additionError(c.Name(), err)
	}
	if n := s.workers.find(c.Name()); n != nil {
		s.log.Info("worker added", workerField(n), zap.String("by", q.By))
		warnOfUnwritten(s, []*node{n})
	}
	return drive.Record(context.WithoutCancel(ctx), s.store, c.Name(), checkpoint.AuditAdded, q)
}

// additionError translates an error of the tree about a worker that was to be added.
func additionError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, drive.ErrStopping):
		return fmt.Errorf("actors: worker %q: %w", name, ErrStopped)
	case errors.Is(err, drive.ErrRemoved):
		return fmt.Errorf("actors: worker %q: %w", name, ErrRemoved)
	case errors.Is(err, drive.ErrNoGroup):
		return fmt.Errorf("%w: %w", ErrUnknownGroup, err)
	}
	return childError(err)
}

// Remove ends a worker of the running system, whatever state it is in, and takes it out: Status and
// all calls know it no more. It ends in good order: it finishes the batch in flight and writes its
// position; after its StopTimeout (0 means Options.KillTimeout) the contexts of its handlers end.
// Its siblings do not notice. Its checkpoint stays, with what is parked: a worker of that name
// continues there.
//
// It returns when the worker has ended. Should its handler not return, it stays, halted as after a
// restart in which that happens, and the error is a [HungError]; it can be removed once the handler
// has returned. Calls that wait for the worker return [ErrRemoved]. ctx bounds the wait, but not
// what was begun: then the error wraps store.ErrOutcomeUnknown, too. Others are [ErrUnknownWorker],
// [ErrInsideHandler] in a handler of the same worker, and [ErrStopped]. What was done is recorded
// by an audit event; with q.DryRun nothing is done.
func (s *System) Remove(ctx context.Context, name string, q checkpoint.Request) error {
	n := s.workers.find(name)
	switch {
	case n == nil:
		return fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	case waitsForItself(ctx, s, name):
		return ErrInsideHandler
	}
	if err := q.Validate(); err != nil || q.DryRun {
		return err
	}
	m := &removal{leaf: n.Leaf, reply: make(chan error, 1)}
	s.actors.Root.Send(s.supervisor, m)
	if err := awaitRemoval(ctx, s, n, m); err != nil {
		return err
	}
	s.log.Info("worker removed", workerField(n), zap.String("by", q.By))
	return drive.Record(context.WithoutCancel(ctx), s.store, name, checkpoint.AuditRemoved, q)
}

// awaitRemoval returns when a worker is out of the system, or will not be.
func awaitRemoval(ctx context.Context, s *System, n *node, m *removal) error {
	for begun := false; ; {
		v := n.published.await()
		switch {
		case v.removed:
			return nil
		case begun && v.hung:
			return &HungError{Workers: []string{n.name()}, Positions: []store.Position{v.position}}
		}
		select {
		case err := <-m.reply:
			if err != nil {
				return resumeError(n, err)
			}
			begun = true
		case <-v.changed:
		case <-s.stopping:
			return fmt.Errorf("actors: worker %q: %w", n.name(), ErrStopped)
		case <-ctx.Done():
			return fmt.Errorf("actors: worker %q: %w", n.name(), errors.Join(ctx.Err(), store.ErrOutcomeUnknown))
		}
	}
}
