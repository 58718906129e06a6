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

// workerTable is which phase may follow which, and when: the arrows of the diagram in the package
// comment. enter refuses any other move.
//
//nolint:gochecknoglobals // a table that nothing changes
var workerTable = map[workerPhase]map[workerPhase]string{
	workerAcquiring: {workerReady: "acquired", workerDraining: "drain"},
	workerReady:     {workerWorking: "begin", workerPaused: "begin, paused", workerClosing: "close", workerDraining: "drain"},
	workerWorking: {
		workerWaiting: "failed without an event", workerPaused: "paused", workerCrashed: "handler panicked",
		workerEnding: "handler is done", workerClosing: "close", workerDraining: "drain",
	},
	workerWaiting: {
		workerWorking: "delay over", workerPaused: "paused", workerCrashed: "handler panicked",
		workerEnding: "handler is done", workerClosing: "close", workerDraining: "drain",
	},
	workerPaused:  {workerWorking: "resumed", workerWaiting: "resumed, still waiting", workerClosing: "close", workerDraining: "drain"},
	workerCrashed: {workerLeaving: "crash reported", workerClosing: "close", workerDraining: "drain"},
	workerEnding: {
		workerCrashed: "handler panicked", workerLeaving: "end reported",
		workerDraining: "end reported, drain", workerClosing: "close",
	},
	workerLeaving:  {workerClosing: "close", workerDraining: "drain"},
	workerClosing:  {workerDraining: "drain"},
	workerDraining: {workerEnding: "handler is done", workerDown: "drained"},
}

// enter moves to a phase. A move that is not in the table is a bug of this package: going on would
// handle events beside an order to stop, so it panics, and supervision restarts the worker.
func (w *Worker) enter(to workerPhase) {
	if w.phase == to {
		return
	}
	if _, allowed := workerTable[w.phase][to]; !allowed {
		panic(fmt.Sprintf("drive: worker moves from %s to %s", w.phase, to))
	}
	w.phase = to
}
