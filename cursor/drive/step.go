package drive

import (
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// StepKind says what a [Step] orders.
type StepKind uint8

// What a worker does next. The transport does it and calls the method that is named here, at once
// or later; meanwhile Next orders what does not depend on it.
const (
	stepNone  StepKind = iota // before the rules are tried
	stepAgain                 // of a rule that changed something: the rules are tried from the top
	// StepWait: nothing until Step.Until (zero: until something happens).
	StepWait
	// StepReport: pass Step.Update to the supervisor.
	StepReport
	// StepAcquire: take over the checkpoint; then Acquired or Refused.
	StepAcquire
	// StepRun: have Step.Task handled, on any goroutine; then Finished.
	StepRun
	// StepCommit: call Commit, or Submit. Until then what was handled gathers for it.
	StepCommit
	// StepAnswer: nothing until what [Submit] returned is answered; then Answered.
	StepAnswer
	// StepFlush: call Flush.
	StepFlush
	// StepRing: call Ring.
	StepRing
	// StepForget: take the pull back.
	StepForget
	// StepOperate: do what operators ordered, or where Step.Err is set, which is why nothing can be
	// written, answer them with that; then Operated.
	StepOperate
	// StepUnpause: the time of the pause is over: write that, unless Step.Err is set; then
	// Operated.
	StepUnpause
	// StepPull: call Available once there may be something after what the engine has scanned.
	StepPull
	// StepDrained: the worker is down.
	StepDrained
)

// String returns the name of the kind in lower case.
func (k StepKind) String() string {
	return [...]string{
		"none", "again", "wait", "report", "acquire", "run", "commit", "answer", "flush", "ring", "forget", "operate", "unpause",
		"pull", "drained",
	}[k]
}

// A Step is one order to the transport of a worker.
type Step struct {
	Kind   StepKind
	Task   Task      // of StepRun
	Until  time.Time // of StepWait
	Update *Update   // of StepReport
	Err    error     // of StepOperate and StepUnpause
}

// Intake says what the transport can do with batches now.
type Intake uint8

const (
	// Take says that it can run one more.
	Take Intake = iota
	// ReadAhead says that it cannot, but what waits may be read meanwhile.
	ReadAhead
	// Finish says that the turn is over. Only what follows from what has happened is ordered.
	Finish
)

// UpdateKind says what an [Update] reports.
type UpdateKind uint8

// What a worker reports to its supervisor.
const (
	// UpdateAcquired: it has acquired what it needs, or could not because of Err, and waits for a
	// decision about event 0.
	UpdateAcquired UpdateKind = iota
	// UpdateFailed: it waits for a decision about First.
	UpdateFailed
	// UpdateHalve: a batch panicked, and it is not known at which event. The worker has to be replaced
	// by an incarnation with the limit Limit; nothing is charged.
	UpdateHalve
	// UpdateHalved: likewise after an error, for the log: it does so in place.
	UpdateHalved
	// UpdateRecovered: one that had one before it has done something.
	UpdateRecovered
	// UpdatePassed: Event, which had failed, is done.
	UpdatePassed
	// UpdateMoved: an operator moved it; what it failed at before does not count.
	UpdateMoved
	// UpdateDecided: what Decision says is written: an event was parked or skipped.
	UpdateDecided
	// UpdateGivesUp: it settles the outcome of Event itself, in place of what Decision says.
	UpdateGivesUp
	// UpdatePutOff: what Decision says about Event cannot be done now; it is tried again after
	// Decision.Delay, and its attempts stay.
	UpdatePutOff
	// UpdateRestart: after Decision.Delay it has to be replaced, since it panicked.
	UpdateRestart
	// UpdateKept: what was decided about Event is not done, because of an outage; so many Attempts
	// stay.
	UpdateKept
	// UpdateCharged: Event failed in an outage that is over, which is one more attempt at it.
	UpdateCharged
	// UpdateOutage: an outage begins, which Err names; UpdateOutageOver: it ends.
	UpdateOutage
	UpdateOutageOver
	// UpdateFull: it reads nothing new because of Err: there is no room to park.
	UpdateFull
	// UpdateEnded: its handler is done.
	UpdateEnded
	// UpdateStoreFailed: the store takes no commit any more, because of Err.
	UpdateStoreFailed
)

// Update is something that a supervisor has to know. It is never changed after it was handed out.
type Update struct {
	Kind  UpdateKind
	First store.Position // names what failed, to the worker; 0: nothing that is in flight
	// Serial numbers the failures of an incarnation that wait for a decision, from 1.
	Serial uint64
	// Crashes is how often the process ended while it handled the event before.
	Crashes  int
	Attempts int // of UpdateKept
	Limit    int // of the first batch of the next incarnation, 0 for none
	Failure  supervision.Failure
	Event    store.Position
	Decision Decision
	Err      error
}

// Decision is what a supervisor says about a failure that was reported.
type Decision struct {
	First   store.Position // of the report
	Serial  uint64         // of the report: one about an earlier failure is not carried out
	Action  supervision.Action
	Delay   time.Duration // of ActionRetry, or of what is put off
	Attempt int
	Reason  error
	// Restart: the worker is replaced once the event is parked or skipped.
	Restart bool
	Stack   []byte // of a panic
}

// decided is the decision that follows from a verdict.
func decided(v supervision.Verdict) Decision {
	return Decision{Action: v.Action, Delay: v.Delay, Attempt: v.Attempt, Reason: v.Reason}
}

// Operation is the result of the orders of operators.
type Operation struct {
	Pause *checkpoint.Pause // now; nil for none
	Moved bool              // what failed before does not count
	Head  store.Position    // there may be something up to here
	// Err is of one that failed, nil for none: it ends more than the order where there is a newer
	// owner, or the store takes no commit any more.
	Err error
}
