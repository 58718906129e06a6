package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// fakeTask is a batch of one event.
type fakeTask struct {
	event  store.Position
	err    error
	action cursor.Action
	given  bool // it is given up
	tried  int
}

func (t *fakeTask) Err() error            { return t.err }
func (t *fakeTask) Action() cursor.Action { return t.action }
func (t *fakeTask) Size() int             { return 1 }
func (t *fakeTask) Nudged() []string      { return nil }

func (t *fakeTask) Tried(attempts func(store.Position) int) { t.tried = attempts(t.event) }

// fakeEngine handles events one by one, each with a key of its own, like a runner that never fails
// by itself. Tests say what fails.
type fakeEngine struct {
	tb         testing.TB
	head       store.Position
	scanned    store.Position
	lanes      int
	ready      []store.Position
	inFlight   int
	finished   []store.Position
	sent       bool // what is finished is being written
	dropped    int
	refuseOnce bool // what is being written, and another try succeeds
	failed     map[store.Position]bool
	parked     []store.Position
	done       map[store.Position]bool
	extra      int // changes without a task
	calls      []string
	why        map[store.Position]error // of the latest failure of each event
	strict     bool                     // nothing is parked or skipped for another failure than the latest

	depends   func(store.Position) string // nil: all on one
	suspended map[string]bool
	known     func(store.Position) (string, bool)
	deferred  []store.Position
	later     map[store.Position]bool // what was deferred or taken back
	window    int                     // how many events are read and not done at most, 0 for any number
	volatile  bool                    // nothing can be parked or deferred
	guarded   bool                    // one task at a time
	doubtful  map[store.Position]bool
	given     map[store.Position]bool // up

	takes     func() // called by Take
	fillErr   error
	parkErr   error
	commitErr error                   // of a commit as a whole
	raced     map[store.Position]bool // the events whose reactions are refused, once

	alarms  []time.Time // when something is due
	ringErr error
}

func newFake(tb testing.TB, lanes int, head store.Position) *fakeEngine {
	return &fakeEngine{
		tb: tb, lanes: lanes, head: head, failed: make(map[store.Position]bool), done: make(map[store.Position]bool),
		raced: make(map[store.Position]bool), why: make(map[store.Position]error), suspended: make(map[string]bool),
		later: make(map[store.Position]bool), doubtful: make(map[store.Position]bool), given: make(map[store.Position]bool),
	}
}

func (f *fakeEngine) Fill(_ context.Context, upTo store.Position) (bool, error) {
	if f.fillErr != nil {
		return false, f.fillErr
	}
	if upTo == 0 || upTo > f.head {
		upTo = f.head
	}
	for room := f.room(); f.scanned < upTo; room-- {
		if f.window > 0 && room <= 0 {
			return false, nil
		}
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
	if !f.open() {
		return nil, nil
	}
	if i := slices.IndexFunc(f.deferred, f.free); i >= 0 {
		return f.take(f.deferred[i]), nil
	}
	if f.blocked() {
		return nil, nil
	}
	if i := slices.IndexFunc(f.ready, f.free); i == 0 || i > 0 && f.lanes > 1 {
		return f.take(f.ready[i]), nil
	}
	return nil, nil
}

// open reports whether a task may be taken now.
func (f *fakeEngine) open() bool {
	return f.lanes > 1 && !f.guarded || f.inFlight == 0 && (len(f.finished) == 0 || f.sent)
}

// blocked reports whether what follows a failure waits: there is one queue, and one for what was
// passed over.
func (f *fakeEngine) blocked() bool {
	return f.lanes <= 1 && slices.ContainsFunc(f.failing(), func(event store.Position) bool { return !f.later[event] })
}

func (f *fakeEngine) take(event store.Position) Task {
	is := func(p store.Position) bool { return p == event }
	f.ready, f.deferred = slices.DeleteFunc(f.ready, is), slices.DeleteFunc(f.deferred, is)
	delete(f.failed, event)
	f.inFlight++
	return &fakeTask{event: event, given: f.given[event]}
}

// free reports whether an event does not wait for the end of an outage.
func (f *fakeEngine) free(event store.Position) bool {
	if len(f.suspended) == 0 || f.given[event] {
		return true
	}
	if name, failed := f.known(event); failed {
		return !f.suspended[name]
	}
	return !f.suspended[f.dependency(event)]
}

func (f *fakeEngine) dependency(event store.Position) string {
	if f.depends == nil {
		return "d"
	}
	return f.depends(event)
}

func (f *fakeEngine) Subject(first store.Position) cursor.Subject {
	return cursor.Subject{Event: first, Key: fmt.Sprint(first), Dependency: f.dependency(first)}
}

func (f *fakeEngine) Handled(t Task) []cursor.Subject {
	if task := t.(*fakeTask); task.err == nil && !task.given && task.action != cursor.StopWithRollback {
		return []cursor.Subject{f.Subject(task.event)}
	}
	return nil
}

func (f *fakeEngine) Suspend(dependency string, failed func(store.Position) (string, bool)) {
	require.False(f.tb, f.suspended[dependency], "suspended again")
	f.suspended[dependency], f.known = true, failed
	for event := range f.given {
		if name, is := failed(event); is && name == dependency {
			delete(f.given, event)
		}
	}
}

func (f *fakeEngine) Release(dependency string) { delete(f.suspended, dependency) }

func (f *fakeEngine) Probe(_ context.Context, dependency string) (Task, store.Position, error) {
	require.True(f.tb, f.suspended[dependency], "a probe without an outage")
	if !f.open() {
		return nil, 0, nil
	}
	list := slices.Clone(f.ready)
	if f.lanes <= 1 {
		list = list[:min(1, len(list))]
		if f.blocked() {
			list = nil
		}
	}
	for _, event := range slices.Concat(list, slices.Sorted(slices.Values(f.deferred))) {
		if _, failed := f.known(event); !failed && f.dependency(event) == dependency {
			return f.take(event), event, nil
		}
	}
	return nil, 0, nil
}

func (f *fakeEngine) ProbeAt(_ context.Context, event store.Position) (Task, error) {
	first := f.lanes > 1 && slices.Contains(f.ready, event) || len(f.ready) > 0 && f.ready[0] == event
	if f.open() && (first || slices.Contains(f.deferred, event)) || f.open() && f.Parked(event) && !f.failed[event] {
		return f.take(event), nil
	}
	return nil, nil
}

func (f *fakeEngine) Waits(event store.Position) bool {
	return slices.Contains(f.ready, event) || slices.Contains(f.deferred, event) || f.failed[event] && !f.Parked(event)
}

func (f *fakeEngine) HoldsUp(event store.Position) bool {
	return f.failed[event] && !f.later[event] && f.lanes <= 1 && (len(f.ready) > 0 || f.scanned < f.head)
}

func (f *fakeEngine) Doubt(event store.Position, is bool) {
	if f.doubtful[event] != is {
		f.doubtful[event], f.extra = is, f.extra+1
	}
}

func (f *fakeEngine) Parked(event store.Position) bool { return slices.Contains(f.parked, event) }

func (f *fakeEngine) Defer(first store.Position, _ bool) bool {
	if !f.failed[first] || f.volatile || f.lanes > 1 && f.room() > 0 || f.later[first] || slices.Contains(f.parked, first) {
		return false
	}
	delete(f.failed, first)
	f.deferred, f.later[first] = append(f.deferred, first), true
	f.extra++
	return true
}

// room is how many events more may be read.
func (f *fakeEngine) room() int {
	if f.window == 0 {
		return 1
	}
	undone := 0
	for event := store.Position(1); event <= f.scanned; event++ {
		if !f.done[event] && !f.later[event] {
			undone++
		}
	}
	return f.window - undone
}

func (f *fakeEngine) TakeBack(events []store.Position) {
	for _, event := range events {
		require.Contains(f.tb, f.parked, event)
		f.parked = slices.DeleteFunc(f.parked, func(p store.Position) bool { return p == event })
		delete(f.done, event)
		f.deferred, f.later[event] = append(f.deferred, event), true
	}
	f.extra++
}

// Submit refuses what a runner does, as far as this one has it.
func (f *fakeEngine) Submit(beside bool) Submission {
	require.Zero(f.tb, f.inFlight)
	require.Empty(f.tb, f.failed, "in trouble")
	if f.lanes > 1 || len(f.finished) != 1 || f.extra > 0 || len(f.parked) > 0 || f.guarded || f.volatile {
		return nil
	}
	f.sent = true
	return fakeSubmission{alone: !beside}
}

type fakeSubmission struct{ alone bool }

func (fakeSubmission) Send(tell func(error)) { tell(nil) }
func (s fakeSubmission) Alone() bool         { return s.alone }

func (fakeSubmission) Covers() (int, store.Position) { return 0, 0 }

// Answered is refused for what a commit is refused for, and changes nothing then.
func (f *fakeEngine) Answered(Submission) (int, error) {
	require.True(f.tb, f.sent)
	f.sent = false
	if f.commitErr != nil || f.raced[f.finished[0]] || f.refuseOnce {
		f.refuseOnce = false
		return 0, &cursor.RunnerError{Worker: "w", Err: cursor.ErrCommit, Reason: store.ErrConflict}
	}
	return f.Commit(context.Background())
}

func (f *fakeEngine) Drop(t Task) {
	require.False(f.tb, f.sent, "dropped before the answer")
	f.inFlight--
	f.dropped++
	f.ready = append([]store.Position{t.(*fakeTask).event}, f.ready...)
}

func (f *fakeEngine) Finish(t Task) {
	require.False(f.tb, f.sent, "finished before the commit before it was answered")
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
		f.parked = slices.DeleteFunc(f.parked, func(p store.Position) bool { return p == task.event })
	}
}

func (f *fakeEngine) Commit(context.Context) (n int, err error) {
	require.False(f.tb, f.sent, "two commits at once")
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
			delete(f.given, event)
			n++
		}
	}
	f.finished = again
	return n, err
}

// Flush and Close find everything written: else they would write it and lose what failed.
func (f *fakeEngine) Alarm() time.Time {
	if len(f.alarms) == 0 {
		return time.Time{}
	}
	return f.alarms[0]
}

func (f *fakeEngine) Ring(_ context.Context, now time.Time) (int, error) {
	if f.ringErr != nil {
		return 0, f.ringErr
	}
	require.False(f.tb, f.alarms[0].After(now))
	f.alarms = f.alarms[1:]
	return 1, nil
}

func (f *fakeEngine) Flush(context.Context) error { return f.write("flush") }
func (f *fakeEngine) Close(context.Context) error { return f.write("close") }

func (f *fakeEngine) write(call string) error {
	require.False(f.tb, f.sent, "a %s beside a commit", call)
	f.calls = append(f.calls, call)
	if f.Dirty() {
		f.tb.Errorf("%s with something that is not committed", call)
	}
	return f.commitErr
}

func (f *fakeEngine) Again(first store.Position) {
	switch {
	case !f.failed[first]:
	case slices.Contains(f.parked, first): // it stays there
		delete(f.failed, first)
	case f.later[first]:
		delete(f.failed, first)
		f.deferred = append(f.deferred, first)
	default:
		delete(f.failed, first)
		f.ready = append([]store.Position{first}, f.ready...)
	}
}

func (f *fakeEngine) Park(first store.Position, reason error, _ int) error {
	switch {
	case f.parkErr != nil:
		return f.parkErr
	case f.volatile:
		return cursor.ErrNoCheckpoint
	}
	delete(f.doubtful, first)
	f.parked = append(f.parked, first)
	return f.decide(first, reason)
}

func (f *fakeEngine) Skip(first store.Position, reason error, _ int) error {
	return f.decide(first, reason)
}

// GiveUp works once for each verdict on an event.
func (f *fakeEngine) GiveUp(first store.Position, _ Decision) bool {
	if f.given[first] {
		return false
	}
	f.given[first] = true
	f.Again(first)
	return true
}

func (f *fakeEngine) decide(first store.Position, reason error) error {
	if f.strict && !errors.Is(reason, f.why[first]) {
		f.tb.Errorf("event %d failed with %v, and was dropped because of %v", first, f.why[first], reason)
	}
	delete(f.failed, first)
	delete(f.given, first)
	f.done[first] = true
	f.extra++
	return nil
}

func (f *fakeEngine) Failed(first store.Position) bool { return f.failed[first] }
func (f *fakeEngine) Done(event store.Position) bool   { return f.done[event] }
func (f *fakeEngine) Guarded() bool                    { return f.guarded }
func (f *fakeEngine) Dirty() bool                      { return len(f.finished) > 0 || f.extra > 0 }
func (f *fakeEngine) Idle() bool {
	waits := f.lanes <= 1 && len(f.ready) > 0 && (f.blocked() || !f.free(f.ready[0]))
	return f.inFlight == 0 && !f.Dirty() && (!slices.ContainsFunc(f.ready, f.free) || waits) &&
		!slices.ContainsFunc(f.deferred, f.free)
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
