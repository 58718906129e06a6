package reactortest

import (
	"errors"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
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
		return out, w.judged(drive.Update{Kind: drive.UpdateFailed, Failure: supervision.Failure{Err: supervision.Halt(err)}, Limit: w.began})
	case errors.As(err, &commit) && commit.Event > 0 && !errors.Is(err, store.ErrDiskFull):
		return out, w.failRace(commit)
	}
	failure := supervision.Failure{Err: err, NoAttempt: errors.Is(err, store.ErrDiskFull)}
	return out, w.judged(drive.Update{Kind: drive.UpdateFailed, Failure: failure, Limit: w.began})
}

func (w *worker) failRace(commit *cursor.CommitError) error {
	w.trouble[commit.Event]++
	if w.trouble[commit.Event] <= freeRaces {
		w.runner.Retry(commit.Event)
		return nil
	}
	failure := supervision.Failure{Err: commit, Event: uint64(commit.Event)}
	return w.judged(drive.Update{Kind: drive.UpdateFailed, Failure: failure, First: commit.Event, Limit: w.began})
}

// failHandler charges an event that is known, and lets a batch that failed as a whole be handled in halves.
func (w *worker) failHandler(err *cursor.HandlerError) error {
	d, directed := supervision.DirectiveOf(err)
	f := supervision.Failure{Err: err.Cause(), Event: uint64(err.Event), Panic: err.Panic, Stack: err.Stack}
	switch {
	case err.Event != 0 || directed && (d.Action == supervision.ActionHalt || d.NoAttempt):
		return w.judged(drive.Update{Kind: drive.UpdateFailed, Failure: f, First: err.First, Crashes: err.Crashes, Limit: w.began})
	case err.Panic:
		return w.judged(drive.Update{Kind: drive.UpdateHalve, Failure: f, Limit: max(1, err.Size/2)})
	case d.Delay > 0:
		w.waits[err.First] = wait{due: w.run.now.Add(d.Delay), reason: err}
	default:
		w.runner.Retry(err.First)
	}
	return nil
}
