package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
)

// root is the actor above the store actor and the top group. It stops the group first, so that no worker pulls from a store
// actor that is gone.
type root struct {
	sys   *System
	plan  *plan
	group *actor.PID
	store *actor.PID
}

// Receive implements actor.Actor.
func (r *root) Receive(c actor.Context) {
	defer r.sys.armour(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		r.start(c)
	case *ready:
		r.sys.started <- m.err
	case *begin:
		c.Send(r.group, m)
	case *failed: // the top group escalates: nobody is left to restart it
		r.sys.log.Error("failure escalates beyond the top group, all workers halt", errorField(m.failure.Err))
		c.Send(r.group, &halt{reason: m.failure.Err})
	case *storeFailed:
		r.sys.fail(m.err)
	case *drain:
		r.drain(c, m)
	case *actor.Terminated:
		if m.Who.Equal(r.group) {
			c.Stop(r.store)
		} else {
			c.Stop(c.Self())
		}
	case *actor.Stopped:
		r.sys.finish(nil)
	}
}

// drain stops the group first; the store actor follows when it is gone.
func (r *root) drain(c actor.Context, m *drain) {
	if r.group == nil { // it could not be spawned
		c.Stop(c.Self())
		return
	}
	c.Send(r.group, m)
}

// start spawns the store actor and the tree. The names are free, since the actor system is ours alone.
func (r *root) start(c actor.Context) {
	store, err := c.SpawnNamed(r.sys.props(func() actor.Actor { return newStoreActor(r.sys) }), "store")
	if err != nil {
		r.sys.started <- fmt.Errorf("actors: spawn: %w", err)
		return
	}
	r.store, r.sys.storeActor = store, store
	self := c.Self()
	group, err := c.SpawnNamed(r.sys.props(func() actor.Actor { return newGroup(r.sys, r.plan, 0, 0, self) }), "group")
	if err != nil {
		r.sys.started <- fmt.Errorf("actors: spawn: %w", err)
		return
	}
	r.group = group
}

// HandleFailure implements actor.SupervisorStrategy: the store actor or the top group has panicked, which only a fault of
// ours can cause. The system ends, visibly.
func (r *root) HandleFailure(
	_ *actor.ActorSystem, s actor.Supervisor, pid *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
	failure := crash(reason)
	r.sys.log.Error("actor panicked", zap.String("actor", pid.Id), errorField(failure.Err),
		zap.ByteString("stack", failure.Stack))
	r.sys.fail(failure.Err)
	s.StopChildren(pid)
}
