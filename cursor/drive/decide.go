package drive

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// errTemporary is the reason of a temporary worker that went down with its siblings.
var errTemporary = errors.New("temporary worker was stopped with its siblings, never restarted")

// troubled judges a failure, unless the incarnation is about to be replaced anyway.
func (t *Tree) troubled(now time.Time, l *leaf, u *Update) {
	switch {
	case l.fate != live, l.fresh:
	case l.round != nil && l.round.kind == first:
		t.emit(Fail{Err: u.Failure.Err})
	default:
		t.failed(now, l, u)
	}
}

func (t *Tree) failed(now time.Time, l *leaf, u *Update) {
	l.limit = u.Limit
	if u.Kind == UpdateHalve && l.node.Spec.Restart != supervision.Temporary {
		t.halve(now, l, u)
		return
	}
	if u.Crashes > 0 {
		t.judgeOf(l.node, &l.judge).Remember(u.Failure.Event, u.Crashes)
	}
	v := t.judgeOf(l.node, &l.judge).Failed(now, u.Failure)
	t.note(l.node, v, u.Failure.Stack)
	if t.final != nil && v.Action != supervision.ActionHalt {
		return
	}
	switch v.Action {
	case supervision.ActionRetry, supervision.ActionPark, supervision.ActionSkip:
		t.emit(Decide{Leaf: l.number, Gen: l.gen, Decision: Decision{
			First: u.First, Action: v.Action, Delay: v.Delay, Attempt: v.Attempt, Reason: v.Reason,
			Restart: u.Failure.Panic && v.Action != supervision.ActionRetry,
		}})
	default:
		t.decide(now, l, v, u.Failure.Stack)
	}
}

// decide carries out a verdict that ends the incarnation.
func (t *Tree) decide(now time.Time, l *leaf, v supervision.Verdict, stack []byte) {
	switch v.Action {
	case supervision.ActionHalt:
		t.halt(now, l, v, stack)
	case supervision.ActionEscalate:
		t.showRestarting(l, v, stack)
		t.escalate(now, l.above, fmt.Errorf("child %q: %w", l.node.Path, v.Reason))
	default:
		t.showRestarting(l, v, stack)
		t.restart(now, l, v.Delay)
	}
}

func (t *Tree) showRestarting(l *leaf, v supervision.Verdict, stack []byte) {
	if l.fate == live {
		l.shown = Restarting
		t.emit(Show{Leaf: l.number, State: Restarting, Reason: v.Reason, Attempt: v.Attempt, Stack: stack})
	}
}

// halve restarts a worker that panicked in a batch and did not say where: with half of it, and at
// once, since it is not known yet which event is to blame. A batch can be halved 16 times at most
// before something is committed or an event stands alone.
func (t *Tree) halve(now time.Time, l *leaf, u *Update) {
	if t.final != nil {
		return
	}
	f := u.Failure
	t.emit(Note{Kind: NoteHalved, Path: l.node.Path, Err: f.Err, Limit: u.Limit, Stack: f.Stack})
	t.show(l, Restarting, f.Err)
	t.restart(now, l, 0)
}

// halt ends a leaf until it is resumed.
func (t *Tree) halt(now time.Time, l *leaf, v supervision.Verdict, stack []byte) {
	l.fate = halted
	l.shown = Halted
	t.emit(Show{Leaf: l.number, State: Halted, Reason: v.Reason, Stack: stack})
	if t.final == nil || l.phase.leaves() { // else it is drained in its turn
		t.kill(now, l)
	}
	t.proceed(now, l.round)
}

// escalate judges a failure of a group, and carries the verdict out. Beyond the top nothing is left
// that could be restarted.
func (t *Tree) escalate(now time.Time, number int, reason error) {
	g := &t.groups[number]
	if g.above < 0 {
		t.emit(Note{Kind: NoteBeyondTop, Path: g.node.Path, Err: reason})
		t.haltAll(now, g, reason)
		return
	}
	v := t.judgeOf(g.node, &g.judge).Failed(now, supervision.Failure{Err: reason})
	t.note(g.node, v, nil)
	switch v.Action {
	case supervision.ActionHalt:
		t.haltAll(now, g, v.Reason)
	case supervision.ActionEscalate:
		t.escalate(now, g.above, fmt.Errorf("child %q: %w", g.node.Path, v.Reason))
	default:
		for i := g.from; i < g.to; i++ {
			t.showRestarting(&t.leaves[i], v, nil)
		}
		t.restartChildren(now, g.above, g.place, nil, v.Delay)
	}
}

// haltAll ends all leaves of a group until they are resumed.
func (t *Tree) haltAll(now time.Time, g *group, reason error) {
	for i := g.from; i < g.to; i++ {
		l := &t.leaves[i]
		if r := l.round; r != nil && r.from >= g.from && r.to <= g.to {
			t.endRound(r, roundReplaced)
		}
		if l.fate == live {
			l.fate = halted
			t.show(l, Halted, reason)
		}
		t.callOff(l)
		t.kill(now, l)
	}
	t.proceed(now, t.leaves[g.from].round) // of a round around the group
}

// callOff takes a leaf that waits for its own restart out of that.
func (t *Tree) callOff(l *leaf) {
	if l.phase == leafDelayed {
		t.timers.stop(&l.timer)
		t.move(l, leafCalledOff)
	}
}

// restartMe restarts a worker that panicked, after the event was parked or skipped.
func (t *Tree) restartMe(now time.Time, l *leaf) {
	if l.fate == live && !l.fresh && t.final == nil {
		t.show(l, Restarting, nil)
		t.restart(now, l, 0)
	}
}

// ended takes that the handler of an incarnation is done; it waits to be ended. That holds also
// where it was to be restarted with its siblings.
func (t *Tree) ended(now time.Time, l *leaf) {
	if l.fate != live {
		return
	}
	permanent := l.node.Spec.Restart == supervision.Permanent
	if !permanent {
		l.fate = ended
		t.emit(Note{Kind: NoteEnded, Path: l.node.Path})
		t.show(l, Ended, nil)
	}
	t.kill(now, l)
	if permanent && t.final == nil && !l.fresh {
		v := t.judgeOf(l.node, &l.judge).Ended(now)
		t.note(l.node, v, nil)
		if v.Action == supervision.ActionRestart {
			t.showRestarting(l, v, nil)
			t.restartAlone(now, l, v.Delay)
		} else {
			t.decide(now, l, v, nil)
		}
	}
	t.proceed(now, l.round)
}

// Crashed says that an actor has panicked outside of a handler, which only an error of ours can
// cause, and is ending.
func (t *Tree) Crashed(now time.Time, number int, gen uint64, f supervision.Failure) []Effect {
	l := t.reporter(number, gen)
	if l == nil {
		return nil
	}
	t.emit(Note{Kind: NoteCrashed, Path: l.node.Path, Err: f.Err, Stack: f.Stack})
	inFirst := l.round != nil && l.round.kind == first
	t.kill(now, l)
	switch {
	case t.final != nil, l.fate != live, l.fresh:
	case inFirst:
		l.fate = halted
		t.emit(Fail{Err: f.Err})
	default:
		v := t.judgeOf(l.node, &l.judge).Failed(now, f)
		t.note(l.node, v, f.Stack)
		t.decide(now, l, v, f.Stack)
	}
	return t.take()
}

// Resume starts a halted leaf again, with a fresh judge of it and of the groups above. One that is
// not halted stays as it is. It returns [ErrHung] or [ErrStopping] when the leaf cannot be started.
func (t *Tree) Resume(now time.Time, number int) ([]Effect, error) {
	l := &t.leaves[number]
	switch {
	case t.final != nil:
		return nil, ErrStopping
	case l.fate != halted:
		return nil, nil
	case l.phase == leafHung:
		return nil, ErrHung
	}
	t.forgive(l)
	l.fate, l.cause, l.delay = live, Resumed, 0
	inRound := l.round != nil && (l.round.stage == roundStopping || l.round.stage == roundWaiting)
	switch {
	case l.phase.lives(): // it is still on its way out
		l.fresh = true
		t.show(l, Restarting, nil)
	case inRound:
		t.show(l, Restarting, nil)
	default:
		t.spawn(l)
	}
	return t.take(), nil
}

// note puts a verdict into the log.
func (t *Tree) note(n *Node, v supervision.Verdict, stack []byte) {
	kind := NoteHalt
	switch v.Action {
	case supervision.ActionRetry:
		kind = NoteRetry
	case supervision.ActionRestart:
		kind = NoteRestart
	case supervision.ActionPark:
		kind = NotePark
	case supervision.ActionSkip:
		kind = NoteSkip
	case supervision.ActionEscalate:
		kind = NoteEscalate
	case supervision.ActionHalt:
	}
	t.emit(Note{Kind: kind, Path: n.Path, Err: v.Reason, Attempt: v.Attempt, Delay: v.Delay, Stack: stack})
}
