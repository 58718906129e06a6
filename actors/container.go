package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor/drive"
)

// container is the actor of a group: the parent of its workers and of the groups below it. It
// carries out what the supervisor orders, in the order of the orders, and reports what ends. It
// decides nothing. It is spawned once, and lives until the system has stopped. All its fields, and
// pid and gen of its nodes, belong to its goroutine.
type container struct {
	sys        *System
	group      *drive.Node
	supervisor *actor.PID
	living     map[string]*node // workers that have an actor, by its id
	props      *actor.Props     // of all workers: its producer makes the one in next
	next       *spawn           // nil except while spawn runs
}

func newContainer(sys *System, group *drive.Node, supervisor *actor.PID) *container {
	g := &container{sys: sys, group: group, supervisor: supervisor, living: make(map[string]*node)}
	g.props = newProps(func() actor.Actor { return newWorker(sys, g.next.node, supervisor, g.next.order) })
	return g
}

// Receive implements actor.Actor.
func (g *container) Receive(c actor.Context) {
	defer g.sys.recoverPanic(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		g.start(c)
	case *spawn:
		g.spawn(c, m)
	case *forward:
		if m.node.pid != nil && m.node.gen == m.gen {
			c.Send(m.node.pid, m.message)
		}
	case *kill:
		if m.node.pid != nil && m.node.gen == m.gen {
			c.Stop(m.node.pid)
		}
	case *actor.Terminated:
		g.terminated(c, m.Who)
	}
}

// start spawns the groups below, so that they are there before the first order.
func (g *container) start(c actor.Context) {
	for _, child := range g.group.Children {
		if child.IsLeaf() {
			continue
		}
		props := newProps(func() actor.Actor { return newContainer(g.sys, child, g.supervisor) })
		if _, err := c.SpawnNamed(props, child.Name); err != nil {
			g.sys.fail(fmt.Errorf("actors: spawn: %w", err))
		}
	}
	c.Send(g.supervisor, &arrived{group: g.group, pid: c.Self()})
}

// spawn makes an incarnation. An error is reported as one that could not acquire its checkpoint,
// and has ended. Each has the name of the worker, since the library keeps something of every name:
// a late message for one incarnation may reach the next, which ignores it for its generation.
func (g *container) spawn(c actor.Context, m *spawn) {
	n, gen := m.node, m.order.Gen
	g.next = m // the actor is made before SpawnNamed returns
	pid, err := c.SpawnNamed(g.props, n.Name)
	g.next = nil
	if err != nil {
		failed := &drive.Update{Kind: drive.UpdateAcquired, Err: fmt.Errorf("spawn: %w", err)}
		c.Send(g.supervisor, &report{leaf: n.Leaf, gen: gen, update: failed})
		c.Send(g.supervisor, &gone{leaf: n.Leaf, gen: gen})
		return
	}
	n.pid, n.gen, g.living[pid.Id] = pid, gen, n
}

// terminated reports the end of an incarnation, after all that it has sent, or that of a group
// below.
func (g *container) terminated(c actor.Context, who *actor.PID) {
	n := g.living[who.Id]
	if n == nil {
		c.Send(g.supervisor, &groupGone{pid: who})
		return
	}
	c.Send(g.sys.storeActor, &forget{worker: who})
	c.Send(g.supervisor, &gone{leaf: n.Leaf, gen: n.gen})
	n.pid, n.gen = nil, 0
	delete(g.living, who.Id)
}

// HandleFailure implements actor.SupervisorStrategy: an actor of ours has panicked outside a
// handler. It runs on the goroutine of the container.
func (g *container) HandleFailure(
	_ *actor.ActorSystem, s actor.Supervisor, pid *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
	failure := failureOf(reason)
	if n := g.living[pid.Id]; n != nil {
		g.sys.actors.Root.Send(g.supervisor, &crashedActor{leaf: n.Leaf, gen: n.gen, failure: failure})
	} else {
		g.sys.crashed(pid, failure)
	}
	s.StopChildren(pid)
}
