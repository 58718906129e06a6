package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Messages are pointers to what is never changed after sending. gen is the generation of the worker's actor that they are
// from or for; who gets one of another generation ignores it.
type (
	// quiet keeps a message to an actor that has gone out of protoactor's log of dead letters, and so from starting a
	// goroutine that counts them: such messages are as normal as a worker that stops while it is being woken.
	quiet struct{}

	// pull asks the store actor for news behind after.
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
	// headMoved tells the store actor to look at the head; storeFailed that it will not move again.
	headMoved   struct{ quiet }
	storeFailed struct {
		quiet
		err error
	}

	// step lets a worker handle the next batch.
	step struct {
		quiet
		gen uint64
	}
	// begin lets a worker that has acquired its checkpoint pull for the first time.
	begin struct{ quiet }
	// drain lets an actor end in good order.
	drain struct{ quiet }
	// persist lets a parked worker write how far it has looked.
	persist struct{ quiet }
	// retry lets a worker that failed go on when its delay is over.
	retry struct {
		quiet
		gen uint64
	}

	// ready tells a supervisor that a child has acquired all it needs, or why it could not.
	ready struct {
		quiet
		child int
		gen   uint64
		err   error
	}
	// failed asks a supervisor what to do; the worker waits for the answer.
	failed struct {
		quiet
		child   int
		gen     uint64
		failure supervision.Failure
		limit   int  // of the next batch, 0 for none
		halve   bool // a panic in a batch: the next incarnation gets a smaller one, and nothing is charged
	}
	// recovered tells a supervisor that events up to a position are done after a failure.
	recovered struct {
		quiet
		child int
		gen   uint64
		event store.Position
	}
	// verdict answers failed when the worker may go on after a delay.
	verdict struct {
		quiet
		gen   uint64
		delay time.Duration
	}
	// ended tells a supervisor that a worker ended because its handler said so.
	ended struct {
		quiet
		child int
		gen   uint64
	}
	// respawn tells a supervisor that the delay of a restart is over.
	respawn struct {
		quiet
		child int
		gen   uint64
	}
)

// IgnoreDeadLetterLogging implements actor.IgnoreDeadLetterLogging.
func (quiet) IgnoreDeadLetterLogging() {}
