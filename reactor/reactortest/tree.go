package reactortest

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/supervision"
)

// buildTree makes the tree, as a process does that has just started: all workers acquire their
// checkpoints, and begin.
func buildTree(r *Run) error {
	root, err := plan(r.tree)
	if err != nil {
		return err
	}
	r.all = nil
	for _, leaf := range root.Leaves() {
		r.all = append(r.all, &worker{run: r, leaf: leaf.Leaf, spec: leaf.Spec, worker: leaf.Worker.WithBuild(build)})
	}
	r.decides = drive.NewTree(root, drive.TreeOptions{})
	if err := r.do(r.decides.Start(r.now)); err != nil {
		return err
	}
	for _, w := range r.all {
		if err := w.acquire(); err != nil {
			return err
		}
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	return r.do(r.decides.Begin())
}

// plan checks the tree. A single worker gets a group around it.
func plan(tree supervision.Child) (*drive.Node, error) {
	top, ok := tree.(supervision.Group)
	if !ok {
		top = supervision.Group{Name: "test", Children: []supervision.Child{tree}}
	}
	if err := top.Validate(); err != nil {
		return nil, err
	}
	root, problems := drive.Plan(top)
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("child %q: %w", p.Path, p.Err))
	}
	return root, errors.Join(errs...)
}

// tick does what is due for the tree.
func tick(r *Run) error { return r.do(r.decides.Tick(r.now)) }

// do carries out what the tree decides. An incarnation ends at once, and its end is reported before
// the remaining effects: these are about other workers.
func (r *Run) do(effects []drive.Effect) error {
	for _, effect := range effects {
		if err := r.one(effect); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) one(effect drive.Effect) error {
	switch e := effect.(type) {
	case drive.Spawn:
		r.all[e.Leaf].spawn(e)
	case drive.Begin:
		r.all[e.Leaf].begun = true
		r.all[e.Leaf].core.Begin()
	case drive.Drain:
		return r.all[e.Leaf].end(false)
	case drive.Kill:
		if r.all[e.Leaf].shown == drive.Halted {
			return r.all[e.Leaf].end(true) // refused where another owner is the reason
		}
		return r.all[e.Leaf].gone()
	case drive.Decide:
		r.all[e.Leaf].core.Decide(r.now, e.Decision)
	case drive.Show:
		r.all[e.Leaf].show(e)
	case drive.Fail:
		return e.Err
	case drive.Hang: // no handler runs while time passes
	case drive.Abort, drive.Note, drive.AllStarted, drive.AllStopped:
	}
	return nil
}

// end ends the incarnation in good order, unless something is in flight, which then was never
// handled.
func (w *worker) end(forGood bool) error {
	if w.runner != nil && len(w.taken) == 0 {
		w.core.Drain(forGood)
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	return w.gone()
}

// gone ends the incarnation, and reports that to the tree.
func (w *worker) gone() error {
	if w.gen == 0 {
		return nil
	}
	gen := w.gen
	w.forget()
	w.gen, w.begun = 0, false
	return w.run.do(w.run.decides.Gone(w.run.now, w.leaf, gen))
}

// show records a state that the tree reports. The reason of a restart is kept until the worker
// commits.
func (w *worker) show(e drive.Show) {
	if !w.shown.MayBecome(e.State) {
		return
	}
	if e.State != drive.Starting || w.shown == drive.Halted {
		w.reason, w.attempt = e.Reason, e.Attempt
	}
	w.shown = e.State
}

// enable starts a halted worker again, with a fresh count of attempts.
func (w *worker) enable() error {
	effects, err := w.run.decides.Resume(w.run.now, w.leaf)
	if err != nil {
		return err
	}
	return w.run.do(effects)
}
