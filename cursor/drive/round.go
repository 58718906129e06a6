package drive

import (
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// round starts or stops an interval of leaves together. While it lasts each of its leaves points to
// it, so no leaf is in two.
type round struct {
	kind     roundKind
	stage    roundStage
	from, to int // half-open
	left     int // while it is stopping: the leaves from here on are down, or hang
	settling int // leaves that will be ready or down without another order
	delay    time.Duration
	timer    timer
}

// roundKind is what a round is for.
type roundKind uint8

const (
	first roundKind = iota // starts all leaves, which begin when Begin is called
	again                  // restarts some
	last                   // stops all
)

// newRound makes a round of an interval, in place of those that lie inside of it.
func (t *Tree) newRound(kind roundKind, from, to int) *round {
	r := &round{kind: kind, from: from, to: to, left: to}
	for i := from; i < to; i++ {
		l := &t.leaves[i]
		if l.round != nil {
			t.endRound(l.round, roundReplaced)
		}
		l.round = r
		r.settling += weight(l.phase)
	}
	return r
}

func (t *Tree) turn(r *round, by roundTurn) {
	next, allowed := r.stage.after(by)
	if !allowed {
		illegal("round", r.stage, by)
	}
	r.stage = next
}

// endRound lets the leaves out of a round; those that are ready begin, in order, if all of them
// are.
func (t *Tree) endRound(r *round, by roundTurn) {
	t.turn(r, by)
	t.timers.stop(&r.timer)
	for i := r.from; i < r.to; i++ {
		l := &t.leaves[i]
		l.round = nil
		if l.phase == leafReady && by != roundReplaced {
			t.begin(l)
		}
	}
}

// restart restarts what the strategy of its group says when a leaf has failed.
func (t *Tree) restart(now time.Time, l *leaf, delay time.Duration) {
	if t.groups[l.above].node.Strategy == supervision.OneForOne {
		t.restartAlone(now, l, delay)
		return
	}
	t.restartChildren(now, l.above, l.place, l, delay)
}

// restartAlone restarts one leaf. A round that stops it anyway starts it, too.
func (t *Tree) restartAlone(now time.Time, l *leaf, delay time.Duration) {
	if r := l.round; r != nil && r.stage == roundStopping {
		r.delay = max(r.delay, delay)
		return
	}
	l.delay = max(l.delay, delay)
	t.kill(now, l)
	t.proceed(now, l.round)
}

// restartChildren restarts what the strategy of a group says when a child of it has failed. That
// is a round, joined with those that it overlaps. Handlers are cancelled, but for those of the
// leaf that failed, if it is one: it has come to rest. Groups among the children restart with
// fresh judges for all that is below them.
func (t *Tree) restartChildren(now time.Time, number, place int, failed *leaf, delay time.Duration) {
	g := &t.groups[number]
	fromChild, toChild := g.node.Strategy.Affected(place, len(g.children))
	for _, child := range g.children[fromChild:toChild] {
		t.refresh(child)
	}
	r := t.join(g.children[fromChild].from, g.children[toChild-1].to, delay)
	for i := r.from; i < r.to; i++ {
		l := &t.leaves[i]
		t.callOff(l)
		if l != failed {
			t.abort(now, l)
		}
	}
	t.proceed(now, r)
}

// refresh has all that is below a child that is a group start with fresh judges.
func (t *Tree) refresh(child interval) {
	if child.group < 0 {
		return
	}
	for i := child.from; i < child.to; i++ {
		t.leaves[i].fresh = true
	}
	for i := child.group + 1; i < t.groups[child.group].next; i++ {
		t.groups[i].judge = nil
	}
}

// join makes a round that stops an interval and starts it again, in place of the rounds that
// overlap it: over all that these concern, with the longest delay. They are disjoint, so one pass
// finds them.
func (t *Tree) join(from, to int, delay time.Duration) *round {
	low, high := from, to
	for i := from; i < to; i++ {
		if r := t.leaves[i].round; r != nil {
			low, high, delay = min(low, r.from), max(high, r.to), max(delay, r.delay)
		}
	}
	r := t.newRound(again, low, high)
	r.delay = delay
	return r
}

// proceed takes a round as far as it can go now.
func (t *Tree) proceed(now time.Time, r *round) {
	if r == nil {
		return
	}
	if r.stage == roundStopping {
		t.stopNext(now, r)
	}
	if r.stage == roundAcquiring && r.settling == 0 {
		t.allReady(r)
	}
}

// stopNext drains the last leaf of a round that still has an actor, and goes to the next stage when
// there is none.
func (t *Tree) stopNext(now time.Time, r *round) {
	for ; r.left > r.from; r.left-- {
		l := &t.leaves[r.left-1]
		switch {
		case l.phase == leafHung:
		case l.phase == leafDown:
			if r.kind == last {
				t.showStopped(l)
			}
		case l.phase.leaves():
			return
		default:
			t.drain(now, l)
			return
		}
	}
	if r.kind == last {
		t.allStopped(r)
		return
	}
	t.turn(r, roundAllDown)
	if r.delay > 0 {
		t.timers.start(&r.timer, now.Add(r.delay), func(now time.Time) { t.startRound(now, r) })
		return
	}
	t.startRound(now, r)
}

func (t *Tree) startRound(now time.Time, r *round) {
	t.turn(r, roundDue)
	t.spawnAll(now, r)
}

// spawnAll starts the leaves of a round; they acquire side by side, so that they share syncs. What
// is over stays so, and a temporary worker that ran before is.
func (t *Tree) spawnAll(now time.Time, r *round) {
	for i := r.from; i < r.to; i++ {
		switch l := &t.leaves[i]; {
		case l.fate != live, l.phase != leafDown:
		case l.node.Spec.Restart == supervision.Temporary && l.acquired && l.cause == Restart:
			l.fate = halted
			t.show(l, Halted, errTemporary)
		default:
			t.spawn(l)
		}
	}
	t.proceed(now, r)
}

// allReady lets the leaves of a round begin; those of the first one wait for [Tree.Begin].
func (t *Tree) allReady(r *round) {
	if r.kind != first {
		t.endRound(r, roundAllReady)
		return
	}
	t.turn(r, roundHold)
	t.emit(AllStarted{Problems: t.problems})
}
