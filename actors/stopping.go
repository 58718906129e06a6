package actors

import (
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// halt ends all children for good.
func (g *group) halt(c actor.Context, reason error) {
	g.endRound()
	g.begun = true // nobody waits for all of them any more
	if g.rested {
		g.stopping, g.renewing, g.rested = false, false, false
		g.sit(c)
	}
	for _, ch := range g.children {
		ch.stopTimer()
		g.await(ch, false)
		ch.rested = false
		if ch.plan.cell == nil {
			g.haltGroup(c, ch, reason)
			continue
		}
		ch.plan.cell.set(Halted, reason)
		ch.plan.cell.abort()
		if !g.stopping {
			g.stopChild(c, ch, leave, 0)
		}
	}
}

// haltGroup ends all children of a child. It is there itself, for those that are resumed.
func (g *group) haltGroup(c actor.Context, ch *child, reason error) {
	if ch.pid != nil {
		c.Send(ch.pid, &halt{reason: reason})
		return
	}
	ch.plan.each(func(p *plan) { p.cell.set(Halted, reason) })
	if !g.stopping {
		g.spawn(c, ch.index)
	}
}

// stopChild stops the actor of a child, if there is one, and says what comes then. What a round or the group stops anyway is
// left to that.
func (g *group) stopChild(c actor.Context, ch *child, then after, delay time.Duration) {
	switch {
	case ch.then == inRound && ch.pid != nil:
		c.Stop(ch.pid)
		return
	case g.stopping, g.round != nil && !g.round.started && g.round.has(ch):
		return
	}
	ch.then, ch.delay = then, delay
	if ch.pid == nil {
		g.gone(c, ch)
		return
	}
	c.Stop(ch.pid)
}

// terminated takes note that the actor of a child is no more.
func (g *group) terminated(c actor.Context, who *actor.PID) {
	ch := g.living[who.Id]
	if ch == nil {
		return
	}
	delete(g.living, who.Id)
	ch.pid, ch.hung, ch.rested = nil, false, false
	if ch.plan.cell != nil { // all that the worker sent has arrived before
		c.Send(g.sys.storeActor, &forget{worker: who})
	}
	g.gone(c, ch)
}

// gone goes on when the actor of a child is no more, or only has those below it that hang.
func (g *group) gone(c actor.Context, ch *child) {
	if ch.then != comeBack || ch.rested || g.stopping {
		ch.stopTimer()
	}
	if g.stopping {
		g.stopNext(c)
		return
	}
	switch ch.then {
	case leave:
		if ch.awaited {
			g.await(ch, false)
			g.goOn(c)
		}
	case inRound:
		g.stopRound(c)
	case comeBack:
		root, self, index, gen := c.ActorSystem().Root, c.Self(), ch.index, ch.gen
		ch.stopTimer()
		ch.timer = time.AfterFunc(ch.delay, func() { root.Send(self, &respawn{child: index, gen: gen}) })
	case missing:
		g.sys.fail(fmt.Errorf("actors: child %q disappeared", ch.plan.path))
	}
}

// drain stops all children, and then the group.
func (g *group) drain(c actor.Context, m *drain) {
	g.stopping, g.renewing, g.rested, g.left = true, m.renew, false, len(g.children)
	g.endRound()
	g.stopNext(c)
}

// stopNext stops the last child that still runs, and the group itself when there is none. If it is to be started again it does
// not go while some hang: they must not be run beside themselves, and all others are not to wait for them.
func (g *group) stopNext(c actor.Context) {
	if g.rested {
		return
	}
	for ; g.left > 0; g.left-- {
		switch ch := g.children[g.left-1]; {
		case ch.pid == nil:
			ch.stopTimer()
			g.down(ch)
		case ch.hung, ch.rested:
		case ch.then == inRound:
			return // it is on its way
		default:
			g.stopAsOneOfMany(c, ch)
			return
		}
	}
	remain := slices.ContainsFunc(g.children, func(ch *child) bool { return ch.pid != nil })
	if remain && g.renewing {
		g.rested = true
		c.Send(g.parent, &rested{child: g.child, gen: g.gen})
		return
	}
	c.Stop(c.Self())
}

// down shows on a worker that has no actor that it is stopped for good, or with its group, which is about to be restarted.
func (g *group) down(ch *child) {
	switch cell := ch.plan.cell; {
	case cell == nil:
	case g.sys.isStopping():
		cell.set(Stopped, nil)
	default:
		cell.set(Restarting, cell.view().reason)
	}
}

// renew starts the children again, as a new group would.
func (g *group) renew(c actor.Context) {
	if !g.rested {
		return
	}
	g.stopping, g.renewing, g.rested = false, false, false
	g.startChildren(c)
}

func (g *group) stopTimers() {
	g.endRound()
	for _, ch := range g.children {
		ch.stopTimer()
	}
}

func (ch *child) stopTimer() {
	if ch.timer != nil {
		ch.timer.Stop()
		ch.timer = nil
	}
}
