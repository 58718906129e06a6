package drive

import (
	"cmp"
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Incarnation says what one incarnation of a worker begins with.
type Incarnation struct {
	Lanes int // 0 and 1 mean one batch after the other
	Limit int // of its first batch, 0 for the size of the worker
	// Later says that another incarnation was before it: then its first progress is reported.
	Later bool
	// Failing are the events that failed before it and are not done.
	Failing []Failing
	// GivesUp says that the worker has a cursor.Worker.GiveUp.
	GivesUp bool
	// Policy of the worker, with what it inherits; nil means the defaults. It is not written to.
	Policy *supervision.Policy
	// Random is the source of jitter as in supervision.NewJudge; nil means none.
	Random func() float64
	// Limiter of the worker, see cursor.Worker.Limiter; nil means none. All incarnations share it.
	Limiter *rate.Limiter
}

// Failing is an event that failed and is not done, and how many attempts at it there were.
type Failing struct {
	Event    uint64
	Attempts int
}

// Worker decides what one incarnation of a worker does next. What happened is reported by its
// methods; then Next says what to do, until it says StepWait. It belongs to one goroutine.
type Worker struct {
	engine Engine // nil in workerAcquiring, and in what follows it without an engine
	lanes  int32
	limit  int32 // of its first batch
	later  bool  // its first progress is still to be reported
	phase  workerPhase
	drain  drainOrder
	fill   fillState

	pulling  bool              // the transport will answer by Available
	ordered  bool              // operators have orders
	flushing bool              // a flush is due
	rang     bool              // scheduled events were written, and no batch was tried since
	inFlight int32             // tasks that were ordered to run and are not finished
	state    State             // as the worker shows it
	gives    bool              // it gives events up in place of parking and skipping them
	upTo     store.Position    // there may be something up to here
	pause    *checkpoint.Pause // as it is in the store, nil for none
	full     error             // why nothing is read, in fillFull
	policy   *supervision.Policy
	random   func() float64
	doubts   *withholding // nil while nothing fails that may be an outage
	pace     pace

	ahead ahead

	serial    uint64 // of the last failure that was reported for a decision
	updates   updates
	unsettled unsettled
	failing   troubles
}

// drainOrder is whether the worker is to end.
type drainOrder uint8

const (
	noDrain    drainOrder = iota
	drainOnce             // another incarnation may follow
	drainFinal            // the system stops
)

// fillState is what is known of what the engine has read.
type fillState uint8

const (
	fillStale fillState = iota // something happened since the last Fill
	fillPart                   // the window is full
	fillFull                   // the next event has to be held, and there is no room for it
	fillWhole                  // everything up to upTo is read
)

//nolint:gochecknoglobals // nothing changes it
var noPolicy supervision.Policy

// NewWorker returns a worker that has nothing yet.
func NewWorker(of Incarnation) *Worker {
	w := &Worker{
		lanes: int32(of.Lanes), limit: int32(of.Limit), later: of.Later, gives: of.GivesUp,
		policy: cmp.Or(of.Policy, &noPolicy), random: of.Random,
	}
	w.pace.limiter = of.Limiter
	for _, one := range of.Failing {
		w.failing.at(store.Position(one.Event)).tries = one.Attempts
	}
	return w
}

// Acquired reports that the worker has an engine, and whether it is paused.
func (w *Worker) Acquired(e Engine, pause *checkpoint.Pause) {
	w.engine, w.pause = e, pause
	if w.phase == workerAcquiring {
		w.enter(workerReady)
	}
	w.updates.add(Update{Kind: UpdateAcquired})
}

// Refused reports that the worker could not acquire its checkpoint. The supervisor decides about
// event 0. A nil err says that the system stops, which cuts acquisitions short: that is no failure,
// nothing is recorded, and Drain follows.
func (w *Worker) Refused(err error) {
	w.serial++
	t := w.failing.at(0)
	t.step, t.serial = troubleJudged, w.serial
	if err != nil {
		w.updates.add(Update{Kind: UpdateAcquired, Serial: t.serial, Limit: int(w.limit), Err: err})
	}
}

// Begin lets a worker that has acquired its checkpoint take batches.
func (w *Worker) Begin() {
	switch {
	case w.phase != workerReady:
	case w.pause != nil:
		w.enter(workerPaused)
		w.state = Paused
	default:
		w.enter(workerWorking)
	}
}

// Available answers a pull: there may be something up to a position.
func (w *Worker) Available(upTo store.Position) {
	w.upTo, w.pulling, w.fill = upTo, false, fillStale
}

// Finished takes back a task that was run.
func (w *Worker) Finished(t Task) {
	if w.ahead.sent != nil {
		w.ahead.held = t
		return
	}
	w.engine.Finish(t)
	w.doubts.returned(t)
	w.inFlight--
	w.fill = fillStale
	w.unsettled.due()
	w.unsettled.nudge(t.Nudged())
	//nolint:errorlint // what a handler says may wrap another worker's failure
	failure, failed := t.Err().(*cursor.HandlerError)
	switch {
	case failed && failure.Panic:
		w.panicked(failure)
	case failed:
		w.unsettled.failures = append(w.unsettled.failures, failure)
	case t.Err() != nil: // cancelled: nothing is recorded
	case t.Action() != cursor.Continue:
		w.done()
	}
}

// panicked ends the incarnation. Only one panic does: those of other lanes, and one that meets an
// end of another reason, are attempts at their events like errors.
func (w *Worker) panicked(failure *cursor.HandlerError) {
	switch w.phase {
	case workerWorking, workerWaiting, workerEnding:
		if w.drain == noDrain {
			w.enter(workerCrashed)
			w.unsettled.rarely().crash = failure
			return
		}
	default: // it is about to end already
	}
	w.unsettled.failAsError(failure)
}

// done notes that the handler wants the worker to end. That outlasts an order to drain that was not
// because of it: the supervisor hears of it first, and starts no other incarnation.
func (w *Worker) done() {
	switch {
	case w.phase == workerWorking, w.phase == workerWaiting, w.phase == workerDraining && w.drain == drainOnce:
		w.enter(workerEnding)
	}
}

// Operate reports that operators have orders.
func (w *Worker) Operate() {
	w.ordered = true
	w.unsettled.retry()
}

// Operated reports that the orders were carried out.
func (w *Worker) Operated(ctx context.Context, now time.Time, o Operation) {
	w.ordered, w.fill, w.pause = false, fillStale, o.Pause
	if errors.Is(o.Err, checkpoint.ErrFenced) || storeFailed(o.Err) {
		w.fail(ctx, now, o.Err)
	}
	w.upTo = max(w.upTo, o.Head)
	if o.Moved {
		w.updates.add(Update{Kind: UpdateMoved})
	}
	w.forgive(o.Moved)
	switch w.phase {
	case workerWorking, workerWaiting, workerPaused:
		w.enter(w.resting())
	default: // it has not begun, or is about to end
	}
	switch {
	case w.pause != nil:
		w.state = Paused
	case w.state == Paused:
		w.state = Running
	}
}

// resting is the phase of a worker that has begun and is not about to end.
func (w *Worker) resting() workerPhase {
	switch {
	case w.pause != nil:
		return workerPaused
	case w.failing.block():
		return workerWaiting
	}
	return workerWorking
}

// Persist lets a worker that has nothing to do write how far it has read.
func (w *Worker) Persist() {
	w.flushing = w.flushing || w.pulling && w.inFlight == 0
}

// CloseIntake reports that the system stops, and Drain will follow: nothing new begins.
func (w *Worker) CloseIntake() {
	switch w.phase {
	case workerAcquiring, workerClosing, workerDraining, workerDown:
	default:
		w.unsettled.dropCrash()
		w.enter(workerClosing)
	}
}

// Drain orders the worker to end when what is in flight has ended. For good means that no other
// incarnation follows in this system.
func (w *Worker) Drain(forGood bool) {
	if w.phase == workerDown {
		return
	}
	w.drain = max(w.drain, drainOnce)
	if forGood {
		w.drain = drainFinal
	}
	w.unsettled.retry()
	if w.phase == workerEnding && !forGood { // the end is reported first
		return
	}
	w.unsettled.dropCrash()
	w.enter(workerDraining)
}

// Commit writes what is handled and decided, and then reports what failed: not before, since that
// may lie after what could not be written. It is the only place that commits for a worker, so that
// no commit of another cause can lose a failure. It returns how many events are done by it.
func (w *Worker) Commit(ctx context.Context, now time.Time) int {
	n, err := w.engine.Commit(ctx)
	w.unsettled.settle()
	w.fill = fillStale
	w.doubts.recovered(now)
	w.progressed(n)
	if err != nil {
		w.fail(ctx, now, err)
	}
	switch {
	case err != nil && unnamed(err):
		w.unsettled.refuse(err)
		return n
	case w.engine.Dirty(): // an event was refused; the rest is written without it
		w.unsettled.due()
		return n
	}
	w.unsettled.reportDecided(&w.updates)
	nudgeAll(w, now)
	for _, failure := range w.unsettled.takeFailures() {
		if w.engine.Failed(failure.First) { // or it will be met again, after what was refused
			w.fail(ctx, now, failure)
		}
	}
	w.doubts.settle(now)
	return n
}

// Flush writes how far the worker has read; where upTo is set it reads on first: nothing up to
// there concerns it, and nothing is queued. Where the worker drains, that closes its engine. What
// cannot be written is read again by the next incarnation.
func (w *Worker) Flush(ctx context.Context, now time.Time, upTo store.Position) error {
	w.flushing = false
	write := w.engine.Flush
	if w.phase == workerDraining {
		w.enter(workerDown)
		write = w.engine.Close
	}
	if w.unsettled.commit == commitRefused { // a commit here would not report what failed before it
		return w.unsettled.refusal
	}
	if upTo > 0 {
		if _, err := w.engine.Fill(ctx, upTo); err != nil {
			return err
		}
	}
	err := write(ctx)
	if errors.Is(err, checkpoint.ErrFenced) && w.phase != workerDown {
		w.fail(ctx, now, err)
	}
	return err
}

// State is what the worker shows of itself, as of the last call; Starting until it has begun. What
// its supervisor shows counts more.
func (w *Worker) State() State { return w.state }

// Fails reports whether something of a worker has failed and is not done, also while it is being
// tried again.
func Fails(w *Worker) bool { return len(w.failing) > 0 || w.doubts != nil && len(w.doubts.events) > 0 }
