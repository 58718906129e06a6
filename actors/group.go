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
	faults   []error
	begun    bool
	stopping bool
	renewing bool   // it is stopped to be started again, and does not wait for who hangs
	rested   bool   // and has told the group above that only such are left
	left     int    // children from here on are stopped, while it is stopping
	awaited  int    // children that are
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

	awaited bool // the others begin when it is ready too
	rested  bool // a group that is stopped but for those that hang: it is renewed instead of spawned
}

// after says what to do once the actor of a child is gone.
type after uint8

const (
	leave    after = iota // nothing: it is halted, or has ended
	comeBack              // start it anew after the delay
	inRound               // the next one is stopped
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
		if ch := g.children[m.child]; !g.stopping && ch.gen == m.gen && ch.then == comeBack {
			g.revive(c, ch)
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
		g.drain(c, m)
	case *renew:
		g.renew(c)
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
			ch.judge.Succeeded(time.Now(), 0)
			ch.limit = 0
		}
	case *passed:
		if ch := g.current(m.child, m.gen); ch != nil {
			ch.judge.Passed(time.Now(), uint64(m.event))
			ch.limit = 0
		}
	case *anew:
		if ch := g.current(m.child, m.gen); ch != nil {
			g.judgeAnew(c, ch)
		}
	case *ended:
		if ch := g.current(m.child, m.gen); ch != nil {
			g.ended(c, ch)
		}
	case *stopOver:
		if ch := g.current(m.child, m.gen); ch != nil {
			g.stopOver(c, ch)
		}
	case *rested:
		if ch := g.current(m.child, m.gen); ch != nil {
			ch.rested = true
			g.gone(c, ch)
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

// start begins with all children.
func (g *group) start(c actor.Context) {
	for i, p := range g.plan.children {
		g.children = append(g.children, &child{index: i, plan: p})
	}
	g.startChildren(c)
}

// startChildren spawns all children; they acquire side by side, so that they share syncs, and wait for begin. What was halted
// or has ended before the group was restarted stays so.
func (g *group) startChildren(c actor.Context) {
	g.begun, g.faults = false, nil
	g.sit(c)
	for _, ch := range g.children {
		ch.judge, ch.limit = supervision.NewJudge(ch.plan.spec, rand.Float64), 0
		g.await(ch, g.revive(c, ch))
	}
	g.goOn(c)
}

// sit tells that the group takes care of its children now.
func (g *group) sit(c actor.Context) {
	for _, p := range g.plan.children {
		p.owner.take(c.Self(), g.gen)
	}
}

// revive starts a child that is stopped, and reports whether it will be ready. One that is over or hangs stays as it is, and
// so does a temporary one that ran before.
func (g *group) revive(c actor.Context, ch *child) bool {
	switch {
	case ch.over(), ch.hung:
		return false
	case ch.retired():
		ch.plan.cell.set(Halted, errTemporary)
		return false
	case ch.rested:
		ch.rested, ch.then = false, missing
		c.Send(ch.pid, &renew{})
		return true
	case ch.pid != nil:
		return false
	}
	g.spawn(c, ch.index)
	return true
}

// retired reports whether a worker must not be started once more.
func (ch *child) retired() bool {
	if ch.plan.cell == nil || ch.plan.spec.Restart != supervision.Temporary {
		return false
	}
	v := ch.plan.cell.view()
	return v.acquired && v.state != Starting
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
		limit, later, failing := ch.limit, ch.plan.cell.begin(), ch.judge.Failing()
		props = g.sys.props(func() actor.Actor {
			w := newWorker(g.sys, ch.plan, i, gen, self, limit, later)
			w.inherit(failing)
			return w
		})
	}
	pid, err := c.SpawnNamed(props, ch.plan.name)
	if err != nil {
		c.Send(self, &ready{child: i, gen: gen, err: fmt.Errorf("spawn: %w", err)})
		return
	}
	ch.pid = pid
	g.living[pid.Id] = ch
}

// await says whether a child is awaited: the others begin when it is ready, too.
func (g *group) await(ch *child, awaited bool) {
	switch {
	case awaited && !ch.awaited:
		g.awaited++
	case !awaited && ch.awaited:
		g.awaited--
	}
	ch.awaited = awaited
}

// goOn goes on when nobody is awaited any more: a new group tells the one above that it is ready, or why it is not; in any
// other one a round begins.
func (g *group) goOn(c actor.Context) {
	if g.awaited > 0 {
		return
	}
	switch r := g.round; {
	case r != nil && !r.started:
	case !g.begun:
		g.endRound()
		c.Send(g.parent, &ready{child: g.child, gen: g.gen, err: errors.Join(g.faults...)})
	case r != nil:
		g.beginRound(c)
	}
}

// ready takes note that a child has acquired what it needs, or could not. While the system starts that is a fault of the
// tree; later it is a failure of the child.
func (g *group) ready(c actor.Context, m *ready) {
	ch := g.children[m.child]
	if g.stopping || ch.gen != m.gen || ch.then != missing { // the last: it is being stopped
		return
	}
	switch {
	case g.sys.isStarting():
		g.addFault(ch, m.err)
		g.await(ch, false)
		g.goOn(c)
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
	switch {
	case ch.awaited:
		g.await(ch, false)
		g.goOn(c)
	case g.begun: // else it begins with the others
		c.Send(ch.pid, &begin{})
	}
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
		if ch.pid != nil && !ch.hung {
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
	if g.stopping && v.Action != supervision.ActionHalt {
		return
	}
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
	c.Send(ch.pid, &verdict{
		gen: ch.gen, first: first, action: v.Action, delay: v.Delay, attempt: v.Attempt, reason: v.Reason,
	})
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
		if ch.awaited {
			g.await(ch, false)
			g.goOn(c)
		}
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
	case g.stopping && v.Action == supervision.ActionRestart:
		c.Stop(ch.pid)
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

// judgeAnew forgets the failures of a child. The groups above do so too: what their children escalated is looked into.
func (g *group) judgeAnew(c actor.Context, ch *child) {
	ch.judge, ch.limit = supervision.NewJudge(ch.plan.spec, rand.Float64), 0
	c.Send(g.parent, &anew{child: g.child, gen: g.gen})
}

// enable starts a halted worker again, with a fresh judge.
func (g *group) enable(c actor.Context, name string) error {
	for _, ch := range g.children {
		if ch.plan.cell == nil || ch.plan.worker.Name != name {
			continue
		}
		switch {
		case ch.pid != nil && ch.hung:
			return fmt.Errorf("actors: worker %q: %w", name, ErrHung)
		case g.stopping:
			return errAgain // once the group is there again
		case !ch.plan.cell.reopen():
			return nil // somebody else was faster
		}
		g.judgeAnew(c, ch)
		ch.plan.suspicious.Store(false)
		g.sys.log.Info("worker enabled", workerField(ch.plan))
		switch {
		case g.round != nil && !g.round.started && g.round.has(ch):
			// the round starts it with the others
		case ch.pid != nil: // it is still on its way out
			ch.then, ch.delay = comeBack, 0
		default:
			g.spawn(c, ch.index)
		}
		return nil
	}
	return fmt.Errorf("%w: %q", ErrUnknownWorker, name)
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
	case ch.plan.cell == nil || g.sys.isStarting():
		g.sys.fail(failure.Err)
		ch.then = leave
		return
	}
	v := ch.judge.Failed(time.Now(), failure)
	then := comeBack
	if v.Action == supervision.ActionRestart {
		ch.restarting(v, failure.Stack)
	} else {
		ch.plan.cell.set(Halted, v.Reason)
		then = leave
	}
	if ch.then != inRound {
		ch.then, ch.delay = then, v.Delay
	}
}
