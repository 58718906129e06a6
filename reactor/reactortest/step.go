package reactortest

import (
	"math/rand/v2"
	"slices"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
)

// step does what the worker's actor does between two messages. An error is a crash, or a misuse by
// the test.
func (w *worker) step() (Outcome, error) {
	if err := tick(w.run); err != nil || w.core == nil {
		return Outcome{}, err
	}
	if w.pulls {
		w.pulls = false
		w.core.Available(w.run.st.Head())
	}
	return w.turn(drive.Take)
}

// turn does what is decided until the worker waits, or is replaced. It fills the lanes, has some of
// them handled, and does what follows from that. It may be called inside itself: what the worker
// reports may have the tree end it, in good order.
func (w *worker) turn(intake drive.Intake) (out Outcome, err error) {
	for core := w.core; w.core == core; {
		next := drive.Step{Kind: drive.StepWait}
		if intake == drive.Finish || len(w.taken) < max(1, w.baton.Worker.Lanes) {
			next = core.Next(w.run.ctx(), w.run.Now(), intake)
		}
		if err := w.crashed(&out); err != nil { // before anything is decided about it
			return out, err
		}
		switch {
		case next.Kind != drive.StepWait:
			err = w.do(&out, next)
		case intake == drive.Finish || len(w.taken) == 0:
			return out, nil
		default:
			err = w.handle(&out, choose(w.taken, w.run.random))
			intake = drive.Finish
		}
		if out.Restarted { // the next step is its first
			intake = drive.Finish
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// do carries out one step that the decisions of the worker order.
func (w *worker) do(out *Outcome, next drive.Step) error {
	switch next.Kind {
	case drive.StepReport:
		return w.report(next.Update)
	case drive.StepAcquire:
		out.Restarted = true
		return w.start()
	case drive.StepRun:
		w.taken = append(w.taken, next.Task.(*cursor.Task))
	case drive.StepCommit:
		if !w.submit() {
			w.committed(out, w.core.Commit(w.run.ctx(), w.run.Now()))
		}
	case drive.StepAnswer:
		w.write()
		w.committed(out, drive.Answered(w.run.ctx(), w.core, w.run.Now()))
	case drive.StepFlush:
		_ = w.core.Flush(w.run.ctx(), w.run.Now(), 0) // kept
	case drive.StepRing:
		drive.Ring(w.run.ctx(), w.core, w.run.Now())
	case drive.StepOperate, drive.StepUnpause:
		return w.operate(next)
	case drive.StepPull:
		w.pulls = true
	default: // the others end the turn, or are nothing without an actor
	}
	return w.crashed(out)
}

// submit lets the next batch be handled before the commit of this one is answered, where the order
// of steps is drawn: in half of the cases, and in half of these also before it is written.
func (w *worker) submit() bool {
	dice := w.run.random
	if dice == nil || dice.IntN(2) == 0 {
		return false
	}
	if w.sent = drive.Submit(w.core, true); w.sent == nil {
		return false
	}
	if dice.IntN(2) == 0 {
		w.write()
	}
	return true
}

// write writes what is under way, once.
func (w *worker) write() {
	if w.sent != nil {
		answered := make(chan struct{}) // with what the submission keeps
		w.sent.Send(func(error) { close(answered) })
		<-answered
		w.sent = nil
	}
}

func (w *worker) committed(out *Outcome, n int) {
	w.run.order.log("%s commits %s", w.name(), count(n))
	if out.Committed += n; n > 0 {
		w.attempt, w.reason = 0, nil
	}
}

// crashed returns the error of a crash; any other one is decided about.
func (w *worker) crashed(out *Outcome) error {
	err := w.failed
	w.failed = nil
	if err == nil || crashed(err) {
		return err
	}
	out.Failed = true
	return nil
}

// start acquires the checkpoint. What keeps the worker from it is a failure without an event.
func (w *worker) start() error {
	err := w.acquire()
	if err != nil && !crashed(err) {
		w.core.Refused(err)
		return nil
	}
	return err
}

// operate does what an operator ordered, or ends a pause whose time is over.
func (w *worker) operate(next drive.Step) error {
	var err error // of what is done now
	if o := w.order; next.Kind == drive.StepUnpause {
		err = w.baton.Unpause(w.run.ctx(), next.Err)
	} else if o.done, o.err = true, next.Err; o.err == nil {
		err = o.do(w.run.ctx(), operator{&w.baton, w})
		o.err = err
	}
	if crashed(err) {
		return err
	}
	w.core.Operated(w.run.ctx(), w.run.Now(), w.baton.Operation(err))
	return nil
}

// choose says which of the lanes are done next: all, in the order of the log, or what the dice say.
func choose(tasks []*cursor.Task, dice *rand.Rand) []*cursor.Task {
	if dice == nil || len(tasks) < 2 {
		return tasks
	}
	chosen := slices.Clone(tasks)
	dice.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	return chosen[:1+dice.IntN(len(chosen))]
}

// handle runs the handlers of tasks. Other workers may take steps before the outcome is known, and
// replace the incarnation: then it is dropped, as that of a handler whose context has ended.
func (w *worker) handle(out *Outcome, tasks []*cursor.Task) error {
	core := w.core
	for _, t := range slices.Clone(tasks) {
		w.taken = slices.DeleteFunc(w.taken, func(other *cursor.Task) bool { return other == t })
		out.Handled += t.Size()
		w.run.order.log("%s handles %s from position %d", w.name(), count(t.Size()), t.First())
		w.midway = true
		w.call(t)
		if w.run.died {
			return errDied
		}
		err := w.run.order.midway(w)
		if w.midway = false; err != nil || w.core != core {
			return err
		}
		out.Failed = out.Failed || t.Err() != nil
		w.core.Finished(t)
	}
	return nil
}

// call runs the handler. It may end the test, and with it the goroutine.
func (w *worker) call(t *cursor.Task) {
	w.run.inside = true
	defer func() { w.run.inside = false }()
	t.Run(w.run.ctx())
}

// report passes an update of the worker to the tree, and carries out what the tree decides.
func (w *worker) report(u *drive.Update) error {
	if u.Kind == drive.UpdateStoreFailed {
		return u.Err
	}
	return w.run.do(w.run.decides.Report(w.run.Now(), w.leaf, w.gen, u))
}
