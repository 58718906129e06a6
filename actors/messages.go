package actors

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor"
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

	// step lets a worker go on: take what there is to handle, or pull.
	step struct {
		quiet
		gen uint64
	}
	// handle gives a lane a task; handled gives it back.
	handle struct {
		quiet
		task *cursor.Task
	}
	handled struct {
		quiet
		lane *actor.PID
		task *cursor.Task
	}
	// write lets a worker with lanes commit what is handled by then.
	write struct {
		quiet
		gen uint64
	}
	// control asks a worker to do something between two batches, once. The answer fits into reply.
	control struct {
		quiet
		do      func(ctx context.Context, w *worker) error
		reply   chan error
		claimed atomic.Bool
	}
	// unpause tells a worker that the time of its pause is over.
	unpause struct {
		quiet
		gen uint64
	}
	// enable asks a group to start a halted worker again.
	enable struct {
		quiet
		worker string
		reply  chan error
	}
	// begin lets a worker that has acquired its checkpoint pull for the first time.
	begin struct{ quiet }
	// drain lets an actor end in good order. renew: it is started again then, so a group does not wait for who hangs.
	drain struct {
		quiet
		renew bool
	}
	// rested tells a supervisor that a group is stopped but for those that hang; renew lets it start the others again.
	rested struct {
		quiet
		child int
		gen   uint64
	}
	renew struct{ quiet }
	// persist lets a parked worker write how far it has looked.
	persist struct{ quiet }
	// retry lets a worker try again what failed when its delay is over; first as in failed.
	retry struct {
		quiet
		gen   uint64
		first store.Position
	}

	// ready tells a supervisor that a child has acquired all it needs, or why it could not.
	ready struct {
		quiet
		child int
		gen   uint64
		err   error
	}
	// failed asks a supervisor what to do. Events of other keys go on meanwhile.
	failed struct {
		quiet
		child   int
		gen     uint64
		first   store.Position // names what failed, to the worker; 0: nothing it has in hand
		deaths  int            // of processes that handled the event before
		failure supervision.Failure
		limit   int  // of the next batch, 0 for none
		halve   bool // a panic in a batch: the next incarnation gets a smaller one, and nothing is charged
	}
	// recovered tells a supervisor that something is done by a worker that was restarted; passed that an event is done that
	// failed before.
	recovered struct {
		quiet
		child int
		gen   uint64
	}
	passed struct {
		quiet
		child int
		gen   uint64
		event store.Position
	}
	// anew tells a supervisor that what a child failed at before does not count: an operator sent it back in the log, or
	// resumed a worker below it.
	anew struct {
		quiet
		child int
		gen   uint64
	}
	// verdict answers failed when the worker is to retry, park or skip.
	verdict struct {
		quiet
		gen     uint64
		first   store.Position
		action  supervision.Action
		delay   time.Duration
		attempt int
		reason  error
		restart bool // afterwards the worker asks to be started afresh, see again
	}
	// again tells a supervisor that a worker did what the verdict on a panic said, and wants to be started afresh.
	again struct {
		quiet
		child int
		gen   uint64
	}
	// ended tells a supervisor that a worker ended because its handler said so.
	ended struct {
		quiet
		child int
		gen   uint64
	}
	// halt ends all children of a group for good, but not the group; enable can start its workers again.
	halt struct {
		quiet
		reason error
	}
	// stopOver tells a supervisor that the time of a child to stop is over.
	stopOver struct {
		quiet
		child int
		gen   uint64
	}
	// revive tells a supervisor that the delay of a restart of several children is over.
	revive struct {
		quiet
		round uint64
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
