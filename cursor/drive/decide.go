package drive

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// troubled judges a failure, unless the incarnation is about to be replaced anyway.
func (l *leaf) troubled(u *Update) {
	switch {
	case l.fate != live, l.fresh:
	case l.round != nil && l.round.kind == first:
		l.tree.emit(Effect{Kind: Fail, Err: u.Failure.Err})
	default:
		l.failed(u)
	}
}

func (l *leaf) failed(u *Update) {
	l.limit = u.Limit
	if u.Kind == UpdateHalve && l.node.Worker.Restart != supervision.Temporary {
		l.halve(u)
		return
	}
	if u.Crashes > 0 {
		l.judged().Remember(u.Failure.Event, u.Crashes)
	}
	v := judge(l, u.Failure)
	if v.Action != supervision.ActionPark && v.Action != supervision.ActionSkip { // noted when it is written
		l.tree.note(l.node, v, u.Failure.Stack)
	}
	if l.tree.final != nil && v.Action != supervision.ActionHalt {
		return
	}
	if v.Action == supervision.ActionRestart && l.phase == leafStarting {
		v.Action = supervision.ActionRetry // to acquire: there is nothing that a fresh actor would not have
	}
	switch v.Action {
	case supervision.ActionRetry, supervision.ActionPark, supervision.ActionSkip:
		d := decided(v)
		d.First, d.Serial, d.Stack = u.First, u.Serial, u.Failure.Stack
		d.Restart = u.Failure.Panic && v.Action != supervision.ActionRetry
		if inFirst(l) || l.adding {
			l.show(Effect{State: Retrying, Err: v.Reason, Attempt: v.Attempt})
		}
		l.tree.emit(Effect{Kind: Decide, Leaf: l.number, Gen: l.gen, Decision: d})
	default:
		l.decide(v, u.Failure.Stack)
	}
}

// decide carries out a verdict that ends the incarnation.
func (l *leaf) decide(v supervision.Verdict, stack []byte) {
	switch v.Action {
	case supervision.ActionHalt:
		l.halt(v, stack)
	case supervision.ActionEscalate:
		l.showRestarting(v, stack)
		l.above.escalate(fmt.Errorf("child %q: %w", l.node.Path, v.Reason))
	default:
		l.showRestarting(v, stack)
		l.restart(v.Delay)
	}
}

// halve restarts a worker that panicked in a batch and did not say where: with half of it, and at
// once, since it is not known yet which event is to blame. A batch can be halved 16 times at most
// before something is committed or an event stands alone.
func (l *leaf) halve(u *Update) {
	if l.tree.final != nil {
		return
	}
	f := u.Failure
	l.tree.emit(Effect{Kind: Note, Note: NoteHalved, Path: l.node.Path, Err: f.Err, Limit: u.Limit, Stack: f.Stack})
	l.show(Effect{State: Restarting, Err: f.Err})
	l.restart(0)
}

// halt ends a leaf until it is resumed.
func (l *leaf) halt(v supervision.Verdict, stack []byte) {
	l.fate = halted
	l.show(Effect{State: Halted, Err: v.Reason, Stack: stack})
	if l.tree.final == nil || l.phase.leaves() { // else it is drained in its turn
		l.leave()
	}
	l.round.proceed()
}

// restart restarts what the strategy of its group says when a leaf has failed.
func (l *leaf) restart(delay time.Duration) {
	if l.above.node.Strategy == supervision.OneForOne {
		l.restartAlone(delay)
		return
	}
	l.above.restartChildren(l.place, l, delay)
}

// restartAlone restarts one leaf. A round that stops it anyway starts it, too.
func (l *leaf) restartAlone(delay time.Duration) {
	r := l.tree.join(alone, l.at, l.at+1, delay)
	l.abort()
	r.proceed()
}

// restartMe restarts a worker that panicked, after the event was parked or skipped.
func (l *leaf) restartMe(d Decision) {
	if l.fate == live && !l.fresh && l.tree.final == nil {
		l.show(Effect{State: Restarting, Err: d.Reason})
		l.restart(d.Delay)
	}
}

// decided notes what the worker has done about an event.
func (l *leaf) decided(d Decision) {
	l.tree.emit(Effect{Kind: Note, Note: NoteVerdict, Path: l.node.Path, Err: d.Reason, Stack: d.Stack, Decision: d})
}

// ended handles that the handler of an incarnation is done; it waits to be ended. That holds also
// where it was to be restarted with its siblings.
func (l *leaf) ended() {
	if l.fate != live {
		return
	}
	permanent := l.node.Worker.Restart == supervision.Permanent
	if !permanent {
		l.fate = ended
		l.tree.emit(Effect{Kind: Note, Note: NoteEnded, Path: l.node.Path})
		l.show(Effect{State: Ended})
	}
	l.leave()
	if permanent && l.tree.final == nil && !l.fresh {
		v := l.judged().Ended(l.tree.now)
		charge(l.tree, l.node, l.judge)
		l.tree.note(l.node, v, nil)
		if v.Action == supervision.ActionRestart {
			l.showRestarting(v, nil)
			l.restartAlone(v.Delay)
		} else {
			l.decide(v, nil)
		}
	}
	l.round.proceed()
}
