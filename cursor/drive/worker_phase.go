package drive

import "fmt"

// workerPhase is why a worker takes a batch, or why it takes none.
type workerPhase uint8

const (
	workerAcquiring workerPhase = iota // it has no engine yet
	workerReady                        // it waits for Begin
	workerWorking                      // the only phase in which batches are taken
	workerWaiting                      // it failed without an event: for the verdict, or its delay
	workerPaused                       // an operator has paused it
	workerCrashed                      // a handler panicked: when what is in flight has ended it is reported
	workerEnding                       // a handler is done: likewise
	workerLeaving                      // it has reported its crash or its end, and waits for Drain
	workerClosing                      // the system stops, and Drain follows
	workerDraining                     // what is in flight ends, then the engine is closed
	workerDown                         // nothing happens any more
	workerPhases
)

//nolint:gochecknoglobals // a table that nothing changes
var workerPhaseNames = [workerPhases]string{
	"Acquiring", "Ready", "Working", "Waiting", "Paused", "Crashed", "Ending", "Leaving", "Closing",
	"Draining", "Down",
}

// String returns the name of the phase as it stands in the package comment.
func (p workerPhase) String() string {
	if p < workerPhases {
		return workerPhaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// workerMove is one arrow of the diagram in the package comment.
type workerMove struct {
	from, to workerPhase
	when     string
}

// workerMoves are all moves there are; enter refuses any other one.
//
//nolint:gochecknoglobals // a table that nothing changes
var workerMoves = []workerMove{
	{workerAcquiring, workerReady, "acquired"},
	{workerAcquiring, workerDraining, "drain"},
	{workerReady, workerWorking, "begin"},
	{workerReady, workerPaused, "begin, paused"},
	{workerReady, workerClosing, "close"},
	{workerReady, workerDraining, "drain"},
	{workerWorking, workerWaiting, "failed without an event"},
	{workerWorking, workerPaused, "paused"},
	{workerWorking, workerCrashed, "handler panicked"},
	{workerWorking, workerEnding, "handler is done"},
	{workerWorking, workerClosing, "close"},
	{workerWorking, workerDraining, "drain"},
	{workerWaiting, workerWorking, "delay over"},
	{workerWaiting, workerPaused, "paused"},
	{workerWaiting, workerCrashed, "handler panicked"},
	{workerWaiting, workerEnding, "handler is done"},
	{workerWaiting, workerClosing, "close"},
	{workerWaiting, workerDraining, "drain"},
	{workerPaused, workerWorking, "resumed"},
	{workerPaused, workerWaiting, "resumed, still waiting"},
	{workerPaused, workerClosing, "close"},
	{workerPaused, workerDraining, "drain"},
	{workerCrashed, workerLeaving, "crash reported"},
	{workerCrashed, workerClosing, "close"},
	{workerCrashed, workerDraining, "drain"},
	{workerEnding, workerCrashed, "handler panicked"},
	{workerEnding, workerLeaving, "end reported"},
	{workerEnding, workerDraining, "end reported, drain"},
	{workerEnding, workerClosing, "close"},
	{workerLeaving, workerClosing, "close"},
	{workerLeaving, workerDraining, "drain"},
	{workerClosing, workerDraining, "drain"},
	{workerDraining, workerEnding, "handler is done"},
	{workerDraining, workerDown, "drained"},
}

// workerFollows is workerMoves as a table of bits: who may follow whom.
//
//nolint:gochecknoglobals // a table that nothing changes
var workerFollows = func() (follows [workerPhases]uint16) {
	for _, m := range workerMoves {
		follows[m.from] |= 1 << m.to
	}
	return follows
}()

// enter moves to a phase. A move that is not in the table is a bug of this package: going on would
// handle events beside an order to stop, so it panics, and supervision restarts the worker.
func (w *Worker) enter(to workerPhase) {
	if w.phase == to {
		return
	}
	if workerFollows[w.phase]&(1<<to) == 0 {
		panic(fmt.Sprintf("drive: worker moves from %s to %s", w.phase, to))
	}
	w.phase = to
}
