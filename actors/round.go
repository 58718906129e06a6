package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// round is a restart of several children because one of them failed: all are stopped in reverse order, and when they are
// gone and the delay is over, all are started in order.
type round struct {
	number   uint64
	from, to int // half-open
	delay    time.Duration
	stopped  bool // all are gone, and the delay runs or is over
	reviving bool // they are being started
	missing  int  // children that are not ready
}

func (r *round) has(ch *child) bool { return ch.index >= r.from && ch.index < r.to }

// restart restarts what the strategy of the group says when a child has failed.
func (g *group) restart(c actor.Context, ch *child, delay time.Duration) {
	from, to := g.plan.strategy.Affected(ch.index, len(g.children))
	if to-from == 1 && ch.plan.cell != nil && (g.round == nil || !g.round.has(ch)) {
		g.stopChild(c, ch, comeBack, delay)
		return
	}
	if g.round != nil { // one round at a time: it takes in what fails meanwhile
		from, to, delay = min(from, g.round.from), max(to, g.round.to), max(delay, g.round.delay)
	}
	g.rounds++
	g.round = &round{number: g.rounds, from: from, to: to, delay: delay}
	for _, sibling := range g.children[from:to] {
		if sibling.timer != nil {
			sibling.timer.Stop()
		}
		if sibling != ch && !sibling.over() {
			sibling.plan.each(func(p *plan) { p.cell.abort() })
		}
	}
	g.stopRound(c)
}

// stopRound stops the last child of the round that still runs, and waits for the delay when there is none.
func (g *group) stopRound(c actor.Context) {
	if g.round == nil || g.round.stopped {
		return
	}
	for i := g.round.to - 1; i >= g.round.from; i-- {
		ch := g.children[i]
		if ch.pid == nil || ch.hung {
			continue
		}
		if ch.then == inRound {
			return // it is on its way
		}
		ch.then = inRound
		c.Send(ch.pid, &drain{})
		timeout := ch.plan.spec.StopTimeout
		if timeout == 0 {
			timeout = g.sys.options.KillTimeout
		}
		g.bound(c, ch, timeout)
		return
	}
	g.round.stopped = true
	root, self, number := c.ActorSystem().Root, c.Self(), g.round.number
	first := g.children[g.round.from]
	first.timer = time.AfterFunc(g.round.delay, func() { root.Send(self, &revive{round: number}) })
}

// bound sees to it that a child does not take longer to stop than it may. 0 means as long as it takes.
func (g *group) bound(c actor.Context, ch *child, timeout time.Duration) {
	if timeout <= 0 {
		return
	}
	root, self, index, gen := c.ActorSystem().Root, c.Self(), ch.index, ch.gen
	ch.timer = time.AfterFunc(timeout, func() { root.Send(self, &stopOver{child: index, gen: gen}) })
}

// stopOver cancels the handlers of a child that does not stop in time. In a round they were cancelled at once, and such a
// child is given up: it is never started again beside its own handler.
func (g *group) stopOver(c actor.Context, ch *child) {
	ch.plan.each(func(p *plan) { p.cell.abort() })
	if g.stopping || ch.then != inRound {
		return
	}
	ch.hung, ch.then = true, leave
	ch.plan.each(func(p *plan) {
		v := p.cell.view()
		if v.state != Running {
			return
		}
		stack := stackOf(p.worker.Name)
		p.cell.note(stack)
		p.cell.hang()
		p.cell.set(Halted, &HungError{Workers: []string{p.worker.Name}, Positions: positions(v.position), Stack: stack})
		g.sys.log.Error("handler does not return, worker halted", workerField(p))
	})
	g.stopRound(c)
}

// reviveRound starts what was stopped. What is halted, has ended or hangs is left as it is.
func (g *group) reviveRound(c actor.Context) {
	g.round.missing, g.round.reviving = 0, true
	for i := g.round.from; i < g.round.to; i++ {
		if ch := g.children[i]; ch.pid == nil && !ch.over() {
			g.round.missing++
			g.spawn(c, i)
		}
	}
	g.beginRound(c)
}

// beginRound lets the children go, in order, when all of them are ready.
func (g *group) beginRound(c actor.Context) {
	if g.round.missing > 0 {
		return
	}
	r := g.round
	g.round = nil
	for _, ch := range g.children[r.from:r.to] {
		if ch.pid != nil && !ch.hung {
			c.Send(ch.pid, &begin{})
		}
	}
}
