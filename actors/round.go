package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/supervision"
)

// round is a restart of several children because one of them failed: all are stopped in reverse order, and when they are
// gone and the delay is over, all are started in order.
type round struct {
	number   uint64
	from, to int // half-open
	left     int // those from here on are stopped
	delay    time.Duration
	timer    *time.Timer
	started  bool // nobody is stopped any more
}

func (r *round) has(ch *child) bool { return ch.index >= r.from && ch.index < r.to }

// endRound forgets the round.
func (g *group) endRound() {
	if g.round != nil && g.round.timer != nil {
		g.round.timer.Stop()
	}
	g.round = nil
}

// restart restarts what the strategy of the group says when a child has failed.
func (g *group) restart(c actor.Context, ch *child, delay time.Duration) {
	if g.plan.strategy == supervision.OneForOne {
		g.restartOne(c, ch, delay)
		return
	}
	from, to := g.plan.strategy.Affected(ch.index, len(g.children))
	if g.round != nil { // one round at a time: it takes in what fails meanwhile
		from, to, delay = min(from, g.round.from), max(to, g.round.to), max(delay, g.round.delay)
	}
	g.endRound()
	g.rounds++
	g.round = &round{number: g.rounds, from: from, to: to, left: to, delay: delay}
	for _, sibling := range g.children[from:to] {
		g.await(sibling, false)
		if sibling.pid == nil {
			sibling.stopTimer()
			sibling.then = inRound
		}
		if (sibling != ch || ch.plan.cell == nil) && !sibling.over() {
			sibling.abort()
		}
	}
	g.stopRound(c)
}

// restartOne restarts a child alone. A group is stopped child by child.
func (g *group) restartOne(c actor.Context, ch *child, delay time.Duration) {
	if ch.plan.cell != nil || ch.pid == nil || ch.rested {
		g.stopChild(c, ch, comeBack, delay)
		return
	}
	ch.abort()
	ch.then, ch.delay = comeBack, delay
	c.Send(ch.pid, &drain{renew: true})
}

// abort ends the contexts of the handlers of a child.
func (ch *child) abort() {
	ch.plan.each(func(p *plan) { p.cell.abort() })
}

// stopRound stops the last child of the round that still runs, and waits for the delay when there is none.
func (g *group) stopRound(c actor.Context) {
	if g.round == nil || g.round.started {
		return
	}
	for r := g.round; r.left > r.from; r.left-- {
		switch ch := g.children[r.left-1]; {
		case ch.pid == nil, ch.hung, ch.rested:
		case ch.then == inRound:
			return // it is on its way
		default:
			g.stopAsOneOfMany(c, ch)
			return
		}
	}
	root, self, number := c.ActorSystem().Root, c.Self(), g.round.number
	if g.round.timer == nil {
		g.round.timer = time.AfterFunc(g.round.delay, func() { root.Send(self, &revive{round: number}) })
	}
}

// stopAsOneOfMany stops a child before the next one is. A group that is to be started again gives up those below it that do
// not stop in time, so it has no time of its own then.
func (g *group) stopAsOneOfMany(c actor.Context, ch *child) {
	again := !g.stopping || g.renewing
	ch.then = inRound
	c.Send(ch.pid, &drain{renew: again})
	switch timeout := ch.plan.spec.StopTimeout; {
	case !again:
		g.bound(c, ch, timeout)
	case ch.plan.cell == nil:
	case timeout == 0:
		g.bound(c, ch, g.sys.options.KillTimeout)
	default:
		g.bound(c, ch, timeout)
	}
}

// bound sees to it that a child does not take longer to stop than it may. 0 means as long as it takes.
func (g *group) bound(c actor.Context, ch *child, timeout time.Duration) {
	if timeout <= 0 {
		return
	}
	root, self, index, gen := c.ActorSystem().Root, c.Self(), ch.index, ch.gen
	ch.stopTimer()
	ch.timer = time.AfterFunc(timeout, func() { root.Send(self, &stopOver{child: index, gen: gen}) })
}

// stopOver cancels the handlers of a child that does not stop in time. Where it is to be started again they were cancelled at
// once, and such a child is given up: it is never started again beside its own handler.
func (g *group) stopOver(c actor.Context, ch *child) {
	ch.abort()
	if ch.then != inRound || ch.hung || ch.plan.cell == nil || g.stopping && !g.renewing {
		return
	}
	ch.hung, ch.then = true, leave
	p := ch.plan
	stack := stackOf(p.worker.Name)
	p.cell.note(stack)
	p.cell.hang()
	position := p.cell.view().position
	p.cell.set(Halted, &HungError{Workers: []string{p.worker.Name}, Positions: positions(position), Stack: stack})
	g.sys.log.Error("handler does not return, worker halted", workerField(p))
	if g.stopping {
		g.stopNext(c)
	} else {
		g.stopRound(c)
	}
}

// reviveRound starts what was stopped.
func (g *group) reviveRound(c actor.Context) {
	g.round.started = true
	for _, ch := range g.children[g.round.from:g.round.to] {
		g.await(ch, g.revive(c, ch))
	}
	g.goOn(c)
}

// beginRound lets the children of the round go, in order.
func (g *group) beginRound(c actor.Context) {
	members := g.children[g.round.from:g.round.to]
	g.endRound()
	for _, ch := range members {
		if ch.pid != nil && ch.then == missing {
			c.Send(ch.pid, &begin{})
		}
	}
}
