package actors

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor/drive"
)

// supervisor is the actor that owns the decisions about the tree, and the parent of all workers.
// They report to it, and it carries out what the tree decides: it spawns, stops and instructs their
// actors, and publishes their states. All its fields belong to its goroutine, the tree included, so
// none needs a lock; so do pid and gen of the nodes.
type supervisor struct {
	sys    *System
	tree   *drive.Tree
	nodes  map[int]*node      // by their number in the tree
	living map[string]*node   // workers that have an actor, by its id
	added  map[int]chan error // for the answers about those that were added
	props  *actor.Props       // of all workers: its producer makes the one that next describes
	next   drive.Effect       // the Spawn under way
	timer  *time.Timer        // calls Tick; nil while nothing is due
	due    time.Time          // when, while the timer is set
}

func newSupervisor(sys *System, root *drive.Node) *supervisor {
	s := &supervisor{
		sys: sys, nodes: make(map[int]*node), living: make(map[string]*node), added: make(map[int]chan error),
		tree: drive.NewTree(root, drive.TreeOptions{
			KillTimeout: sys.options.KillTimeout, AllOrNothing: sys.options.AllOrNothing, Random: rand.Float64,
			Charged: sys.charges.set,
		}),
	}
	for _, n := range sys.workers.all() {
		s.nodes[n.Leaf] = n
	}
	s.props = newProps(&sys.dispatcher, func() actor.Actor { return newWorker(sys, s.nodes[s.next.Leaf], s.next) })
	return s
}

// Receive implements actor.Actor.
func (s *supervisor) Receive(c actor.Context) {
	defer s.sys.recoverPanic(c)
	now := s.sys.store.Now()
	switch m := c.Message().(type) {
	case *actor.Started:
		s.do(c, s.tree.Start(now))
	case *begin:
		s.do(c, s.tree.Begin())
	case *tick:
		s.due = time.Time{}
		s.do(c, s.tree.Tick(now))
	case *resume:
		effects, err := s.tree.Resume(now, m.leaf)
		s.do(c, effects)
		m.reply <- resumed{changed: len(effects) > 0, err: err}
	case *addition:
		s.add(c, now, m)
	case *removal:
		effects, err := s.tree.Remove(now, m.leaf)
		s.do(c, effects) // before the answer: a handler that hung and has returned is out by then
		m.reply <- err
	case *report:
		s.do(c, s.tree.Report(now, m.leaf, m.gen, m.update))
	case *gone:
		s.do(c, s.tree.Gone(now, m.leaf, m.gen))
	case *crashedActor:
		s.do(c, s.tree.Crashed(now, m.leaf, m.gen, m.failure))
	case *drain:
		s.do(c, s.tree.Stop(now))
	case *actor.Terminated:
		s.terminated(c, m.Who)
	case *actor.Stopping:
		s.stopTimer()
	}
}

// HandleFailure implements actor.SupervisorStrategy: the actor of a worker has panicked outside of
// a handler. It runs on the goroutine of the supervisor.
func (s *supervisor) HandleFailure(
	_ *actor.ActorSystem, of actor.Supervisor, pid *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
	if n := s.living[pid.Id]; n != nil {
		m := &crashedActor{incarnation: n.incarnation(), failure: s.sys.log.failureOf(reason)}
		s.sys.actors.Root.Send(s.sys.supervisor, m)
	}
	of.StopChildren(pid)
}

// do carries out effects, and sets the timer for what is due next.
func (s *supervisor) do(c actor.Context, effects []drive.Effect) {
	for _, e := range effects {
		s.one(c, e)
	}
	s.setTimer(c)
}

func (s *supervisor) one(c actor.Context, e drive.Effect) {
	switch e.Kind {
	case drive.Spawn:
		s.spawn(c, e)
	case drive.Begin:
		s.send(c, e, &begin{})
	case drive.Drain:
		s.send(c, e, &drain{})
	case drive.Decide:
		s.send(c, e, &decision{incarnation: incarnation{leaf: e.Leaf, gen: e.Gen}, Decision: e.Decision})
	case drive.Abort:
		s.nodes[e.Leaf].published.abort(e.Gen)
	case drive.Show:
		s.nodes[e.Leaf].published.show(e)
	case drive.Hang:
		s.hang(s.nodes[e.Leaf])
	case drive.Note:
		s.sys.log.note(e)
	case drive.AllStarted:
		s.sys.started <- childError(e.Err)
	case drive.Added:
		s.added[e.Leaf] <- e.Err
		delete(s.added, e.Leaf)
	case drive.Removed:
		s.remove(s.nodes[e.Leaf])
	case drive.AllStopped:
		c.Stop(c.Self())
	case drive.Fail:
		s.sys.fail(e.Err)
	}
}

// add starts a worker, which the tree answers later, or says why not.
func (s *supervisor) add(c actor.Context, now time.Time, m *addition) {
	if m.dry {
		m.reply <- s.tree.Admit(m.group, m.worker)
		return
	}
	leaf, effects, err := s.tree.Add(now, m.group, m.worker)
	if err != nil {
		m.reply <- err
		return
	}
	n := newNode(leaf)
	n.join(s.sys)
	s.nodes[n.Leaf], s.added[n.Leaf] = n, m.reply
	s.sys.workers.add(n, s.tree.Place(n.Leaf))
	s.do(c, effects)
}

// remove forgets a worker that has no actor any more, and answers those who wait for it.
func (s *supervisor) remove(n *node) {
	delete(s.nodes, n.Leaf)
	s.sys.charges.set(n.Node, nil)
	s.sys.workers.remove(n)
	n.published.remove()
}

// send passes a message to the incarnation that an effect is for, unless it has ended.
func (s *supervisor) send(c actor.Context, e drive.Effect, message any) {
	if n := s.nodes[e.Leaf]; n.gen == e.Gen && n.pid != nil {
		c.Send(n.pid, message)
	}
}

// spawn makes the actor of an incarnation. An error is reported as one that could not acquire its
// checkpoint, and has ended. Each has the name of the worker, since the library keeps something of
// every name: a late message for one incarnation may reach the next, which ignores it.
func (s *supervisor) spawn(c actor.Context, e drive.Effect) {
	n := s.nodes[e.Leaf]
	n.published.begin(e.Later)
	n.gen = e.Gen
	s.next = e // the actor is made before SpawnNamed returns
	pid, err := c.SpawnNamed(s.props, n.name())
	if err != nil {
		failed := &drive.Update{Kind: drive.UpdateAcquired, Err: fmt.Errorf("spawn: %w", err)}
		c.Send(c.Self(), &report{incarnation: n.incarnation(), update: failed})
		c.Send(c.Self(), &gone{incarnation: n.incarnation()})
		return
	}
	n.pid, s.living[pid.Id] = pid, n
}

// terminated reports the end of an incarnation to the tree, after all that it has sent.
func (s *supervisor) terminated(c actor.Context, who *actor.PID) {
	n := s.living[who.Id]
	if n == nil {
		return
	}
	c.Send(s.sys.storeActor, &forget{worker: who})
	c.Send(c.Self(), &gone{incarnation: n.incarnation()})
	n.pid, n.gen = nil, 0
	n.published.gone()
	delete(s.living, who.Id)
}

// hang publishes that a handler does not return, with its stack.
func (s *supervisor) hang(n *node) {
	n.published.hang(stackOf(n.name()))
	s.sys.log.Error("handler does not return, worker halted", workerField(n))
}

// setTimer has Tick called when the next thing is due.
func (s *supervisor) setTimer(c actor.Context) {
	at, waits := s.tree.Next()
	if !waits {
		s.stopTimer()
		return
	}
	if at.Equal(s.due) {
		return
	}
	s.stopTimer()
	s.due = at
	root, self := c.ActorSystem().Root, c.Self()
	s.timer = time.AfterFunc(timerFor(s.sys.store, at), func() { root.Send(self, &tick{}) })
}

func (s *supervisor) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer, s.due = nil, time.Time{}
}
