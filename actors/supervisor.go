package actors

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor/drive"
)

// supervisor is the actor that owns the decisions about the tree. Workers report to it, and it
// carries out what the tree decides: orders go to the containers of the groups, states are
// published. All its fields belong to its goroutine, the tree included, so none needs a lock.
type supervisor struct {
	sys     *System
	root    *drive.Node
	tree    *drive.Tree
	groups  map[*drive.Node]*actor.PID // containers
	missing int                        // containers that have not arrived
	gens    []uint64                   // of the present incarnations, by leaf; 0 while there is none
	parents []*drive.Node              // the groups of the leaves
	timer   *time.Timer                // calls Tick
	due     time.Time                  // when, while the timer is set
}

func newSupervisor(sys *System, root *drive.Node) *supervisor {
	s := &supervisor{
		sys: sys, root: root, groups: make(map[*drive.Node]*actor.PID),
		gens: make([]uint64, len(sys.workers)), parents: make([]*drive.Node, len(sys.workers)),
		tree: drive.NewTree(root, drive.TreeOptions{KillTimeout: sys.options.KillTimeout, Random: rand.Float64}),
	}
	root.Each(func(group *drive.Node) {
		if group.IsLeaf() {
			return
		}
		s.missing++
		for _, child := range group.Children {
			if child.IsLeaf() {
				s.parents[child.Leaf] = group
			}
		}
	})
	return s
}

// Receive implements actor.Actor.
func (s *supervisor) Receive(c actor.Context) {
	defer s.sys.recoverPanic(c)
	now := time.Now()
	switch m := c.Message().(type) {
	case *actor.Started:
		s.start(c)
	case *arrived:
		s.groups[m.group] = m.pid
		if s.missing--; s.missing == 0 {
			s.do(c, s.tree.Start(now))
		}
	case *begin:
		s.do(c, s.tree.Begin())
	case *tick:
		s.due = time.Time{}
		s.do(c, s.tree.Tick(now))
	case *resume:
		effects, err := s.tree.Resume(now, m.leaf)
		s.do(c, effects)
		m.reply <- err
	case *report:
		s.do(c, s.tree.Report(now, m.leaf, m.gen, m.update))
	case *gone:
		s.gone(c, now, m)
	case *groupGone:
		s.groupGone(c, now, m.pid)
	case *crashedActor:
		s.do(c, s.tree.Crashed(now, m.leaf, m.gen, m.failure))
	case *drain:
		s.do(c, s.tree.Stop(now))
	case *actor.Stopping:
		s.stopTimer()
	}
}

func (s *supervisor) start(c actor.Context) {
	self := c.Self()
	props := newProps(func() actor.Actor { return newContainer(s.sys, s.root, self) })
	if _, err := c.SpawnNamed(props, s.root.Name); err != nil {
		s.sys.fail(fmt.Errorf("actors: spawn: %w", err))
	}
}

func (s *supervisor) gone(c actor.Context, now time.Time, m *gone) {
	if s.gens[m.leaf] == m.gen {
		s.gens[m.leaf] = 0
	}
	s.do(c, s.tree.Gone(now, m.leaf, m.gen))
}

// groupGone handles the end of a container. While its workers run only a panic of our code ends it.
func (s *supervisor) groupGone(c actor.Context, now time.Time, pid *actor.PID) {
	for leaf, group := range s.parents {
		if gen := s.gens[leaf]; gen > 0 && s.groups[group].Equal(pid) {
			s.gone(c, now, &gone{leaf: leaf, gen: gen})
		}
	}
}

// HandleFailure implements actor.SupervisorStrategy: the container of the top group has panicked.
func (s *supervisor) HandleFailure(
	_ *actor.ActorSystem, of actor.Supervisor, pid *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
	s.sys.crashed(pid, failureOf(reason))
	of.StopChildren(pid)
}

// do carries out effects, and sets the timer for what is due next.
func (s *supervisor) do(c actor.Context, effects []drive.Effect) {
	for _, e := range effects {
		s.one(c, e)
	}
	s.setTimer(c)
}

func (s *supervisor) one(c actor.Context, effect drive.Effect) {
	switch e := effect.(type) {
	case drive.Spawn:
		s.spawn(c, e)
	case drive.Begin:
		s.forward(c, e.Leaf, e.Gen, &begin{})
	case drive.Drain:
		s.forward(c, e.Leaf, e.Gen, &drain{})
	case drive.Kill:
		s.order(c, e.Leaf, &kill{node: s.sys.workers[e.Leaf], gen: e.Gen})
	case drive.Abort:
		s.sys.workers[e.Leaf].published.abort(e.Gen)
	case drive.Decide:
		s.forward(c, e.Leaf, e.Gen, &decision{gen: e.Gen, Decision: e.Decision})
	case drive.Show:
		s.sys.workers[e.Leaf].published.show(e)
	case drive.Hang:
		s.hang(s.sys.workers[e.Leaf])
	case drive.Note:
		logNote(s.sys.log, e)
	case drive.AllStarted:
		s.sys.started <- childErrors(e.Problems)
	case drive.AllStopped:
		c.Stop(c.Self())
	case drive.Fail:
		s.sys.fail(e.Err)
	}
}

func (s *supervisor) forward(c actor.Context, leaf int, gen uint64, message any) {
	s.order(c, leaf, &forward{node: s.sys.workers[leaf], gen: gen, message: message})
}

// order sends an order to the container of a leaf.
func (s *supervisor) order(c actor.Context, leaf int, message any) {
	c.Send(s.groups[s.parents[leaf]], message)
}

func (s *supervisor) spawn(c actor.Context, e drive.Spawn) {
	n := s.sys.workers[e.Leaf]
	if e.Cause == drive.Resumed {
		n.guarded.Store(false)
	}
	s.gens[e.Leaf] = e.Gen
	n.published.begin(e.Later)
	s.order(c, e.Leaf, &spawn{node: n, order: e})
}

// hang publishes that a handler does not return, with its stack.
func (s *supervisor) hang(n *node) {
	stack := stackOf(n.worker.Name)
	n.published.hang(stack)
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
	s.timer = time.AfterFunc(time.Until(at), func() { root.Send(self, &tick{}) })
}

func (s *supervisor) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer, s.due = nil, time.Time{}
}
