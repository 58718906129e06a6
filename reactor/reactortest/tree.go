package reactortest

import (
	"slices"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/supervision"
)

// buildTree makes the tree, as a process does that has just started: all workers acquire their
// checkpoints, and begin.
func buildTree(r *Run) error {
	tree := r.tree
	if p, ok := tree.(Program); ok {
		tree = p(r.st)
	}
	top := supervision.Group{Name: "test", Children: []supervision.Child{tree}} // of a single worker
	if group, ok := tree.(supervision.Grouped); ok {
		top = group.Group()
	}
	root, leaves, err := drive.Plan(top)
	if err != nil {
		return err
	}
	r.all, r.numbered = nil, make(map[int]*worker)
	for _, leaf := range leaves {
		r.all = append(r.all, newWorker(r, leaf))
	}
	r.decides = drive.NewTree(root, drive.TreeOptions{})
	if err := r.do(r.decides.Start(r.Now())); err != nil {
		return err
	}
	for _, w := range r.all {
		if err := w.start(); err != nil {
			return err
		}
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	return r.do(r.decides.Begin())
}

func newWorker(r *Run, leaf *drive.Node) *worker {
	w := &worker{run: r, leaf: leaf.Leaf, baton: drive.Baton{Store: r.st, Worker: leaf.Worker.WithBuild(build)}}
	r.numbered[leaf.Leaf] = w
	return w
}

// tick does what is due for the tree.
func tick(r *Run) error { return r.do(r.decides.Tick(r.Now())) }

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

func (r *Run) one(e drive.Effect) error {
	w := r.numbered[e.Leaf] // of no use for what is about the whole tree
	switch e.Kind {
	case drive.Spawn:
		w.spawn(e)
	case drive.Begin:
		w.begun = true
		w.core.Begin()
	case drive.Drain:
		return w.end()
	case drive.Decide:
		w.core.Decide(r.Now(), e.Decision)
	case drive.Show:
		w.show(e)
	case drive.Fail, drive.AllStarted:
		return e.Err
	case drive.Added:
		r.refusal = e.Err
	case drive.Removed:
		r.all = slices.DeleteFunc(r.all, func(other *worker) bool { return other == w })
		delete(r.numbered, e.Leaf)
	case drive.Hang: // no handler runs while time passes
	case drive.Abort, drive.Note, drive.AllStopped:
	}
	return nil
}

// end ends the incarnation in good order, unless something is in flight, which then was never
// handled.
func (w *worker) end() error {
	if w.baton.Runner != nil && len(w.taken) == 0 {
		w.core.Drain(false)
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	return w.gone()
}

// gone ends the incarnation, and reports that to the tree, which may start the next one at once. It
// is called for one that is over already, too.
func (w *worker) gone() error {
	if w.gen == 0 {
		return nil
	}
	gen := w.gen
	w.forget()
	w.gen, w.begun = 0, false
	return w.run.do(w.run.decides.Gone(w.run.Now(), w.leaf, gen))
}

// show records a state that the tree reports. The reason of a restart is kept until the worker
// commits.
func (w *worker) show(e drive.Effect) {
	if !w.shown.MayBecome(e.State) {
		return
	}
	if e.State != drive.Starting || w.shown == drive.Halted {
		w.reason, w.attempt = e.Err, e.Attempt
	}
	w.shown = e.State
}
