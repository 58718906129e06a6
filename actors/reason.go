package actors

import (
	"cmp"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Code is a kind of trouble, in a word that stays: for programs, alerts and runbooks.
type Code string

// The codes that are of no sentinel. Those of sentinels stand in a table beside these.
const (
	CodeNone    Code = ""        // no trouble
	CodePaused  Code = "paused"  // an operator lets the worker rest
	CodeWaiting Code = "waiting" // the handler said that it waits for something: see supervision.Wait
	CodeFailed  Code = "failed"  // the handler failed, and nothing more is known
)

// codes has the kinds of trouble. Where an error is several of them the first one counts: what the
// store, the disk or the checkpoint says before what the supervisor decided because of it, and that
// before what the handler said.
//
//nolint:gochecknoglobals // a table that nothing changes
var codes = []struct {
	of     error
	code   Code
	inside bool // also where a function of the program said it, which may use stores of its own
}{
	{of: store.ErrPoisoned, code: "poisoned"},
	{of: store.ErrClosed, code: "closed"},
	{of: store.ErrDiskFull, code: "disk-full"},
	{of: store.ErrForeignHistory, code: "foreign-history"},
	{of: checkpoint.ErrAhead, code: "ahead"},
	{of: store.ErrDropped, code: "dropped"},
	{of: store.ErrLost, code: "lost"},
	{of: store.ErrCorrupt, code: "corrupt"},
	{of: checkpoint.ErrCorrupt, code: "corrupt"},
	{of: store.ErrNewerFormat, code: "newer-format"},
	{of: checkpoint.ErrNewerFormat, code: "newer-format"},
	{of: store.ErrReadOnly, code: "read-only"},
	{of: store.ErrReserved, code: "reserved"},
	{of: store.ErrBusy, code: "busy"},
	{of: checkpoint.ErrFenced, code: "fenced"},
	{of: checkpoint.ErrRegion, code: "unrunnable"},
	{of: checkpoint.ErrKindsChanged, code: "unrunnable"},
	{of: checkpoint.ErrKeyVersion, code: "unrunnable"},
	{of: checkpoint.ErrRenamed, code: "unrunnable"},
	{of: checkpoint.ErrExists, code: "unrunnable"},
	{of: checkpoint.ErrStateful, code: "unrunnable"},
	{of: cursor.ErrPulled, code: "unrunnable"},
	{of: cursor.ErrWorker, code: "unrunnable"},
	{of: ErrChild, code: "unrunnable"},
	{of: ErrHung, code: "hung"},
	{of: supervision.ErrOutage, code: "outage"},
	{of: cursor.ErrParkLimit, code: "park-limit"},
	{of: supervision.ErrIntensity, code: "over-budget"},
	{of: cursor.ErrCrashLoop, code: "crash-loop", inside: true},
	{of: cursor.ErrGoexit, code: "panic", inside: true},
	{of: supervision.ErrPanic, code: "panic"},
	{of: cursor.ErrInterrupted, code: "interrupted", inside: true},
	{of: cursor.ErrTimeout, code: "timeout", inside: true},
	{of: cursor.ErrKey, code: "no-key"},
	{of: cursor.ErrNoPosition, code: "no-position"},
	{of: cursor.ErrExternalPosition, code: "no-position"},
	{of: cursor.ErrOpen, code: "not-open"},
	{of: store.ErrDenied, code: "denied", inside: true},
	{of: store.ErrConflict, code: "conflict", inside: true},
	{of: store.ErrIdempotencyKeyReused, code: "key-reused", inside: true},
	{of: store.ErrErased, code: "erased", inside: true},
	{of: store.ErrUnknownCodec, code: "unknown-codec", inside: true},
	{of: store.ErrInvalid, code: "invalid", inside: true},
	{of: store.ErrOutcomeUnknown, code: "outcome-unknown"},
	{of: cursor.ErrCommit, code: "not-written"},
	{of: supervision.ErrExhausted, code: "exhausted"},
	{of: ErrParked, code: "parked"},
	{of: ErrSkipped, code: "skipped"},
	{of: ErrStalled, code: "stalled"},
	{of: ErrHalted, code: "halted"},
	{of: ErrEnded, code: "ended"},
	{of: ErrRemoved, code: "removed"},
	{of: ErrStopped, code: "stopped"},
}

// A Reason is why a worker is in trouble, in the parts that a program acts on: see [ReasonOf].
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
	// Event is the position that it is about, 0 for none or where it is not known, Key that event's,
	// and Attempt the number of the failure.
	Event   store.Position `json:"event,omitempty"`
	Key     string         `json:"key,omitempty"`
	Attempt int            `json:"attempt,omitempty"`
}

// ReasonOf returns the parts of a reason, as of [WorkerStatus], [FailingEvent], [Transition] and
// [System.Err]; the zero value for nil.
func ReasonOf(err error) Reason {
	switch e := err.(type) { //nolint:errorlint // the outermost: what it wraps is looked at below
	case nil:
		return Reason{}
	case *HaltedError:
		r := ReasonOf(e.Reason)
		r.Text = e.Error()
		return r
	}
	s := search{rank: len(codes), code: CodeFailed}
	s.walk(err, false)
	return Reason{Code: s.code, Text: err.Error(), Event: s.event, Key: s.key, Attempt: s.attempt}
}

// search is the look for the code of an error, and for what it is about.
type search struct {
	rank    int // of the code in the table
	code    Code
	found   bool // what follows is
	event   store.Position
	key     string
	attempt int
}

// walk looks at an error and what it wraps; inside says that a function of the program said it. It
// ends at what was decided elsewhere: another worker is not what this one is about.
func (s *search) walk(err error, inside bool) {
	for err != nil {
		s.look(err, inside)
		if !inside && !s.found {
			s.about(err)
		}
		switch e := err.(type) { //nolint:errorlint // this is the walk
		case *cursor.HandlerError:
			s.flags(e)
			err, inside = e.Err, true
		case *cursor.RunnerError:
			s.look(e.Err, inside)
			err, inside = e.Reason, inside || e.Err != cursor.ErrCommit && e.Err != cursor.ErrParkLimit //nolint:errorlint // sentinels
		case interface{ Decided() error }:
			return
		case interface{ Unwrap() error }:
			err, inside = e.Unwrap(), inside || supervision.IsCaptured(err)
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				s.walk(one, inside)
			}
			return
		default:
			return
		}
	}
}

// look takes the code of an error, unless there is one that counts more.
func (s *search) look(err error, inside bool) {
	for rank := range s.rank {
		if c := &codes[rank]; c.of == err && (c.inside || !inside) { //nolint:errorlint // the walk unwraps
			s.rank, s.code = rank, c.code
			return
		}
	}
	if s.code != CodeFailed || inside {
		return
	}
	switch err.(type) { //nolint:errorlint // the walk unwraps
	case *supervision.WaitError:
		s.code = CodeWaiting
	case *pausedError:
		s.code = CodePaused
	}
}

// flags takes what a handler did of which its error says nothing.
func (s *search) flags(e *cursor.HandlerError) {
	switch {
	case e.Panic:
		s.look(supervision.ErrPanic, false)
	case e.Timeout:
		s.look(cursor.ErrTimeout, false)
	}
}

// about takes the event, its key and the attempt from what names them.
func (s *search) about(err error) {
	switch e := err.(type) { //nolint:errorlint // the walk unwraps
	case *EventError:
		s.event, s.key, s.attempt = e.Event, e.Key, e.Attempt
	case *HungError:
		for _, h := range e.InFlight[:min(1, len(e.InFlight))] {
			s.event, s.key, s.attempt = cmp.Or(h.Event, h.First), h.Key, h.Attempt
		}
	case *cursor.HandlerError:
		s.event = e.Event
	case *cursor.RunnerError:
		s.event = e.Event
	default:
		b := supervision.BlameOf(err)
		s.event, s.key, s.attempt = store.Position(b.Event), b.Key, b.Attempt
	}
	s.found = s.event != 0 || s.attempt != 0
}
