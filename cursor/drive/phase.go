package drive

import "fmt"

// leafPhase is where the incarnation of a leaf stands. What everybody sees is its [State].
type leafPhase uint8

const (
	leafDown      leafPhase = iota // it has no actor
	leafDelayed                    // it has none, and comes back alone after a delay
	leafStarting                   // it acquires its checkpoint
	leafReady                      // it has, and waits to begin
	leafUp                         // it handles events
	leafDraining                   // it ends in good order
	leafCancelled                  // it ends, and the contexts of its handlers have ended
	leafHung                       // a handler does not return; the actor is there until it does
	leafPhases
)

func (p leafPhase) String() string {
	return [...]string{"Down", "Delayed", "Starting", "Ready", "Up", "Draining", "Cancelled", "Hung"}[p]
}

// lives reports whether there is an actor.
func (p leafPhase) lives() bool { return p != leafDown && p != leafDelayed }

// leaves reports whether the actor was told to end.
func (p leafPhase) leaves() bool { return p == leafDraining || p == leafCancelled || p == leafHung }

// settles reports whether the leaf will be ready, or down for good, without another order. A round
// that starts leaves waits for these.
func (p leafPhase) settles() bool {
	return p == leafDelayed || p == leafStarting || p == leafDraining || p == leafCancelled
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
	leafPostponed
	leafCalledOff
	leafMoves
)

func (m leafMove) String() string {
	return [...]string{
		"spawned", "acquired", "begun", "drained", "cancelled", "timed out", "gone", "postponed", "called off",
	}[m]
}

// after is the table of the phases, drawn in the package comment.
func (p leafPhase) after(m leafMove) (next leafPhase, allowed bool) {
	type edge struct {
		from leafPhase
		by   leafMove
	}
	switch (edge{p, m}) {
	case edge{leafDown, leafSpawned}, edge{leafDelayed, leafSpawned}:
		return leafStarting, true
	case edge{leafStarting, leafAcquired}:
		return leafReady, true
	case edge{leafReady, leafBegun}:
		return leafUp, true
	case edge{leafStarting, leafDrained}, edge{leafReady, leafDrained}, edge{leafUp, leafDrained}:
		return leafDraining, true
	case edge{leafStarting, leafCancel}, edge{leafReady, leafCancel}, edge{leafUp, leafCancel},
		edge{leafDraining, leafCancel}:
		return leafCancelled, true
	case edge{leafCancelled, leafTimedOut}:
		return leafHung, true
	case edge{leafStarting, leafGone}, edge{leafReady, leafGone}, edge{leafUp, leafGone},
		edge{leafDraining, leafGone}, edge{leafCancelled, leafGone}, edge{leafHung, leafGone}:
		return leafDown, true
	case edge{leafDown, leafPostponed}:
		return leafDelayed, true
	case edge{leafDelayed, leafCalledOff}:
		return leafDown, true
	}
	return p, false
}

// roundStage is how far a round has come.
type roundStage uint8

const (
	roundStopping  roundStage = iota // its leaves are drained in reverse
	roundWaiting                     // for the delay
	roundAcquiring                   // its leaves acquire side by side
	roundHeld                        // those of the first round are ready, and wait for Begin
	roundOver
	roundStages
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
	roundTurns
)

func (t roundTurn) String() string {
	return [...]string{"all down", "due", "all ready", "held", "begun", "replaced", "all gone"}[t]
}

// after is the table of the stages, drawn in the package comment.
func (s roundStage) after(t roundTurn) (next roundStage, allowed bool) {
	type edge struct {
		from roundStage
		by   roundTurn
	}
	switch (edge{s, t}) {
	case edge{roundStopping, roundAllDown}:
		return roundWaiting, true
	case edge{roundWaiting, roundDue}:
		return roundAcquiring, true
	case edge{roundAcquiring, roundHold}:
		return roundHeld, true
	case edge{roundAcquiring, roundAllReady}, edge{roundHeld, roundBegun}, edge{roundStopping, roundAllGone}:
		return roundOver, true
	case edge{roundStopping, roundReplaced}, edge{roundWaiting, roundReplaced},
		edge{roundAcquiring, roundReplaced}, edge{roundHeld, roundReplaced}:
		return roundOver, true
	}
	return s, false
}

// illegal is the panic of a move that the table does not have: an error of this package. It ends
// the system visibly, where to continue might run a worker beside itself.
func illegal(what string, from, by fmt.Stringer) {
	panic(fmt.Sprintf("drive: %s in %v cannot be %v", what, from, by))
}
