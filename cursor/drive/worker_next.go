package drive

import (
	"context"
	"time"
)

// turn is one call of Next; its methods next... are the rules. One that applies makes the step, and
// returns true. It stays on the stack: rules are called by name.
type turn struct {
	*Worker
	ctx    context.Context //nolint:containedctx // for the length of a call
	now    time.Time
	intake Intake
	step   Step
}

// rule tries the rules in their order, which is what a worker does before what, up to the first
// that applies.
func (t *turn) rule() bool {
	if t.nextReport() {
		return true
	}
	t.tryDelayed()
	return t.nextAcquire() ||
		t.nextCommit() ||
		t.nextAnswer() ||
		t.nextInFlight() || // what follows begins when nothing is in flight, but for batches
		t.nextDrain() ||
		t.nextOperation() || // before a crash: a pause must not come too late for one that always panics
		t.nextUnpause() ||
		t.nextCrash() ||
		t.nextEnd() ||
		t.nextFlush() ||
		t.nextRing() ||
		t.nextBatch() ||
		t.nextRing() ||
		t.nextPull() ||
		t.wait()
}

// Next says what to do now. ctx is that of the handlers: when it has ended, what fails because of
// that is not recorded.
func (w *Worker) Next(ctx context.Context, now time.Time, intake Intake) Step {
	t := turn{Worker: w, ctx: ctx, now: now, intake: intake}
	w.pace.until = time.Time{}
	for t.rule() && t.step.Kind == stepAgain {
		t.step = Step{}
	}
	w.show(&t.step)
	return t.step
}

// order makes the step one of a kind.
func (t *turn) order(kind StepKind) bool {
	t.step.Kind = kind
	return true
}

// again has the rules tried from the top, since something has changed.
func (t *turn) again() bool { return t.order(stepAgain) }

// wait makes the step one that lasts until something is due, or happens.
func (t *turn) wait() bool {
	t.step.Until = t.Due()
	return t.order(StepWait)
}

func (t *turn) nextReport() bool {
	t.step.Update = t.updates.take()
	return t.step.Update != nil && t.order(StepReport)
}

func (t *turn) nextAcquire() bool {
	switch {
	case t.phase == workerDraining && t.engine == nil:
		t.enter(workerDown)
		return t.order(StepDrained)
	case t.engine != nil:
		return false
	case t.phase == workerAcquiring && !t.failing.block():
		return t.order(StepAcquire)
	}
	return t.wait()
}

func (t *turn) nextCommit() bool {
	if t.unsettled.commit != commitDue || t.phase == workerDown {
		return false
	}
	t.unsettled.commit = commitOrdered
	return t.order(StepCommit)
}

// open reports whether a batch may begin.
func (w *Worker) open() bool {
	return w.phase == workerWorking && !w.ordered && w.unsettled.commit != commitRefused
}

func (t *turn) nextInFlight() bool {
	return !t.open() && (t.inFlight > 0 || t.unsettled.commit == commitOrdered) && t.wait()
}

func (t *turn) nextDrain() bool {
	switch {
	case t.phase == workerDraining && t.unsettled.unwritten(t.engine):
		return t.again()
	case t.phase == workerDraining:
		return t.order(StepFlush)
	case t.phase == workerDown && t.drain != noDrain:
		t.drain = noDrain
		return t.order(StepDrained)
	case t.phase == workerDown:
		return t.order(StepWait)
	}
	return false
}

func (t *turn) nextOperation() bool {
	return t.ordered && t.phase != workerClosing && t.change(StepOperate)
}

func (t *turn) nextUnpause() bool {
	if t.phase != workerPaused || t.pause.Until.IsZero() || t.pause.Until.After(t.now) {
		return false
	}
	return t.change(StepUnpause)
}

// change orders what may move the worker, or change what it reads: its pull is taken back first,
// and what is not written yet is written by Commit, not by the change.
func (t *turn) change(kind StepKind) bool {
	switch {
	case t.pulling:
		t.pulling = false
		return t.order(StepForget)
	case t.unsettled.unwritten(t.engine):
		return t.again()
	}
	t.step.Err = t.unsettled.refusal
	return t.order(kind)
}

// nextCrash reports a panic once everything else is written: another incarnation takes over.
func (t *turn) nextCrash() bool {
	switch {
	case t.phase != workerCrashed, t.unsettled.commit == commitRefused:
		return false
	case t.unsettled.unwritten(t.engine):
		return t.again()
	}
	t.enter(workerLeaving)
	t.fail(t.ctx, t.now, t.unsettled.takeCrash())
	return t.again()
}

// nextEnd reports the end that the handler asked for, once its last batch is written. An order to
// drain does not wait for room.
func (t *turn) nextEnd() bool {
	switch {
	case t.phase != workerEnding, t.unsettled.commit == commitRefused && t.drain == noDrain:
		return false
	case t.unsettled.unwritten(t.engine):
		return t.again()
	case t.unsettled.commit == commitSettled: // in good order, or the next one would handle singly what follows
		_ = t.engine.Close(context.WithoutCancel(t.ctx))
	}
	t.updates.add(Update{Kind: UpdateEnded})
	if t.drain == noDrain {
		t.enter(workerLeaving)
	} else {
		t.drain = drainFinal // what ends now does not end again
		t.enter(workerDraining)
	}
	return t.again()
}

func (t *turn) nextFlush() bool {
	switch {
	case !t.flushing, t.unsettled.commit == commitOrdered, t.inFlight > 0:
		return false
	case t.unsettled.commit == commitRefused:
		t.flushing = false
		return false
	case t.unsettled.unwritten(t.engine):
		return t.again()
	}
	return t.order(StepFlush)
}

func (t *turn) nextBatch() bool {
	switch {
	case !t.open(), t.intake == Finish:
		return false
	case t.ahead.sent != nil:
		return t.nextAhead()
	}
	if t.fill == fillStale {
		if err := t.read(); err != nil {
			return t.broken(err)
		}
	}
	if t.intake == Take && t.permits() {
		dirty := t.engine.Dirty()
		task, err := t.take()
		switch {
		case err != nil:
			return t.broken(err)
		case task != nil:
			return t.run(task)
		case dirty && !t.engine.Dirty(): // what is held was written, as before each task of some workers
			t.fill = fillStale
			return t.again()
		}
	}
	// Also beside lanes: what is held fills the window until it is written.
	return t.unsettled.unwritten(t.engine) && t.again()
}

// permits reports whether the rate permits a batch now.
func (t *turn) permits() bool {
	return t.pace.limiter == nil || t.pace.permits(t.now, !t.engine.Idle() || t.doubts != nil)
}

// run orders a batch that was taken.
func (t *turn) run(task Task) bool {
	t.inFlight++
	t.pace.handed(t.now, task.Size())
	if len(t.failing) > 0 {
		task.Tried(t.failing.tries)
	}
	t.step.Task = task
	return t.order(StepRun)
}

// broken is an error of reading. A cancelled one is not recorded, so nothing is tried again, not
// even a probe that is due: it would be so at once, until the order to end comes.
func (t *turn) broken(err error) bool {
	t.fail(t.ctx, t.now, err)
	switch {
	case len(t.updates) > 0:
		return t.again()
	case t.ctx.Err() != nil:
		return t.order(StepWait)
	}
	return t.wait()
}

func (t *turn) nextPull() bool {
	if !t.open() || t.intake == Finish || t.fill != fillWhole || t.pulling {
		return false
	}
	if t.engine.Dirty() || t.lanes <= 1 && !t.engine.Idle() {
		return false
	}
	t.pulling = true
	return t.order(StepPull)
}

// Due is when Next has something to do that it waits for, zero where that is no matter of time.
func (w *Worker) Due() time.Time {
	until := earlier(w.failing.due(), w.pace.until)
	switch {
	case w.phase == workerPaused:
		until = earlier(until, w.pause.Until)
	case w.open() && w.engine != nil:
		until = earlier(until, w.engine.Alarm())
	}
	probe := w.doubts.dueAt()
	if !probe.IsZero() && probe.Before(w.pace.until) { // it is handed over like any other event
		probe = w.pace.until
	}
	return earlier(until, probe)
}

// earlier returns the earlier of two moments; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// show keeps what the outside sees of the worker when it is about to do a step.
func (w *Worker) show(step *Step) {
	switch {
	case w.phase == workerWorking && w.doubts.reason() != nil:
		w.state = Outage
	case w.engine == nil && w.failing.delayed():
		w.state = Retrying
	case w.engine == nil:
	case step.Kind == StepRun:
		w.state = Running
	case w.inFlight > 0, w.unsettled.commit == commitOrdered, w.phase == workerReady:
	case w.phase == workerClosing:
		w.state = Stopped
	case w.phase == workerPaused:
		w.state = Paused
	case w.failing.delayed():
		w.state = Retrying
	case step.Kind == StepWait && !w.pace.until.IsZero():
		w.state = Throttled
	case w.fill == fillFull:
		w.state = Full
	case step.Kind == StepPull || step.Kind == StepWait && w.pulling:
		if w.phase == workerWorking && w.engine.Idle() && !w.failing.judged() {
			w.state = Idle
		}
	}
}
