package reactortest

import (
	"errors"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/supervision"
)

// Add adds a worker to the group at a path, as [actors.System.Add] does; the group of a single
// worker is "test". In a group that is being restarted it starts with its siblings, once it is
// their time. The next crash loses it, like everything that only the process knows.
//
// [actors.System.Add]: https://pkg.go.dev/github.com/penstock-io/penstock/actors#System.Add
func (r *Run) Add(group string, child supervision.Child) error {
	r.tb.Helper()
	return r.guard(func() error { return add(r, group, child) })
}

func add(r *Run, group string, child supervision.Child) error {
	c, err := drive.NewCandidate(child)
	if err != nil {
		return err
	}
	leaf, effects, err := r.decides.Add(r.Now(), group, c)
	if err != nil {
		return err
	}
	w := newWorker(r, leaf)
	r.all = slices.Insert(r.all, r.decides.Place(leaf.Leaf), w)
	r.refusal = nil
	if err := r.do(effects); err != nil {
		return err
	}
	if w.core != nil {
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	if r.refusal != nil {
		return r.refusal
	}
	return drive.Record(r.ctx(), r.st, w.name(), checkpoint.AuditAdded, request())
}

// Remove ends a worker in good order and takes it out of the tree; its checkpoint stays.
func (r *Run) Remove(name string) {
	r.tb.Helper()
	if err := r.guard(func() error { return remove(r, name) }); err != nil {
		r.tb.Fatalf("reactortest: remove %q: %v", name, err)
	}
}

func remove(r *Run, name string) error {
	w := find(r.all, name)
	if w == nil {
		return errors.New("no worker has that name")
	}
	if err := finish(w); err != nil {
		return err
	}
	effects, err := r.decides.Remove(r.Now(), w.leaf)
	if err == nil {
		err = r.do(effects)
	}
	if err == nil {
		err = drive.Record(r.ctx(), r.st, name, checkpoint.AuditRemoved, request())
	}
	return err
}
