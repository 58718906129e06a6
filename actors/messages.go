package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// The life of an incarnation in messages. The supervisor spawns its actor, and stops it.
//
//	report     worker -> supervisor       acquired, failed, ended, ...: see drive.Update
//	begin      supervisor -> worker       handle events
//	decision   supervisor -> worker       what to do about a failure
//	drain      supervisor -> worker       end in good order
//	crashed    supervisor -> supervisor   it panicked outside of a handler: it is ending
//	gone       supervisor -> supervisor   it has ended; all its reports came before
//
// The last two the supervisor learns from the library ahead of what is in its mailbox, and puts
// them at the end of that.
//
// Messages are pointers to what is never changed after sending.
type (
	// quiet keeps a message to an actor that has gone out of protoactor's log of dead letters,
	// and so from starting a goroutine that counts them: such messages are as normal as a worker
	// that stops while it is being woken.
	quiet struct{}

	// incarnation is the one that a message is from or for. A receiver that is another one ignores
	// the message.
	incarnation struct {
		quiet
		leaf int
		gen  uint64
	}

	// pull requests bounds from the store actor: is there anything after a position?
	pull struct {
		incarnation
		worker *actor.PID
		after  store.Position
		region *store.Region
	}
	// bounds answers a pull: there may be something up to upTo.
	bounds struct {
		incarnation
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

	// step lets a worker continue: take what there is to handle, or pull. wake does so because
	// something may be due, answered because its commit is answered, and write has one with lanes
	// commit what is handled by then.
	step     struct{ incarnation }
	wake     struct{ incarnation }
	answered struct{ incarnation }
	write    struct{ incarnation }
	// handle passes a task to a lane; handled returns it.
	handle struct {
		quiet
		task *cursor.Task
		now  time.Time
	}
	handled struct {
		quiet
		lane *actor.PID
		task *cursor.Task
	}
	// called reports that a control waits in the calls of a worker.
	called struct{ incarnation }
	// nudge has a worker try again now what of a key waits for its delay.
	nudge struct {
		incarnation
		key string
	}
	// resume has the supervisor start a halted worker again. reply has room for the one result.
	resume struct {
		quiet
		leaf  int
		reply chan resumed
	}
	// resumed is whether the worker was halted; err is why it is still.
	resumed struct {
		changed bool
		err     error
	}
	// addition has the supervisor start a worker in the group at a path, or only look whether it
	// could. reply has room for the one result.
	addition struct {
		quiet
		group  string
		worker drive.Candidate
		dry    bool
		reply  chan error
	}
	// removal has the supervisor end a worker. reply has room for the one result: whether that is
	// under way.
	removal struct {
		quiet
		leaf  int
		reply chan error
	}
	// begin lets a worker that has acquired its checkpoint pull for the first time.
	begin struct{ quiet }
	// drain lets an actor end in good order.
	drain struct{ quiet }
	// persist has a parked worker write how far it has read.
	persist struct{ incarnation }

	// report passes what an incarnation reports to the supervisor; decision answers a failure.
	report struct {
		incarnation
		update *drive.Update
	}
	decision struct {
		incarnation
		drive.Decision
	}
	// gone reports the end of an incarnation to the tree, crashedActor its panic.
	gone         struct{ incarnation }
	crashedActor struct {
		incarnation
		failure supervision.Failure
	}
	// tick reports to the supervisor that something may be due.
	tick struct{ quiet }
)

// IgnoreDeadLetterLogging implements actor.IgnoreDeadLetterLogging.
func (quiet) IgnoreDeadLetterLogging() {}

// of returns the incarnation of a message that has one.
func (i incarnation) of() incarnation { return i }
