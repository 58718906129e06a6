package drive

import "time"

// Stop drains all leaves in reverse, each when the one after it is gone, and starts none any more.
// [AllStopped] says that all are gone; how long to wait for that is up to the caller.
func (t *Tree) Stop(now time.Time) []Effect {
	if t.final != nil {
		return nil
	}
	t.final = t.newRound(last, 0, len(t.leaves))
	for i := range t.leaves {
		t.callOff(&t.leaves[i])
	}
	t.proceed(now, t.final)
	return t.take()
}

// allStopped ends the last round once also those that hung are gone.
func (t *Tree) allStopped(r *round) {
	if t.alive == 0 {
		t.endRound(r, roundAllGone)
		t.emit(AllStopped{})
	}
}

// drain ends an incarnation in good order. With the system its handlers have until its StopTimeout,
// and those of a group until that of the group, before they are cancelled; 0 means as long as it
// takes. For a restart they are cancelled already, unless it is the leaf that failed.
func (t *Tree) drain(now time.Time, l *leaf) {
	if l.aborted {
		t.move(l, leafCancel)
	} else {
		t.move(l, leafDrained)
	}
	t.emit(Drain{Leaf: l.number, Gen: l.gen})
	t.bound(now, l)
	if t.final != nil {
		t.boundGroups(now, l)
	}
}

// bound limits how long a leaf that was told to end may take until the next step: until its
// handlers are cancelled, or until it counts as hung. When the system stops it never does.
func (t *Tree) bound(now time.Time, l *leaf) {
	timeout := l.node.Spec.StopTimeout
	switch {
	case timeout == 0 && t.final != nil, l.phase == leafCancelled && t.final != nil:
		t.timers.stop(&l.timer)
		return
	case timeout == 0:
		timeout = t.options.KillTimeout
	}
	t.timers.start(&l.timer, now.Add(timeout), func(now time.Time) { t.stopOver(now, l) })
}

// boundGroups limits how long the groups of a leaf may take to stop with the system, beginning with
// the first of their leaves that does. The top has the bounds of the system instead.
func (t *Tree) boundGroups(now time.Time, l *leaf) {
	for n := l.above; n > 0; n = t.groups[n].above {
		g := &t.groups[n]
		if g.node.Spec.StopTimeout == 0 || g.timer.due != nil {
			continue
		}
		t.timers.start(&g.timer, now.Add(g.node.Spec.StopTimeout), func(now time.Time) {
			for i := g.from; i < g.to; i++ {
				t.abort(now, &t.leaves[i])
			}
		})
	}
}

// stopOver takes the next step with a leaf that did not end in time.
func (t *Tree) stopOver(now time.Time, l *leaf) {
	switch {
	case l.phase == leafDraining:
		t.abort(now, l)
	case t.final == nil:
		t.move(l, leafTimedOut)
		if l.fate == live {
			l.fate = halted
		}
		t.emit(Hang{Leaf: l.number, Gen: l.gen})
		t.proceed(now, l.round)
	}
}

// abort ends the contexts of the handlers of a leaf.
func (t *Tree) abort(now time.Time, l *leaf) {
	if !l.phase.lives() || l.aborted {
		return
	}
	l.aborted = true
	t.emit(Abort{Leaf: l.number, Gen: l.gen})
	if l.phase == leafDraining {
		t.move(l, leafCancel)
		t.bound(now, l)
	}
}

// kill ends an incarnation that has come to rest, or is not to finish what it has in flight.
func (t *Tree) kill(now time.Time, l *leaf) {
	if !l.phase.lives() || l.phase == leafHung {
		return
	}
	t.abort(now, l)
	t.emit(Kill{Leaf: l.number, Gen: l.gen})
	if l.phase != leafCancelled {
		t.move(l, leafCancel)
		t.bound(now, l)
	}
}
