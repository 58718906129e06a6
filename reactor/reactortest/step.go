package reactortest

import (
	"errors"
	"slices"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
)

// step does what the worker's actor does between two messages. An error is a crash, or a fault of the test.
func (w *worker) step() (Outcome, error) {
	if err := w.run.tick(); err != nil {
		return Outcome{}, err
	}
	if w.starts() {
		return Outcome{Restarted: true}, w.start()
	}
	pause, err := w.pause()
	if err != nil || !w.due(pause) {
		return Outcome{}, err
	}
	if pause != nil { // its time is over
		if err := w.resume(); err != nil {
			return Outcome{}, err
		}
		return w.step()
	}
	w.release()
	if w.runner.Dirty() { // what could not be written before
		if out, err := w.commit(Outcome{}); err != nil || out.Failed || w.runner == nil {
			return out, err
		}
	}
	if err := w.take(); err != nil {
		return w.fail(Outcome{}, err)
	}
	return w.handle(w.choose())
}

// release lets what was waited for long enough be tried again.
func (w *worker) release() {
	for event, wait := range w.waits {
		if wait.due.After(w.run.now) {
			continue
		}
		delete(w.waits, event)
		if event > 0 {
			w.runner.Retry(event)
		}
	}
}

// take fills the lanes.
func (w *worker) take() error {
	if w.ending {
		return nil
	}
	if _, err := w.runner.Fill(w.run.ctx(), 0); err != nil {
		return err
	}
	for len(w.hand) < max(1, w.worker.Lanes) {
		t, err := w.runner.Next(w.run.ctx(), 0)
		if t == nil || err != nil {
			return err
		}
		w.hand = append(w.hand, t)
	}
	return nil
}

// choose says which of the lanes are done next: all, in the order of the log, or what the dice say.
func (w *worker) choose() []*cursor.Task {
	if w.run.random == nil || len(w.hand) < 2 {
		return w.hand
	}
	chosen := slices.Clone(w.hand)
	w.run.random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	return chosen[:1+w.run.random.IntN(len(chosen))]
}

// handle has tasks handled, and commits what comes of them.
func (w *worker) handle(tasks []*cursor.Task) (out Outcome, err error) {
	for _, t := range slices.Clone(tasks) {
		w.hand = slices.DeleteFunc(w.hand, func(other *cursor.Task) bool { return other == t })
		out.Handled += t.Size()
		w.call(t)
		if w.run.dying {
			return out, errDied
		}
		w.runner.Finish(t)
		w.tasks = append(w.tasks, t)
	}
	return w.commit(out)
}

// call runs the handler. It may end the test, and with it the goroutine.
func (w *worker) call(t *cursor.Task) {
	w.run.inside = true
	defer func() { w.run.inside = false }()
	t.Run(w.run.ctx())
}

// commit writes what is handled, and then sees to what failed: not before, since that may lie behind what could not be
// written.
func (w *worker) commit(out Outcome) (Outcome, error) {
	n, err := w.runner.Commit(w.run.ctx())
	out.Committed += n
	w.moved(n)
	if err != nil {
		runner := w.runner
		var commit *cursor.CommitError
		unwritten := errors.As(err, &commit) && commit.Event == 0
		if out, err = w.fail(out, err); err != nil || w.runner != runner || unwritten {
			return out, err
		}
	}
	tasks := w.tasks
	w.tasks = nil
	return w.settle(out, tasks)
}

// settle sees to the tasks that failed or want an end, the panics last: they end the incarnation.
func (w *worker) settle(out Outcome, tasks []*cursor.Task) (Outcome, error) {
	runner := w.runner
	var panicked *cursor.HandlerError
	for _, t := range tasks {
		var failure *cursor.HandlerError
		switch {
		case !errors.As(t.Err(), &failure):
			w.ending = w.ending || t.Action() != cursor.Continue
		case failure.Panic && panicked == nil:
			panicked, out.Failed = failure, true
		case w.runner.IsFailed(failure.First): // or it will be met again, behind what was refused
			out.Failed = true
			failed := *failure
			failed.Panic = false // of another lane: one of them ends the incarnation, and each is an attempt
			if err := w.failHandler(&failed); err != nil || w.runner != runner {
				return out, err
			}
		}
	}
	switch {
	case panicked != nil:
		return out, w.failHandler(panicked)
	case w.ending && len(w.hand) == 0:
		return out, w.end()
	}
	return out, nil
}

// moved tells the judge what was committed.
func (w *worker) moved(n int) {
	if n == 0 {
		return
	}
	w.attempt, w.reason = 0, nil
	if w.recovering {
		w.recovering = false
		_ = w.report(&drive.Update{Kind: drive.UpdateRecovered})
	}
	for event := range w.trouble {
		if event == 0 || w.runner.IsDone(event) {
			delete(w.trouble, event)
			_ = w.report(&drive.Update{Kind: drive.UpdatePassed, Event: event})
		}
	}
}
