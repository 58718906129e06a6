package actors

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// freeRaces is how often an event is handled again at once because the state that its reactions expected was changed by
// somebody else; from then on it is an attempt at the event, so that an expectation that can never hold ends somewhere.
const freeRaces = 3

// fail decides what kind of failure err is, and asks the group what to do about it.
//
// What the handler says comes first: it may use stores and checkpoints of its own, and their errors mean nothing here.
func (w *worker) fail(c actor.Context, err error) {
	var (
		handler *cursor.HandlerError
		commit  *cursor.CommitError
		key     *cursor.KeyError
		room    *cursor.ParkLimitError
	)
	switch {
	case errors.As(err, &handler):
		w.failHandler(c, handler)
	case errors.Is(err, checkpoint.ErrFenced), errors.As(err, &key), errors.As(err, &room):
		w.report(c, 0, 0, supervision.Failure{Err: supervision.Halt(err)})
	case storeFailure(err):
		w.sys.fail(err) // which drains this worker too
	case w.ctx.Err() != nil: // cancelled by Stop: nothing is recorded
	case errors.Is(err, store.ErrDiskFull):
		w.report(c, 0, 0, supervision.Failure{Err: err, NoAttempt: true})
	case errors.As(err, &commit) && commit.Event > 0:
		w.failRace(c, commit)
	default: // reading failed
		w.report(c, 0, 0, supervision.Failure{Err: err})
	}
}

// failHandler charges an event that is known. A batch that failed as a whole is handled again in halves, and nothing is
// charged until the event stands alone; a handler that says when to try again, or never, is obeyed at once.
func (w *worker) failHandler(c actor.Context, err *cursor.HandlerError) {
	failure := supervision.Failure{Err: err.Cause(), Event: uint64(err.Event), Panic: err.Panic, Stack: err.Stack}
	directive, directed := supervision.DirectiveOf(err)
	if err.Event != 0 || directed && (directive.Action == supervision.ActionHalt || directive.NoAttempt) {
		w.report(c, err.First, err.Crashes, failure)
		return
	}
	limit := max(1, err.Size/2)
	if err.Panic {
		c.Send(w.parent, &failed{child: w.child, gen: w.gen, halve: true, limit: limit, failure: failure})
		return
	}
	w.sys.log.Warn("batch failed, worker halves it", workerField(w.plan), errorField(err), zap.Int("limit", limit))
	if directive.Delay == 0 {
		w.runner.Retry(err.First)
		return
	}
	w.wait(c, err.First, waiting{reason: err}, directive.Delay)
}

// reportCrash tells of a panic once everything else in hand is committed: the worker is started afresh.
func (w *worker) reportCrash(c actor.Context) {
	crashed := w.crashed
	w.crashed, w.resting = nil, true
	w.failHandler(c, crashed)
}

func (w *worker) failRace(c actor.Context, commit *cursor.CommitError) {
	races := w.trouble[commit.Event] + 1
	w.note(commit.Event, races)
	if races <= freeRaces {
		w.runner.Retry(commit.Event)
		return
	}
	w.report(c, commit.Event, 0, supervision.Failure{Err: commit, Event: uint64(commit.Event)})
}

// obey does what the group says about a failure. If the worker was moved meanwhile, the event does not wait for the verdict
// any more: it comes again, and so does its failure.
func (w *worker) obey(c actor.Context, v *verdict) {
	var err error
	switch moved := v.first > 0 && w.runner != nil && !w.runner.IsFailed(v.first); {
	case moved && v.restart:
		c.Send(w.parent, &again{child: w.child, gen: w.gen})
		return
	case moved:
		w.step(c)
		return
	}
	switch v.action {
	case supervision.ActionPark:
		err = w.runner.Park(v.first, v.reason, v.attempt)
	case supervision.ActionSkip:
		err = w.runner.Skip(v.first, v.reason, v.attempt)
	default:
		w.wait(c, v.first, waiting{reason: v.reason, attempt: v.attempt}, v.delay)
		return
	}
	if err != nil {
		w.report(c, 0, 0, supervision.Failure{Err: supervision.Halt(errors.Join(err, v.reason))})
		return
	}
	delete(w.trouble, v.first)
	w.commit(c)
	w.plan.cell.setAside(v)
	w.plan.cell.decided()
	if v.restart {
		c.Send(w.parent, &again{child: w.child, gen: w.gen})
		return
	}
	c.Send(c.Self(), &step{gen: w.gen})
}

// waiting is something that failed and is tried again after a delay.
type waiting struct {
	timer   *time.Timer
	reason  error
	attempt int
}

// wait goes on with what failed after a delay, without blocking the mailbox.
func (w *worker) wait(c actor.Context, first store.Position, what waiting, delay time.Duration) {
	if w.gone {
		return
	}
	root, self, gen := c.ActorSystem().Root, c.Self(), w.gen
	if former, ok := w.waits[first]; ok {
		former.timer.Stop()
	}
	if w.waits == nil {
		w.waits = make(map[store.Position]waiting)
	}
	what.timer = time.AfterFunc(delay, func() { root.Send(self, &retry{gen: gen, first: first}) })
	w.waits[first] = what
	w.showWait()
}

// showWait shows what the worker waits for first, unless it rests anyway or a lane is at work.
func (w *worker) showWait() {
	if w.pause == nil && len(w.waits) > 0 && (w.runner == nil || w.runner.Progress().InFlight == 0) {
		what := w.waits[slices.Min(slices.Collect(maps.Keys(w.waits)))]
		w.plan.cell.failing(Retrying, what.reason, what.attempt)
	}
}

// forgetWaits drops what waited in vain: after the worker was sent elsewhere it does not wait any more.
func (w *worker) forgetWaits() {
	for first, what := range w.waits {
		if first > 0 && !w.runner.IsFailed(first) {
			what.timer.Stop()
			delete(w.waits, first)
		}
	}
}

// retry tries again what failed.
func (w *worker) retry(c actor.Context, first store.Position) {
	delete(w.waits, first)
	switch {
	case w.runner == nil:
		w.acquire(c)
		return
	case first == 0:
		w.resting = false
		if w.runner.Dirty() {
			w.commit(c)
		}
	default:
		w.runner.Retry(first)
	}
	w.step(c)
}
