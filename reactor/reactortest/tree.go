package reactortest

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/supervision"
)

// plant makes the tree again, as a process does that has just started: all workers acquire their
// checkpoints, and begin.
func (r *Run) plant() error {
	root, err := plan(r.tree)
	if err != nil {
		return err
	}
	r.all = nil
	for _, leaf := range root.Leaves() {
		r.all = append(r.all, &worker{run: r, leaf: leaf.Leaf, spec: leaf.Spec, worker: *leaf.Worker})
	}
	r.decides = drive.NewTree(root, drive.TreeOptions{})
	if err := r.do(r.decides.Start(r.now)); err != nil {
		return err
	}
	for _, w := range r.all {
		if err := w.acquire(); err != nil {
			return err
		}
		if err := w.report(&drive.Update{Kind: drive.UpdateAcquired}); err != nil {
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
func (r *Run) tick() error { return r.do(r.decides.Tick(r.now)) }

// do carries out what the tree says. An incarnation ends at once, and is reported while the rest of the
// effects are still to come: they are about other workers.
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
	case drive.Drain:
		r.all[e.Leaf].close()
		return r.all[e.Leaf].gone()
	case drive.Kill:
		w := r.all[e.Leaf]
		if w.shown == Halted {
			w.close() // refused where another owner is the reason
		}
		return w.gone()
	case drive.Decide:
		return r.all[e.Leaf].decided(e.Decision)
	case drive.Show:
		r.all[e.Leaf].show(e)
	case drive.Fail:
		return e.Err
	case drive.Hang: // no handler runs while time passes
	case drive.Abort, drive.Note, drive.AllStarted, drive.AllStopped:
	}
	return nil
}

// spawn takes the order to start an incarnation, which the next step does.
func (w *worker) spawn(e drive.Spawn) {
	w.gen, w.spawned = e.Gen, &e
	if e.Later {
		w.restarts++
	}
}

// gone ends the incarnation.
func (w *worker) gone() error {
	if w.gen == 0 {
		return nil
	}
	gen := w.gen
	w.forget()
	w.gen, w.spawned, w.begun = 0, nil, false
	return w.run.do(w.run.decides.Gone(w.run.now, w.leaf, gen))
}

// show keeps a state that the tree says. The reason of a restart is kept until the worker gets on.
func (w *worker) show(e drive.Show) {
	if !w.shown.MayBecome(e.State) {
		return
	}
	if e.State != drive.Starting || w.shown == Halted {
		w.reason, w.attempt = e.Reason, e.Attempt
	}
	w.shown = e.State
}

// start makes the incarnation that was ordered. What keeps it from its checkpoint is a failure without
// an event.
func (w *worker) start() error {
	err := w.acquire()
	if crashed(err) {
		return err
	}
	return w.report(&drive.Update{Kind: drive.UpdateAcquired, Err: err})
}

// starts reports whether an incarnation is to be started now.
func (w *worker) starts() bool { return w.spawned != nil && !w.waits[0].due.After(w.run.now) }

// over reports whether only an operator starts the worker again, if anything does.
func (w *worker) over() bool { return w.shown == Halted || w.shown == Ended }

// report has the tree decide about what the incarnation reports.
func (w *worker) report(u *drive.Update) error {
	return w.run.do(w.run.decides.Report(w.run.now, w.leaf, w.gen, u))
}

// judged has the tree judge a failure.
func (w *worker) judged(u drive.Update) error {
	if _, known := w.trouble[u.First]; !known && u.Kind == drive.UpdateFailed {
		w.trouble[u.First] = 0
	}
	return w.report(&u)
}

// decided does what the answer to a failure says after which the worker continues.
func (w *worker) decided(v drive.Decision) error {
	if v.Action == supervision.ActionPark || v.Action == supervision.ActionSkip {
		return w.park(v)
	}
	w.waits[v.First] = wait{due: w.run.now.Add(v.Delay), attempt: v.Attempt, reason: v.Reason}
	return nil
}

// park parks or skips an event, and has the worker restarted if it panicked there.
func (w *worker) park(v drive.Decision) error {
	decide := w.runner.Park
	if v.Action == supervision.ActionSkip {
		decide = w.runner.Skip
	}
	if err := decide(v.First, v.Reason, v.Attempt); err != nil {
		failure := supervision.Failure{Err: supervision.Halt(errors.Join(err, v.Reason))}
		return w.judged(drive.Update{Kind: drive.UpdateFailed, Failure: failure, Limit: w.began})
	}
	delete(w.trouble, v.First)
	runner := w.runner
	if _, err := w.runner.Commit(w.run.ctx()); err != nil {
		if _, err = w.fail(Outcome{}, err); err != nil || w.runner != runner {
			return err
		}
	}
	if v.Restart {
		return w.report(&drive.Update{Kind: drive.UpdateRestart})
	}
	return nil
}

// end is what the handler said.
func (w *worker) end() error {
	w.close()
	return w.report(&drive.Update{Kind: drive.UpdateEnded})
}

// close writes where the incarnation ends. What it cannot write is read again.
func (w *worker) close() {
	if w.runner != nil && w.runner.Progress().InFlight == 0 {
		_ = w.runner.Close(w.run.ctx())
	}
}

// enable starts a halted worker again, with a fresh count of attempts.
func (w *worker) enable() error {
	effects, err := w.run.decides.Resume(w.run.now, w.leaf)
	if err != nil {
		return err
	}
	return w.run.do(effects)
}

// restartDue is when the worker that has no incarnation is started, zero if that is not a matter of time.
func (w *worker) restartDue() time.Time {
	if first, acquires := w.waits[0]; acquires {
		return first.due
	}
	if w.spawned != nil {
		return w.run.now
	}
	return w.run.decides.Due(w.leaf)
}
