package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// root is the actor above the store actor and the supervisor. It stops the supervisor first, so
// that no worker pulls from a store actor that has ended.
type root struct {
	sys        *System
	supervisor *actor.PID
	store      *actor.PID
	make       func() actor.Actor // the supervisor
}

// Receive implements actor.Actor.
func (r *root) Receive(c actor.Context) {
	defer r.sys.recoverPanic(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		r.start(c)
	case *begin:
		c.Send(r.supervisor, m)
	case *storeFailed:
		r.sys.fail(m.err)
	case *drain:
		if r.supervisor == nil { // it could not be spawned
			c.Stop(c.Self())
			return
		}
		c.Send(r.supervisor, m)
	case *actor.Terminated:
		if m.Who.Equal(r.supervisor) {
			c.Stop(r.store)
		} else {
			c.Stop(c.Self())
		}
	case *actor.Stopped:
		r.sys.finish(nil)
	}
}

// start spawns the store actor and the supervisor. The names are free, since the actor system is
// ours alone.
func (r *root) start(c actor.Context) {
	store, err := c.SpawnNamed(newProps(&r.sys.dispatcher, func() actor.Actor { return &storeActor{sys: r.sys} }), "store")
	if err != nil {
		r.sys.started <- fmt.Errorf("actors: spawn: %w", err)
		return
	}
	r.store, r.sys.storeActor = store, store
	supervisor, err := c.SpawnNamed(newProps(&r.sys.dispatcher, r.make), supervisorName)
	if err != nil {
		r.sys.started <- fmt.Errorf("actors: spawn: %w", err)
		return
	}
	r.supervisor = supervisor
}

// HandleFailure implements actor.SupervisorStrategy: the store actor or the supervisor has
// panicked, which only an error of ours can cause. The system ends, visibly.
func (r *root) HandleFailure(
	_ *actor.ActorSystem, s actor.Supervisor, pid *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
	actorCrashed(r.sys, pid, r.sys.log.failureOf(reason))
	s.StopChildren(pid)
}
