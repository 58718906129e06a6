package reactortest

import (
	"math"
	"slices"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// Status is what a worker is doing, and how far it is.
type Status struct {
	State drive.State // one of package actors; Running where it has events to handle, with the next step
	// Reason of the state, where it is in trouble: as in actors.WorkerStatus. It wraps the last error.
	Reason error
	// Event is what a worker that is Retrying tries next, 0 where its trouble belongs to no event;
	// Attempt is the number of the attempt that failed, also of one that is Restarting.
	Event   store.Position
	Attempt int
	// Due is when it continues, zero if that does not depend on time.
	Due time.Time
	// Restarts counts fresh starts since the last crash.
	Restarts int
	// Position up to which everything is handled or parked; Lag is how many events wait.
	Position store.Position
	Lag      int
	// Parked is how many events are parked, Held how many of them did not fail, but wait for one of
	// their key that did.
	Parked, Held int
}

// Outcome is what a step did: the events handled and committed. The zero value means that there was
// nothing to do.
type Outcome struct {
	Handled, Committed int
	Failed             bool // Status says what follows
	Restarted          bool // a new incarnation was started
}

// progress of the present incarnation, or of the last one, in memory of its own.
func (w *worker) progress() *cursor.Progress {
	if w.baton.Runner != nil {
		w.reached = w.baton.Progress()
		w.reached.Pending = slices.Clone(w.reached.Pending)
	}
	return &w.reached
}

// status describes the worker.
func (w *worker) status() (Status, error) {
	p := w.progress()
	s := Status{
		State: w.state(), Due: w.next(), Restarts: w.restarts, Position: p.Position, Parked: p.Parked, Held: p.Held,
	}
	b, err := w.backlog()
	s.Lag = b.Events
	switch {
	case s.State == drive.Retrying:
		first := firstWait(w.core.Waits())
		s.Event, s.Attempt, s.Reason, s.Due = first.Event, first.Attempt, first.Reason, first.Due
	case s.State == drive.Outage, s.State == drive.Full:
		s.Reason = w.core.Trouble()
	case s.State == drive.Restarting:
		s.Attempt, s.Reason = w.attempt, w.reason
	case s.State == drive.Halted:
		s.Reason = w.reason
	case s.State == drive.Idle && (s.Lag > 0 || !w.baton.Idle()):
		s.State = drive.Running
	}
	return s, err
}

// backlog is what waits for the worker; nothing before its first incarnation has its checkpoint.
func (w *worker) backlog() (cursor.Backlog, error) {
	p := w.progress()
	if p.Region == nil {
		return cursor.Backlog{}, nil
	}
	return p.Backlog(w.run.ctx(), w.run.st, w.run.st.Head(), math.MaxInt)
}

// firstWait is what is waited for before all others: that of the worker itself, which keeps these
// waiting, or the one that ends first.
func firstWait(waits []drive.Wait) drive.Wait {
	if waits[0].Event == 0 {
		return waits[0]
	}
	return slices.MinFunc(waits, func(a, b drive.Wait) int { return a.Due.Compare(b.Due) })
}

// state is Idle also where there is something to handle.
func (w *worker) state() drive.State {
	switch {
	case w.over():
		return w.shown
	case w.baton.Paused() != nil:
		return drive.Paused
	case w.core != nil && w.core.State() == drive.Outage:
		return drive.Outage
	case w.core != nil && len(w.core.Waits()) > 0:
		return drive.Retrying
	case w.core != nil && w.core.State() == drive.Full:
		return drive.Full
	case w.core != nil && w.core.State() == drive.Throttled:
		return drive.Throttled
	case w.baton.Runner == nil:
		return drive.Restarting
	case !w.begun:
		return drive.Starting
	}
	return drive.Idle
}

// mark is what changes when a worker has done something.
type mark struct {
	boots, restarts, waiting, parked int
	reached, position                store.Position
	shown                            drive.State
	gen                              uint64
	alarm                            time.Time
	pulls                            bool // the next step looks whether there is more
}

func markOf(w *worker) mark {
	m := mark{boots: w.run.boots, restarts: w.restarts, shown: w.shown, gen: w.gen, pulls: w.pulls}
	if w.baton.Runner != nil {
		p := w.baton.Progress()
		m.waiting, m.reached, m.position, m.parked = p.Queued, p.Read, p.Position, p.Parked
		m.alarm = cursor.Due(w.baton.Runner)
	}
	return m
}
