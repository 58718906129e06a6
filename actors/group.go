package actors

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// group is the actor that supervises the children of one group. A child that has to be restarted is stopped and, when it is
// gone and the delay is over, spawned anew: so a worker never runs beside its predecessor.
type group struct {
	sys      *System
	plan     *plan
	child    int // its place in the group above
	gen      uint64
	parent   *actor.PID
	children []*child
	living   map[string]*child // children that have an actor, by its id
	pending  int               // children that are not ready for the first time
	faults   []error
	begun    bool
	stopping bool
	round    *round // a restart of several children, or nil
	rounds   uint64
}

// child is what a group knows of one child over all its incarnations.
type child struct {
	index int
	plan  *plan
	pid   *actor.PID // nil while there is no actor
	gen   uint64     // of the actor, or of the one to come
	judge *supervision.Judge
	limit int // of the first batch of the next incarnation
	then  after
	delay time.Duration
	timer *time.Timer
	hung  bool // given up, although its actor is still there
}

// after says what to do once the actor of a child is gone.
type after uint8

const (
	leave    after = iota // nothing: it is halted, has ended, or is being stopped
	comeBack              // spawn it anew after the delay
	inRound               // the round goes on
	missing               // nobody asked it to go
)

func newGroup(sys *System, p *plan, index int, gen uint64, parent *actor.PID) *group {
	return &group{
		sys: sys, plan: p, child: index, gen: gen, parent: parent, living: make(map[string]*child),
	}
}

// Receive implements actor.Actor.
func (g *group) Receive(c actor.Context) {
	defer g.sys.armour(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		g.start(c)
	case *ready:
		g.ready(c, m)
	case *begin:
		g.begin(c)
	case *respawn:
		if !g.stopping && g.children[m.child].gen == m.gen && g.children[m.child].pid == nil {
			g.spawn(c, m.child)
		}
	case *revive:
		if g.round != nil && g.round.number == m.round && !g.stopping {
			g.reviveRound(c)
		}
	case *enable:
		m.reply <- g.enable(c, m.worker)
	case *halt:
		g.halt(c, m.reason)
	case *actor.Stopping:
		g.stopTimers()
	case *drain:
		g.stopping = true
		g.stopNext(c)
	case *actor.Terminated:
		g.terminated(c, m.Who)
	default:
		g.receiveFromChild(c, m)
	}
}

// receiveFromChild handles what counts only from the present incarnation of a child.
func (g *group) receiveFromChild(c actor.Context, message any) {
	switch m := message.(type) {
	case *failed:
		if ch := g.current(m.child, m.gen); ch != nil {
			g.failed(c, ch, m)
		}
	case *again:
		if ch := g.current(m.child, m.gen); ch != nil {
			ch.plan.cell.failing(Restarting, nil, 0)
			g.restart(c, ch, 0)
		}
	case *recovered:
		if ch := g.current(m.child, m.gen); ch != nil {
			ch.judge.Succeeded(time.Now(), uint64(m.event))
			ch.limit = 0
		}
	case *passed:
		if ch := g.current(m.child, m.gen); ch != nil {
			ch.judge.Passed(time.Now(), uint64(m.event))
			ch.limit = 0
		}
	case *ended:
		if ch := g.current(m.child, m.gen); ch != nil {
			g.ended(c, ch)
		}
	case *stopOver:
		if ch := g.current(m.child, m.gen); ch != nil {
			g.stopOver(c, ch)
		}
	}
}

// current gives a child if the generation is that of its actor.
func (g *group) current(index int, gen uint64) *child {
	if index < len(g.children) && g.children[index].gen == gen && g.children[index].pid != nil {
		return g.children[index]
	}
	return nil
}

// start spawns all children; they acquire side by side, so that they share syncs, and wait for begin. What was halted or
// has ended before the group was restarted stays so.
func (g *group) start(c actor.Context) {
	for i, p := range g.plan.children {
		p.owner.take(c.Self(), 0)
		g.children = append(g.children, &child{index: i, plan: p, judge: supervision.NewJudge(p.spec, rand.Float64)})
	}
	for i, ch := range g.children {
		if !ch.over() {
			g.pending++
			g.spawn(c, i)
		}
	}
	g.announce(c)
}

// over reports whether a worker has come to an end that only an operator takes back.
func (ch *child) over() bool {
	if ch.plan.cell == nil {
		return false
	}
	state := ch.plan.cell.view().state
	return state == Halted || state == Ended
}

func (g *group) spawn(c actor.Context, i int) {
	ch := g.children[i]
	ch.gen, ch.then = g.sys.generation(), missing
	gen, self := ch.gen, c.Self()
	var props *actor.Props
	if ch.plan.cell == nil {
		props = g.sys.props(func() actor.Actor { return newGroup(g.sys, ch.plan, i, gen, self) })
	} else {
		limit, later := ch.limit, ch.plan.cell.begin()
		props = g.sys.props(func() actor.Actor { return newWorker(g.sys, ch.plan, i, gen, self, limit, later) })
	}
	pid, err := c.SpawnNamed(props, ch.plan.name)
	if err != nil {
		c.Send(self, &ready{child: i, gen: gen, err: fmt.Errorf("spawn: %w", err)})
		return
	}
	ch.pid = pid
	g.living[pid.Id] = ch
}

// announce tells the group above once that all children are ready, or which are not.
func (g *group) announce(c actor.Context) {
	if g.pending == 0 && !g.begun {
		c.Send(g.parent, &ready{child: g.child, gen: g.gen, err: errors.Join(g.faults...)})
	}
}

func (g *group) ready(c actor.Context, m *ready) {
	if g.stopping || g.children[m.child].gen != m.gen {
		return
	}
	ch := g.children[m.child]
	switch {
	case !g.begun:
		g.addFault(ch, m.err)
		g.pending--
		g.announce(c)
		return
	case storeFailure(m.err):
		g.sys.fail(m.err)
		return
	case m.err != nil:
		full := errors.Is(m.err, store.ErrDiskFull)
		g.failed(c, ch, &failed{failure: supervision.Failure{Err: m.err, NoAttempt: full}, limit: ch.limit})
		return
	}
	ch.judge.Succeeded(time.Now(), 0)
	g.sys.log.Info("worker restarted", workerField(ch.plan))
	if g.round != nil && g.round.has(ch) {
		if g.round.reviving { // else it was started by a round before this one, and is about to be stopped
			g.round.missing--
			g.beginRound(c)
		}
		return
	}
	c.Send(ch.pid, &begin{})
}

// addFault keeps why a child cannot start. A group below names its children itself.
func (g *group) addFault(ch *child, err error) {
	if err != nil && ch.plan.cell != nil {
		err = &ChildError{Path: ch.plan.path, Err: err}
	}
	g.faults = append(g.faults, err)
}

// begin lets the children go, in order.
func (g *group) begin(c actor.Context) {
	if g.stopping {
		return // an actor has panicked meanwhile, and may be gone
	}
	g.begun = true
	for _, ch := range g.children {
		if ch.pid != nil {
			c.Send(ch.pid, &begin{})
		}
	}
}

// failed judges the failure of a child and does what the verdict says.
func (g *group) failed(c actor.Context, ch *child, m *failed) {
	ch.limit = m.limit
	if m.halve && ch.plan.spec.Restart != supervision.Temporary {
		g.halve(c, ch, m)
		return
	}
	if m.deaths > 0 {
		ch.judge.Remember(m.failure.Event, m.deaths)
	}
	v := ch.judge.Failed(time.Now(), m.failure)
	g.logVerdict(ch, v, m.failure.Stack)
	switch v.Action {
	case supervision.ActionRetry:
		g.retry(c, ch, m.first, v)
	case supervision.ActionPark, supervision.ActionSkip:
		c.Send(ch.pid, &verdict{
			gen: ch.gen, first: m.first, action: v.Action, attempt: v.Attempt, reason: v.Reason, restart: m.failure.Panic,
		})
	case supervision.ActionRestart:
		ch.restarting(v, m.failure.Stack)
		g.restart(c, ch, v.Delay)
	case supervision.ActionHalt:
		g.giveUp(c, ch, v.Reason, m.failure.Stack)
	case supervision.ActionEscalate:
		ch.restarting(v, m.failure.Stack)
		g.stopChild(c, ch, leave, 0)
		c.Send(g.parent, &failed{child: g.child, gen: g.gen, failure: supervision.Failure{
			Err: fmt.Errorf("child %q: %w", ch.plan.path, v.Reason),
		}})
	}
}

// retry lets a worker try again what failed. One that is not there, because it could not acquire, is started again.
func (g *group) retry(c actor.Context, ch *child, first store.Position, v supervision.Verdict) {
	if ch.plan.cell == nil {
		g.restart(c, ch, v.Delay)
		return
	}
	ch.plan.cell.failing(Retrying, v.Reason, v.Attempt)
	c.Send(ch.pid, &verdict{gen: ch.gen, first: first, action: v.Action, delay: v.Delay})
}

// restarting shows on the worker, or on all of a group, that it is about to be restarted.
func (ch *child) restarting(v supervision.Verdict, stack []byte) {
	ch.plan.each(func(p *plan) {
		p.cell.note(stack)
		p.cell.failing(Restarting, v.Reason, v.Attempt)
	})
}

// giveUp halts a worker, or all of a group.
func (g *group) giveUp(c actor.Context, ch *child, reason error, stack []byte) {
	if ch.plan.cell == nil {
		c.Send(ch.pid, &halt{reason: reason})
		return
	}
	ch.plan.cell.note(stack)
	ch.plan.cell.set(Halted, reason)
	g.stopChild(c, ch, leave, 0)
}

func (g *group) logVerdict(ch *child, v supervision.Verdict, stack []byte) {
	fields := []zap.Field{
		workerField(ch.plan), errorField(v.Reason), zap.Int("attempt", v.Attempt), zap.Duration("delay", v.Delay),
	}
	if len(stack) > 0 {
		fields = append(fields, zap.ByteString("stack", stack))
	}
	switch v.Action {
	case supervision.ActionRetry:
		g.sys.log.Warn("worker retries", fields...)
	case supervision.ActionRestart:
		g.sys.log.Warn("worker restarts", fields...)
	case supervision.ActionHalt:
		g.sys.log.Error("worker halted", fields...)
	case supervision.ActionPark:
		g.sys.log.Error("event parked", fields...)
	case supervision.ActionSkip:
		g.sys.log.Error("event skipped", fields...)
	case supervision.ActionEscalate:
		g.sys.log.Error("failure escalates", fields...)
	}
}

// halve restarts a worker that panicked in a batch and did not say where: with half of it, and at once, since nobody knows
// yet whom to blame. A batch can be halved 16 times at most before something is committed or an event stands alone.
func (g *group) halve(c actor.Context, ch *child, m *failed) {
	g.sys.log.Warn("batch panicked, worker restarts with half of it", workerField(ch.plan), errorField(m.failure.Err),
		zap.Int("limit", m.limit), zap.ByteString("stack", m.failure.Stack))
	ch.plan.cell.failing(Restarting, m.failure.Err, 0)
	g.restart(c, ch, 0)
}

// ended takes note that a worker is done. A permanent one is started again.
func (g *group) ended(c actor.Context, ch *child) {
	v := ch.judge.Ended(time.Now())
	switch {
	case v.Reason == nil:
		g.sys.log.Info("worker ended", workerField(ch.plan))
		ch.plan.cell.set(Ended, nil)
		g.stopChild(c, ch, leave, 0)
	case v.Action == supervision.ActionRestart:
		g.logVerdict(ch, v, nil)
		ch.restarting(v, nil)
		g.stopChild(c, ch, comeBack, v.Delay)
	default:
		g.logVerdict(ch, v, nil)
		g.giveUp(c, ch, v.Reason, nil)
	}
}

// enable starts a halted worker again, with a fresh judge.
func (g *group) enable(c actor.Context, name string) error {
	for _, ch := range g.children {
		if ch.plan.cell == nil || ch.plan.worker.Name != name {
			continue
		}
		switch {
		case g.stopping:
			return ErrStopped
		case ch.pid != nil && ch.hung:
			return fmt.Errorf("actors: worker %q: %w", name, ErrHung)
		case !ch.plan.cell.reopen():
			return nil // somebody else was faster
		}
		ch.judge, ch.limit = supervision.NewJudge(ch.plan.spec, rand.Float64), 0
		ch.plan.suspicious.Store(false)
		g.sys.log.Info("worker enabled", workerField(ch.plan))
		if ch.pid != nil { // it is still on its way out
			ch.then, ch.delay = comeBack, 0
			return nil
		}
		g.spawn(c, ch.index)
		return nil
	}
	return fmt.Errorf("%w: %q", ErrUnknownWorker, name)
}

// halt ends all children for good.
func (g *group) halt(c actor.Context, reason error) {
	g.round = nil
	for _, ch := range g.children {
		if ch.timer != nil {
			ch.timer.Stop()
		}
		if ch.plan.cell == nil {
			if ch.pid != nil {
				c.Send(ch.pid, &halt{reason: reason})
			}
			continue
		}
		ch.plan.cell.set(Halted, reason)
		ch.plan.cell.abort()
		g.stopChild(c, ch, leave, 0)
	}
}

// stopChild stops the actor of a child, if there is one, and says what comes then.
func (g *group) stopChild(c actor.Context, ch *child, then after, delay time.Duration) {
	ch.then, ch.delay = then, delay
	if ch.pid == nil {
		g.gone(c, ch)
		return
	}
	c.Stop(ch.pid)
}

// HandleFailure implements actor.SupervisorStrategy: an actor of ours has panicked outside a handler. It runs on the
// group's goroutine.
func (g *group) HandleFailure(
	_ *actor.ActorSystem, s actor.Supervisor, pid *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
	if ch := g.living[pid.Id]; ch != nil {
		g.crashed(ch, crash(reason))
	}
	s.StopChildren(pid)
}

// crashed judges a panic of our own code; the actor is being stopped.
func (g *group) crashed(ch *child, failure supervision.Failure) {
	g.sys.log.Error("actor panicked", workerField(ch.plan), errorField(failure.Err), zap.ByteString("stack", failure.Stack))
	switch {
	case g.stopping:
		return
	case ch.plan.cell == nil || !g.begun:
		g.sys.fail(failure.Err)
		ch.then = leave
		return
	}
	v := ch.judge.Failed(time.Now(), failure)
	if v.Action != supervision.ActionRestart {
		ch.plan.cell.set(Halted, v.Reason)
		ch.then = leave
		return
	}
	ch.restarting(v, failure.Stack)
	ch.then, ch.delay = comeBack, v.Delay
}

func (g *group) terminated(c actor.Context, who *actor.PID) {
	ch := g.living[who.Id]
	if ch == nil {
		return
	}
	delete(g.living, who.Id)
	ch.pid, ch.hung = nil, false
	if ch.plan.cell != nil { // all that the worker sent has arrived before
		c.Send(g.sys.storeActor, &forget{worker: who})
	}
	if g.stopping {
		g.stopNext(c)
	} else {
		g.gone(c, ch)
	}
}

// gone goes on when the actor of a child is no more.
func (g *group) gone(c actor.Context, ch *child) {
	switch ch.then {
	case leave, inRound:
	case comeBack:
		root, self, index, gen := c.ActorSystem().Root, c.Self(), ch.index, ch.gen
		ch.timer = time.AfterFunc(ch.delay, func() { root.Send(self, &respawn{child: index, gen: gen}) })
	case missing:
		g.sys.fail(fmt.Errorf("actors: child %q disappeared", ch.plan.path))
	}
	if g.round != nil && g.round.has(ch) { // whatever became of it: the round waits for it no more
		g.stopRound(c)
	}
}

// stopNext stops the last child that still runs, and the group itself when there is none.
func (g *group) stopNext(c actor.Context) {
	for len(g.children) > 0 {
		ch := g.children[len(g.children)-1]
		if ch.timer != nil {
			ch.timer.Stop()
		}
		if ch.pid != nil {
			ch.then = leave
			c.Send(ch.pid, &drain{})
			g.bound(c, ch, ch.plan.spec.StopTimeout)
			return
		}
		if ch.plan.cell != nil {
			ch.plan.cell.set(Stopped, nil)
		}
		g.children = g.children[:len(g.children)-1]
	}
	c.Stop(c.Self())
}

func (g *group) stopTimers() {
	for _, ch := range g.children {
		if ch.timer != nil {
			ch.timer.Stop()
		}
	}
}
