package reactortest

import (
	"errors"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// freeRaces is how often a lost race is handled again at once: as the actors do.
const freeRaces = 3

// fail sees to an error of reading or committing.
func (w *worker) fail(out Outcome, err error) (Outcome, error) {
	var (
		handler *cursor.HandlerError
		commit  *cursor.CommitError
		key     *cursor.KeyError
		room    *cursor.ParkLimitError
	)
	out.Failed = true
	switch {
	case crashed(err):
		return out, err
	case errors.As(err, &handler):
		return out, w.failHandler(handler)
	case errors.Is(err, checkpoint.ErrFenced), errors.As(err, &key), errors.As(err, &room):
		return out, w.judged(supervision.Failure{Err: supervision.Halt(err)}, 0, 0)
	case errors.As(err, &commit) && commit.Event > 0 && !errors.Is(err, store.ErrDiskFull):
		return out, w.failRace(commit)
	}
	return out, w.judged(supervision.Failure{Err: err, NoAttempt: errors.Is(err, store.ErrDiskFull)}, 0, 0)
}

func (w *worker) failRace(commit *cursor.CommitError) error {
	w.trouble[commit.Event]++
	if w.trouble[commit.Event] <= freeRaces {
		w.runner.Retry(commit.Event)
		return nil
	}
	return w.judged(supervision.Failure{Err: commit, Event: uint64(commit.Event)}, commit.Event, 0)
}

// failHandler charges an event that is known, and lets a batch that failed as a whole be handled in halves.
func (w *worker) failHandler(err *cursor.HandlerError) error {
	d, directed := supervision.DirectiveOf(err)
	f := supervision.Failure{Err: err.Cause(), Event: uint64(err.Event), Panic: err.Panic, Stack: err.Stack}
	switch {
	case err.Event != 0 || directed && (d.Action == supervision.ActionHalt || d.NoAttempt):
		return w.judged(f, err.First, err.Crashes)
	case err.Panic && w.spec.Restart == supervision.Temporary:
		return w.judged(f, 0, 0)
	case err.Panic:
		w.limit, w.reason, w.attempt = max(1, err.Size/2), err.Cause(), 0
		w.group.restart(w.index, 0)
	case d.Delay > 0:
		w.waits[err.First] = wait{due: w.run.now.Add(d.Delay), reason: err}
	default:
		w.runner.Retry(err.First)
	}
	return nil
}

// judged does what the judge says about a failure.
func (w *worker) judged(f supervision.Failure, first store.Position, deaths int) error {
	if deaths > 0 {
		w.judge.Remember(f.Event, deaths)
	}
	if _, known := w.trouble[first]; !known {
		w.trouble[first] = 0
	}
	if w.runner != nil {
		w.limit = w.began
	}
	v := w.judge.Failed(w.run.now, f)
	switch v.Action {
	case supervision.ActionRetry:
		if due := w.run.now.Add(v.Delay); w.runner == nil {
			w.restart, w.reason, w.attempt = due, v.Reason, v.Attempt
		} else {
			w.waits[first] = wait{due: due, attempt: v.Attempt, reason: v.Reason}
		}
	case supervision.ActionPark, supervision.ActionSkip:
		return w.setAside(v, first, f.Panic)
	case supervision.ActionRestart:
		w.reason, w.attempt = v.Reason, v.Attempt
		w.group.restart(w.index, v.Delay)
	case supervision.ActionHalt:
		w.halt(v.Reason)
	case supervision.ActionEscalate:
		w.reason, w.attempt = v.Reason, v.Attempt
		w.group.escalate(w, v)
	}
	return nil
}

func (w *worker) setAside(v supervision.Verdict, first store.Position, panicked bool) error {
	set := w.runner.Park
	if v.Action == supervision.ActionSkip {
		set = w.runner.Skip
	}
	if err := set(first, v.Reason, v.Attempt); err != nil {
		w.halt(errors.Join(err, v.Reason))
		return nil
	}
	delete(w.trouble, first)
	runner := w.runner
	if _, err := w.runner.Commit(w.run.ctx()); err != nil {
		if _, err = w.fail(Outcome{}, err); err != nil || w.runner != runner {
			return err
		}
	}
	if panicked {
		w.reason, w.attempt = nil, 0
		w.group.restart(w.index, 0)
	}
	return nil
}

// halt ends the worker until it is resumed.
func (w *worker) halt(reason error) {
	if w.final != "" {
		return
	}
	w.close() // refused where another owner is the reason
	w.afresh()
	w.final, w.reason = Halted, reason
}

// end is what the handler asked for.
func (w *worker) end() {
	w.close()
	v := w.judge.Ended(w.run.now)
	w.reason, w.attempt = v.Reason, v.Attempt
	switch {
	case v.Reason == nil:
		w.afresh()
		w.final = Ended
	case v.Action == supervision.ActionRestart:
		w.stop(v.Delay)
	default:
		w.halt(v.Reason)
	}
}

// close notes that the incarnation ends in good order. What it cannot write is read again.
func (w *worker) close() {
	if w.runner != nil && w.runner.Progress().InFlight == 0 {
		_ = w.runner.Close(w.run.ctx())
	}
}

// stop ends the incarnation; the next one is started after a delay.
func (w *worker) stop(delay time.Duration) {
	if w.final != "" {
		return
	}
	w.afresh()
	w.restart = w.run.now.Add(delay)
}
