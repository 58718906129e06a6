package drive

import (
	"context"
	"time"
)

// turn is what one call of Next is given.
type turn struct {
	ctx    context.Context //nolint:containedctx // for the length of a call
	now    time.Time
	intake Intake
}

// order is what a worker does before what. The first rule that applies says the step; after one
// that says stepAgain the first is tried again.
var order = [...]func(*Worker, turn) Step{
	(*Worker).nextReport,
	(*Worker).nextDelay,
	(*Worker).nextAcquire,
	(*Worker).nextCommit,
	(*Worker).nextInFlight, // what follows begins when nothing is in flight, but for batches
	(*Worker).nextDrain,
	(*Worker).nextOperation, // before a crash: a pause must not come too late for one that always panics
	(*Worker).nextUnpause,
	(*Worker).nextCrash,
	(*Worker).nextEnd,
	(*Worker).nextFlush,
	(*Worker).nextBatch,
	(*Worker).nextPull,
}

// Next says what to do now. ctx is that of the handlers: when it has ended, what fails because of
// that is not recorded.
func (w *Worker) Next(ctx context.Context, now time.Time, intake Intake) Step {
	t := turn{ctx: ctx, now: now, intake: intake}
	for i := 0; i < len(order); i++ {
		switch step := order[i](w, t); step.Kind {
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

func (w *Worker) nextReport(turn) Step {
	if len(w.updates) == 0 {
		return Step{}
	}
	r := w.updates[0]
	if w.updates = w.updates[1:]; len(w.updates) == 0 {
		w.updates = nil
	}
	return Step{Kind: StepReport, Update: r}
}

func (w *Worker) nextAcquire(turn) Step {
	switch {
	case w.phase == workerDraining && w.engine == nil:
		w.enter(workerDown)
		return Step{Kind: StepDrained}
	case w.engine != nil:
		return Step{}
	case w.phase == workerAcquiring && !w.blocked():
		return Step{Kind: StepAcquire}
	}
	return Step{Kind: StepWait, Until: w.Due()}
}

func (w *Worker) nextCommit(turn) Step {
	if w.commit != commitDue || w.phase == workerDown {
		return Step{}
	}
	w.commit = commitOrdered
	return Step{Kind: StepCommit}
}

// open reports whether a batch may begin.
func (w *Worker) open() bool {
	return w.phase == workerWorking && w.ops == opsNone && w.commit != commitRefused
}

func (w *Worker) nextInFlight(turn) Step {
	if !w.open() && (w.inFlight > 0 || w.commit == commitOrdered) {
		return Step{Kind: StepWait, Until: w.Due()}
	}
	return Step{}
}

func (w *Worker) nextDrain(turn) Step {
	switch {
	case w.phase == workerDraining && w.unwritten():
		return Step{Kind: stepAgain}
	case w.phase == workerDraining:
		return Step{Kind: StepFlush}
	case w.phase == workerDown && w.drain != noDrain:
		w.drain = noDrain
		return Step{Kind: StepDrained}
	case w.phase == workerDown:
		return Step{Kind: StepWait}
	}
	return Step{}
}

// unwritten reports whether something waits for a commit, which is due then. What was refused is
// not tried again here.
func (w *Worker) unwritten() bool {
	if w.commit != commitSettled || len(w.failures) == 0 && !w.engine.Dirty() {
		return false
	}
	w.commit = commitDue
	return true
}

func (w *Worker) nextOperation(turn) Step {
	if w.ops == opsNone || w.phase == workerClosing {
		return Step{}
	}
	return w.change(StepOperate)
}

func (w *Worker) nextUnpause(t turn) Step {
	if w.phase != workerPaused || w.pause.Until.IsZero() || w.pause.Until.After(t.now) {
		return Step{}
	}
	return w.change(StepUnpause)
}

// change orders what may move the worker, or change what it reads: its pull is taken back first,
// and what is not written yet is written by Commit, not by the change.
func (w *Worker) change(kind StepKind) Step {
	switch {
	case w.pull == pullOut:
		w.pull = pullNone
		return Step{Kind: StepForget}
	case w.unwritten():
		return Step{Kind: stepAgain}
	}
	return Step{Kind: kind, Err: w.refusal}
}

// nextCrash reports a panic once everything else is written: another incarnation takes over.
func (w *Worker) nextCrash(t turn) Step {
	switch {
	case w.phase != workerCrashed, w.commit == commitRefused:
		return Step{}
	case w.unwritten():
		return Step{Kind: stepAgain}
	}
	crash := w.crash
	w.crash = nil
	w.enter(workerLeaving)
	w.fail(t.ctx, t.now, crash)
	return Step{Kind: stepAgain}
}

// nextEnd reports the end that the handler asked for, once its last batch is written. An order to
// drain does not wait for room.
func (w *Worker) nextEnd(t turn) Step {
	switch {
	case w.phase != workerEnding, w.commit == commitRefused && w.drain == noDrain:
		return Step{}
	case w.unwritten():
		return Step{Kind: stepAgain}
	case w.commit == commitSettled: // in good order, or the next one would handle singly what follows
		_ = w.engine.Close(context.WithoutCancel(t.ctx))
	}
	w.report(Update{Kind: UpdateEnded})
	if w.drain == noDrain {
		w.enter(workerLeaving)
	} else {
		w.drain = drainFinal // what ends now does not end again
		w.enter(workerDraining)
	}
	return Step{Kind: stepAgain}
}

func (w *Worker) nextFlush(turn) Step {
	switch {
	case w.flush == flushNone, w.commit == commitOrdered, w.inFlight > 0:
		return Step{}
	case w.commit == commitRefused:
		w.flush = flushNone
		return Step{}
	case w.unwritten():
		return Step{Kind: stepAgain}
	}
	return Step{Kind: StepFlush}
}

func (w *Worker) nextBatch(t turn) Step {
	if !w.open() || t.intake == Finish {
		return Step{}
	}
	if w.fill == fillStale {
		whole, err := w.engine.Fill(t.ctx, w.upTo)
		if err != nil {
			return w.broken(t, err)
		}
		if w.fill = fillPart; whole {
			w.fill = fillWhole
		}
	}
	if t.intake == Take {
		task, err := w.engine.Take(t.ctx)
		switch {
		case err != nil:
			return w.broken(t, err)
		case task != nil:
			w.inFlight++
			return Step{Kind: StepRun, Task: task}
		}
	}
	if w.unwritten() { // also beside lanes: what is held fills the window until it is written
		return Step{Kind: stepAgain}
	}
	return Step{}
}

// broken is an error of reading. A cancelled one is not recorded, so nothing is tried again.
func (w *Worker) broken(t turn, err error) Step {
	w.fail(t.ctx, t.now, err)
	if len(w.updates) > 0 {
		return Step{Kind: stepAgain}
	}
	return Step{Kind: StepWait, Until: w.Due()}
}

func (w *Worker) nextPull(t turn) Step {
	if !w.open() || t.intake == Finish || w.fill != fillWhole || w.pull == pullOut {
		return Step{}
	}
	if w.engine.Dirty() || w.of.Lanes <= 1 && !w.engine.Idle() {
		return Step{}
	}
	w.pull = pullOut
	return Step{Kind: StepPull}
}

// Due is when Next has something to do that it waits for, zero where that is no matter of time.
func (w *Worker) Due() time.Time {
	var until time.Time
	for _, t := range w.failing {
		if t.step == troubleDelayed && (until.IsZero() || t.due.Before(until)) {
			until = t.due
		}
	}
	if w.phase == workerPaused && !w.pause.Until.IsZero() && (until.IsZero() || w.pause.Until.Before(until)) {
		until = w.pause.Until
	}
	return until
}

// show keeps what the outside sees of the worker when it is about to do a step.
func (w *Worker) show(step Step) {
	switch {
	case w.engine == nil:
		w.showDelay()
	case step.Kind == StepRun:
		w.state = Running
	case w.inFlight > 0, w.commit == commitOrdered, w.phase == workerReady:
	case w.phase == workerClosing:
		w.state = Stopped
	case w.phase == workerPaused:
		w.state = Paused
	case w.showDelay():
	case step.Kind == StepPull || step.Kind == StepWait && w.pull == pullOut:
		if w.phase == workerWorking && w.engine.Idle() && !w.judged() {
			w.state = Idle
		}
	}
}

// showDelay shows that the worker waits to try something again, if it does.
func (w *Worker) showDelay() bool {
	for _, t := range w.failing {
		if t.step == troubleDelayed {
			w.state = Retrying
			return true
		}
	}
	return false
}
