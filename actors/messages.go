package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// The life of an incarnation in messages. Orders come from the supervisor through the container
// of the group, reports go to the supervisor directly.
//
//	spawn      supervisor -> container             make an incarnation, which acquires its checkpoint
//	report     worker -> supervisor                acquired, failed, ended, ...: see drive.Update
//	begin      supervisor -> container -> worker   handle events
//	decision   supervisor -> container -> worker   what to do about a failure
//	drain      supervisor -> container -> worker   end in good order
//	kill       supervisor -> container             end as soon as the handlers have returned
//	crashed    container -> supervisor             it panicked outside of a handler: it is ending
//	gone       container -> supervisor             it has ended; all its reports came before
//
// Messages are pointers to what is never changed after sending. gen is the generation of the
// worker's actor that they are from or for; a receiver of another generation ignores it.
type (
	// quiet keeps a message to an actor that has gone out of protoactor's log of dead letters,
	// and so from starting a goroutine that counts them: such messages are as normal as a worker
	// that stops while it is being woken.
	quiet struct{}

	// pull requests bounds from the store actor: is there anything after a position?
	pull struct {
		quiet
		worker *actor.PID
		gen    uint64
		after  store.Position
		region store.Region
	}
	// bounds answers a pull: there may be something up to upTo.
	bounds struct {
		quiet
		gen  uint64
		upTo store.Position
	}
	// forget takes back a parked pull.
	forget struct {
		quiet
		worker *actor.PID
	}
	// headMoved has the store actor scan up to the head; storeFailed reports that it will not move
	// again.
	headMoved   struct{ quiet }
	storeFailed struct {
		quiet
		err error
	}

	// step lets a worker continue: take what there is to handle, or pull.
	step struct {
		quiet
		gen uint64
	}
	// handle passes a task to a lane; handled returns it.
	handle struct {
		quiet
		task *cursor.Task
	}
	handled struct {
		quiet
		lane *actor.PID
		task *cursor.Task
	}
	// write has a worker with lanes commit what is handled by then.
	write struct {
		quiet
		gen uint64
	}
	// called reports that a control waits in the calls of a worker.
	called struct {
		quiet
		gen uint64
	}
	// resume has the supervisor start a halted worker again.
	resume struct {
		quiet
		leaf  int
		reply chan error
	}
	// begin lets a worker that has acquired its checkpoint pull for the first time.
	begin struct{ quiet }
	// drain lets an actor end in good order.
	drain struct{ quiet }
	// persist has a parked worker write how far it has read.
	persist struct {
		quiet
		gen uint64
	}
	// wake reports that something may be due for a worker.
	wake struct {
		quiet
		gen uint64
	}

	// report passes what an incarnation reports to the supervisor; decision answers a failure.
	report struct {
		quiet
		leaf   int
		gen    uint64
		update *drive.Update
	}
	decision struct {
		quiet
		gen uint64
		drive.Decision
	}

	// Between the supervisor and the containers of the groups. spawn, forward and kill are
	// orders; arrived reports a container, gone an incarnation that has ended, after all that it
	// sent, and groupGone a container that has. crashedActor reports a panic of an incarnation,
	// which is ending.
	spawn struct {
		quiet
		node  *node
		order drive.Spawn
	}
	forward struct {
		quiet
		node    *node
		gen     uint64
		message any
	}
	kill struct {
		quiet
		node *node
		gen  uint64
	}
	arrived struct {
		quiet
		group *drive.Node
		pid   *actor.PID
	}
	gone struct {
		quiet
		leaf int
		gen  uint64
	}
	groupGone struct {
		quiet
		pid *actor.PID
	}
	crashedActor struct {
		quiet
		leaf    int
		gen     uint64
		failure supervision.Failure
	}
	// tick reports to the supervisor that something may be due.
	tick struct{ quiet }
)

// IgnoreDeadLetterLogging implements actor.IgnoreDeadLetterLogging.
func (quiet) IgnoreDeadLetterLogging() {}
