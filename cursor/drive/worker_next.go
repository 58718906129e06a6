package drive

import (
	"context"
	"time"
)

// turn is one call of Next; its methods are the rules.
type turn struct {
	*Worker
	ctx    context.Context //nolint:containedctx // for the length of a call
	now    time.Time
	intake Intake
}

// order is what a worker does before what. The first rule that applies says the step; after one
// that says stepAgain the first is tried again.
//
//nolint:gochecknoglobals // a table that nothing changes
var order = [...]func(turn) Step{
	turn.nextReport,
	turn.nextDelay,
	turn.nextAcquire,
	turn.nextCommit,
	turn.nextAnswer,
	turn.nextInFlight, // what follows begins when nothing is in flight, but for batches
	turn.nextDrain,
	turn.nextOperation, // before a crash: a pause must not come too late for one that always panics
	turn.nextUnpause,
	turn.nextCrash,
	turn.nextEnd,
	turn.nextFlush,
	turn.nextBatch,
	turn.nextPull,
}

// Next says what to do now. ctx is that of the handlers: when it has ended, what fails because of
// that is not recorded.
func (w *Worker) Next(ctx context.Context, now time.Time, intake Intake) Step {
	t := turn{Worker: w, ctx: ctx, now: now, intake: intake}
	w.pace.until = time.Time{}
	for i := 0; i < len(order); i++ {
		switch step := order[i](t); step.Kind {
		case stepNone:
		case stepAgain:
			i = -1
		default:
			w.show(step)
			return step
		}
	}
	step := Step{Kind: StepWait, Until: w.Due()}
	w.show(step)
	return step
}

func (t turn) nextReport() Step {
	if u := t.updates.take(); u != nil {
		return Step{Kind: StepReport, Update: u}
	}
	return Step{}
}

func (t turn) nextAcquire() Step {
	switch {
	case t.phase == workerDraining && t.engine == nil:
		t.enter(workerDown)
		return Step{Kind: StepDrained}
	case t.engine != nil:
		return Step{}
	case t.phase == workerAcquiring && !t.failing.block():
		return Step{Kind: StepAcquire}
	}
	return Step{Kind: StepWait, Until: t.Due()}
}

func (t turn) nextCommit() Step {
	if t.unsettled.commit != commitDue || t.phase == workerDown {
		return Step{}
	}
	t.unsettled.commit = commitOrdered
	return Step{Kind: StepCommit}
}

// open reports whether a batch may begin.
func (w *Worker) open() bool {
	return w.phase == workerWorking && !w.ordered && w.unsettled.commit != commitRefused
}

func (t turn) nextInFlight() Step {
	if !t.open() && (t.inFlight > 0 || t.unsettled.commit == commitOrdered) {
		return Step{Kind: StepWait, Until: t.Due()}
	}
	return Step{}
}

func (t turn) nextDrain() Step {
	switch {
	case t.phase == workerDraining && t.unsettled.unwritten(t.engine):
		return Step{Kind: stepAgain}
	case t.phase == workerDraining:
		return Step{Kind: StepFlush}
	case t.phase == workerDown && t.drain != noDrain:
		t.drain = noDrain
		return Step{Kind: StepDrained}
	case t.phase == workerDown:
		return Step{Kind: StepWait}
	}
	return Step{}
}

func (t turn) nextOperation() Step {
	if !t.ordered || t.phase == workerClosing {
		return Step{}
	}
	return t.change(StepOperate)
}

func (t turn) nextUnpause() Step {
	if t.phase != workerPaused || t.pause.Until.IsZero() || t.pause.Until.After(t.now) {
		return Step{}
	}
	return t.change(StepUnpause)
}

// change orders what may move the worker, or change what it reads: its pull is taken back first,
// and what is not written yet is written by Commit, not by the change.
func (t turn) change(kind StepKind) Step {
	switch {
	case t.pulling:
		t.pulling = false
		return Step{Kind: StepForget}
	case t.unsettled.unwritten(t.engine):
		return Step{Kind: stepAgain}
	}
	return Step{Kind: kind, Err: t.unsettled.refusal}
}

// nextCrash reports a panic once everything else is written: another incarnation takes over.
func (t turn) nextCrash() Step {
	switch {
	case t.phase != workerCrashed, t.unsettled.commit == commitRefused:
		return Step{}
	case t.unsettled.unwritten(t.engine):
		return Step{Kind: stepAgain}
	}
	t.enter(workerLeaving)
	t.fail(t.ctx, t.now, t.unsettled.takeCrash())
	return Step{Kind: stepAgain}
}

// nextEnd reports the end that the handler asked for, once its last batch is written. An order to
// drain does not wait for room.
func (t turn) nextEnd() Step {
	switch {
	case t.phase != workerEnding, t.unsettled.commit == commitRefused && t.drain == noDrain:
		return Step{}
	case t.unsettled.unwritten(t.engine):
		return Step{Kind: stepAgain}
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
	return Step{Kind: stepAgain}
}

func (t turn) nextFlush() Step {
	switch {
	case !t.flushing, t.unsettled.commit == commitOrdered, t.inFlight > 0:
		return Step{}
	case t.unsettled.commit == commitRefused:
		t.flushing = false
		return Step{}
	case t.unsettled.unwritten(t.engine):
		return Step{Kind: stepAgain}
	}
	return Step{Kind: StepFlush}
}

func (t turn) nextBatch() Step {
	switch {
	case !t.open(), t.intake == Finish:
		return Step{}
	case t.ahead.sent != nil:
		return t.nextAhead()
	}
	if t.fill == fillStale {
		if err := t.read(); err != nil {
			return t.broken(err)
		}
	}
	if t.intake == Take && t.pace.permits(t.now, !t.engine.Idle() || t.doubts != nil) {
		dirty := t.engine.Dirty()
		task, err := t.take()
		switch {
		case err != nil:
			return t.broken(err)
		case task != nil:
			t.inFlight++
			t.pace.handed(t.now, task.Size())
			return Step{Kind: StepRun, Task: task}
		case dirty && !t.engine.Dirty(): // what is held was written, as before each task of some workers
			t.fill = fillStale
			return Step{Kind: stepAgain}
		}
	}
	if t.unsettled.unwritten(t.engine) { // also beside lanes: what is held fills the window until it is written
		return Step{Kind: stepAgain}
	}
	return Step{}
}

// broken is an error of reading. A cancelled one is not recorded, so nothing is tried again, not
// even a probe that is due: it would be so at once, until the order to end comes.
func (t turn) broken(err error) Step {
	t.fail(t.ctx, t.now, err)
	switch {
	case len(t.updates) > 0:
		return Step{Kind: stepAgain}
	case t.ctx.Err() != nil:
		return Step{Kind: StepWait}
	}
	return Step{Kind: StepWait, Until: t.Due()}
}

func (t turn) nextPull() Step {
	if !t.open() || t.intake == Finish || t.fill != fillWhole || t.pulling {
		return Step{}
	}
	if t.engine.Dirty() || t.lanes <= 1 && !t.engine.Idle() {
		return Step{}
	}
	t.pulling = true
	return Step{Kind: StepPull}
}

// Due is when Next has something to do that it waits for, zero where that is no matter of time.
func (w *Worker) Due() time.Time {
	until := earlier(w.failing.due(), w.pace.until)
	if w.phase == workerPaused {
		until = earlier(until, w.pause.Until)
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
func (w *Worker) show(step Step) {
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
