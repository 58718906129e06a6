package drive

import (
	"errors"
	"slices"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// errTemporary is the reason of a temporary worker that went down with its siblings.
var errTemporary = errors.New("temporary worker was stopped with its siblings, never restarted")

// round starts or stops an interval of leaves together. While it lasts each of its leaves points to
// it, so no leaf is in two.
type round struct {
	tree     *Tree
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
	alone                  // restarts one leaf
	again                  // restarts some together
	last                   // stops all
)

// newRound makes a round of an interval, in place of those that lie inside of it.
func (t *Tree) newRound(kind roundKind, from, to int) *round {
	r := &round{tree: t, kind: kind, from: from, to: to, left: to}
	for _, l := range r.leaves() {
		if l.round != nil {
			l.round.end(roundReplaced)
		}
		l.round = r
		r.settling += weight(l)
	}
	return r
}

func (r *round) leaves() []*leaf { return r.tree.leaves[r.from:r.to] }

func (r *round) turn(by roundTurn) {
	next, allowed := roundTable[r.stage][by]
	if !allowed {
		illegal("round", r.stage, by)
	}
	r.stage = next
}

// end lets the leaves out of a round; those that are ready begin, in order, if all of them
// are.
func (r *round) end(by roundTurn) {
	r.turn(by)
	r.tree.timers.stop(&r.timer)
	for _, l := range r.leaves() {
		l.round = nil
		if l.phase == leafReady && by != roundReplaced {
			l.begin()
		}
	}
}

// proceed takes a round as far as it can go now.
func (r *round) proceed() {
	if r == nil {
		return
	}
	if r.stage == roundStopping {
		r.stopNext()
	}
	if r.stage == roundAcquiring && r.settling == 0 {
		r.allReady()
	}
}

// stopNext drains the last leaf of a round that still has an actor, and goes to the next stage when
// there is none.
func (r *round) stopNext() {
	for ; r.left > r.from; r.left-- {
		l := r.tree.leaves[r.left-1]
		switch {
		case l.phase == leafHung:
		case l.phase == leafDown:
			if r.kind == last {
				l.showStopped()
			}
		case l.phase.leaves():
			return
		default:
			l.drain()
			return
		}
	}
	if r.kind == last {
		r.allStopped()
		return
	}
	r.turn(roundAllDown)
	if r.delay > 0 {
		r.tree.timers.start(&r.timer, r.tree.now.Add(r.delay), r.start)
		return
	}
	r.start()
}

func (r *round) start() {
	r.turn(roundDue)
	r.spawnAll()
}

// spawnAll starts the leaves of a round; they acquire side by side, so that they share syncs. What
// is over stays so, and a temporary worker that ran before is.
func (r *round) spawnAll() {
	for _, l := range r.leaves() {
		switch {
		case l.fate != live, l.phase != leafDown:
		case l.node.Worker.Restart == supervision.Temporary && l.ran && l.cause == Restart:
			l.fate = halted
			l.show(Effect{State: Halted, Err: errTemporary})
		default:
			l.spawn()
		}
	}
	r.proceed()
}

// allReady lets the leaves of a round begin; those of the first one wait for [Tree.Begin].
func (r *round) allReady() {
	if r.kind != first {
		r.end(roundAllReady)
		return
	}
	r.turn(roundHold)
	r.judgeRefusals()
	r.tree.emit(Effect{Kind: AllStarted, Err: errors.Join(r.tree.problems...)})
}

// allStopped ends the last round once also those that hung are gone.
func (r *round) allStopped() {
	if !slices.ContainsFunc(r.tree.leaves, func(l *leaf) bool { return l.phase.lives() }) {
		r.end(roundAllGone)
		r.tree.emit(Effect{Kind: AllStopped})
	}
}
