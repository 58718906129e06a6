package drive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// fakeTask is a batch of one event.
type fakeTask struct {
	event  store.Position
	err    error
	action cursor.Action
}

func (t *fakeTask) Err() error            { return t.err }
func (t *fakeTask) Action() cursor.Action { return t.action }

// fakeEngine handles events one by one, each with a key of its own, like a runner that never fails
// by itself. Tests say what fails.
type fakeEngine struct {
	tb       testing.TB
	head     store.Position
	scanned  store.Position
	lanes    int
	ready    []store.Position
	inFlight int
	finished []store.Position
	failed   map[store.Position]bool
	parked   []store.Position
	done     map[store.Position]bool
	extra    int // changes without a task
	calls    []string
	why      map[store.Position]error // of the latest failure of each event
	strict   bool                     // nothing is parked or skipped for another failure than the latest

	takes     func() // called by Take
	fillErr   error
	commitErr error                   // of a commit as a whole
	raced     map[store.Position]bool // the events whose reactions are refused, once
}

func newFake(tb testing.TB, lanes int, head store.Position) *fakeEngine {
	return &fakeEngine{
		tb: tb, lanes: lanes, head: head, failed: make(map[store.Position]bool), done: make(map[store.Position]bool),
		raced: make(map[store.Position]bool), why: make(map[store.Position]error),
	}
}

func (f *fakeEngine) Fill(_ context.Context, upTo store.Position) (bool, error) {
	if f.fillErr != nil {
		return false, f.fillErr
	}
	if upTo == 0 || upTo > f.head {
		upTo = f.head
	}
	for f.scanned < upTo {
		if f.scanned++; !f.done[f.scanned] {
			f.ready = append(f.ready, f.scanned)
		}
	}
	return true, nil
}

func (f *fakeEngine) Take(context.Context) (Task, error) {
	if f.takes != nil {
		f.takes()
	}
	if len(f.ready) == 0 || f.lanes <= 1 && (f.inFlight > 0 || len(f.finished) > 0) {
		return nil, nil
	}
	if f.lanes <= 1 && len(f.failed) > 0 { // one queue: what follows the failure waits
		return nil, nil
	}
	event := f.ready[0]
	f.ready = f.ready[1:]
	f.inFlight++
	return &fakeTask{event: event}, nil
}

func (f *fakeEngine) Finish(t Task) {
	f.inFlight--
	task := t.(*fakeTask)
	var failure *cursor.HandlerError
	switch {
	case errors.As(task.err, &failure):
		f.failed[task.event], f.why[task.event] = true, failure.Err
	case task.err != nil, task.action == cursor.StopWithRollback:
		f.ready = append([]store.Position{task.event}, f.ready...)
	default:
		f.finished = append(f.finished, task.event)
	}
}

func (f *fakeEngine) Commit(context.Context) (n int, err error) {
	if f.commitErr != nil {
		return 0, &cursor.RunnerError{Worker: "w", Err: cursor.ErrCommit, Reason: f.commitErr}
	}
	f.extra = 0
	var again []store.Position
	for _, event := range f.finished {
		switch {
		case f.raced[event] && err == nil:
			f.failed[event] = true
			delete(f.raced, event)
			err = &cursor.RunnerError{Worker: "w", Err: cursor.ErrCommit, Event: event, Reason: store.ErrConflict}
			f.why[event] = err
		case f.raced[event]: // one refusal at a time
			again = append(again, event)
		default:
			f.done[event] = true
			n++
		}
	}
	f.finished = again
	return n, err
}

// Flush and Close find everything written: else they would write it and lose what failed.
func (f *fakeEngine) Flush(context.Context) error { return f.write("flush") }
func (f *fakeEngine) Close(context.Context) error { return f.write("close") }

func (f *fakeEngine) write(call string) error {
	f.calls = append(f.calls, call)
	if f.Dirty() {
		f.tb.Errorf("%s with something that is not committed", call)
	}
	return f.commitErr
}

func (f *fakeEngine) Again(first store.Position) {
	if f.failed[first] {
		delete(f.failed, first)
		f.ready = append([]store.Position{first}, f.ready...)
	}
}

func (f *fakeEngine) Park(first store.Position, reason error, _ int) error {
	f.parked = append(f.parked, first)
	return f.decide(first, reason)
}

func (f *fakeEngine) Skip(first store.Position, reason error, _ int) error {
	return f.decide(first, reason)
}

func (f *fakeEngine) decide(first store.Position, reason error) error {
	if f.strict && !errors.Is(reason, f.why[first]) {
		f.tb.Errorf("event %d failed with %v, and was dropped because of %v", first, f.why[first], reason)
	}
	delete(f.failed, first)
	f.done[first] = true
	f.extra++
	return nil
}

func (f *fakeEngine) Failed(first store.Position) bool { return f.failed[first] }
func (f *fakeEngine) Done(event store.Position) bool   { return f.done[event] }
func (f *fakeEngine) Dirty() bool                      { return len(f.finished) > 0 || f.extra > 0 }
func (f *fakeEngine) Idle() bool {
	return f.inFlight == 0 && !f.Dirty() && (len(f.ready) == 0 || f.lanes <= 1 && len(f.failed) > 0)
}

// undone is what was read and is neither done nor given to anybody.
func (f *fakeEngine) undone() (events []store.Position) {
	for event := store.Position(1); event <= f.head; event++ {
		if !f.done[event] {
			events = append(events, event)
		}
	}
	return events
}

func (f *fakeEngine) failing() []store.Position { return slices.Sorted(maps.Keys(f.failed)) }

// failure is what a handler returns at one event.
func failure(event store.Position) *cursor.HandlerError {
	return &cursor.HandlerError{Worker: "w", Event: event, First: event, Size: 1, Err: errBroken}
}

func panicAt(event store.Position) *cursor.HandlerError {
	f := failure(event)
	f.Panic = true
	return f
}
