package drive

import "fmt"

// leafPhase is where the incarnation of a leaf stands. What everybody sees is its [State].
type leafPhase uint8

const (
	leafDown      leafPhase = iota // it has no actor
	leafStarting                   // it acquires its checkpoint
	leafReady                      // it has, and waits to begin
	leafUp                         // it handles events
	leafDraining                   // it ends in good order
	leafCancelled                  // it ends, and the contexts of its handlers have ended
	leafHung                       // a handler does not return; the actor is there until it does
)

func (p leafPhase) String() string {
	return [...]string{"Down", "Starting", "Ready", "Up", "Draining", "Cancelled", "Hung"}[p]
}

// lives reports whether there is an actor.
func (p leafPhase) lives() bool { return p != leafDown }

// leaves reports whether the actor was told to end.
func (p leafPhase) leaves() bool { return p == leafDraining || p == leafCancelled || p == leafHung }

// settles reports whether the leaf will be ready, or down for good, without another order. A round
// that starts leaves waits for these.
func (p leafPhase) settles() bool {
	return p == leafStarting || p == leafDraining || p == leafCancelled
}

// leafMove is what takes a leaf from one phase to another.
type leafMove uint8

const (
	leafSpawned leafMove = iota
	leafAcquired
	leafBegun
	leafDrained
	leafCancel
	leafTimedOut
	leafGone
)

func (m leafMove) String() string {
	return [...]string{
		"spawned", "acquired", "begun", "drained", "cancelled", "timed out", "gone",
	}[m]
}

// leafTable is which move takes a leaf from which phase to which, drawn in the package comment.
//
//nolint:gochecknoglobals // a table that nothing changes
var leafTable = map[leafPhase]map[leafMove]leafPhase{
	leafDown:      {leafSpawned: leafStarting},
	leafStarting:  {leafAcquired: leafReady, leafDrained: leafDraining, leafCancel: leafCancelled, leafGone: leafDown},
	leafReady:     {leafBegun: leafUp, leafDrained: leafDraining, leafCancel: leafCancelled, leafGone: leafDown},
	leafUp:        {leafDrained: leafDraining, leafCancel: leafCancelled, leafGone: leafDown},
	leafDraining:  {leafCancel: leafCancelled, leafGone: leafDown},
	leafCancelled: {leafTimedOut: leafHung, leafGone: leafDown},
	leafHung:      {leafGone: leafDown},
}

// roundStage is how far a round has come.
type roundStage uint8

const (
	roundStopping  roundStage = iota // its leaves are drained in reverse
	roundWaiting                     // for the delay
	roundAcquiring                   // its leaves acquire side by side
	roundHeld                        // those of the first round are ready, and wait for Begin
	roundOver
)

func (s roundStage) String() string {
	return [...]string{"Stopping", "Waiting", "Acquiring", "Held", "Over"}[s]
}

// roundTurn is what takes a round from one stage to another.
type roundTurn uint8

const (
	roundAllDown roundTurn = iota
	roundDue
	roundAllReady
	roundHold
	roundBegun
	roundReplaced
	roundAllGone
)

func (t roundTurn) String() string {
	return [...]string{"all down", "due", "all ready", "held", "begun", "replaced", "all gone"}[t]
}

// roundTable is leafTable for the stages of a round.
//
//nolint:gochecknoglobals // a table that nothing changes
var roundTable = map[roundStage]map[roundTurn]roundStage{
	roundStopping:  {roundAllDown: roundWaiting, roundAllGone: roundOver, roundReplaced: roundOver},
	roundWaiting:   {roundDue: roundAcquiring, roundReplaced: roundOver},
	roundAcquiring: {roundHold: roundHeld, roundAllReady: roundOver, roundReplaced: roundOver},
	roundHeld:      {roundBegun: roundOver, roundReplaced: roundOver},
}

// illegal is the panic of a move that a table does not have: an error of this package. It ends the
// system visibly, where to continue might run a worker beside itself.
func illegal(what string, from, by fmt.Stringer) {
	panic(fmt.Sprintf("drive: %s in %v cannot be %v", what, from, by))
}
