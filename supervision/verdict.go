package supervision

import (
	"errors"
	"fmt"
	"time"
)

// An Action is what to do with a child that failed.
type Action int

// The actions. The zero value is none of them, so that a forgotten verdict is not taken for one.
const (
	// ActionRetry repeats the step that failed, in the same running child.
	ActionRetry Action = iota + 1

	// ActionRestart ends the running child and starts a fresh one under the same Judge.
	ActionRestart

	// ActionHalt ends the child for good. Its Judge never says anything else again.
	ActionHalt

	// ActionPark parks the event; the child continues. After a panic it is restarted, since its
	// state cannot be trusted.
	ActionPark

	// ActionSkip skips the event; the child continues, after a panic as with ActionPark.
	ActionSkip

	// ActionEscalate ends the child and hands the failure to the group above it. Final, like
	// ActionHalt.
	ActionEscalate
)

// String returns the name of the action in lower case.
func (a Action) String() string {
	switch a {
	case ActionRetry:
		return "retry"
	case ActionRestart:
		return "restart"
	case ActionHalt:
		return "halt"
	case ActionPark:
		return "park"
	case ActionSkip:
		return "skip"
	case ActionEscalate:
		return "escalate"
	default:
		return fmt.Sprintf("Action(%d)", int(a))
	}
}

// A Failure is one thing that went wrong in a child.
type Failure struct {
	// Err is the error, or the value of the panic as an error. It is kept, wrapped, in the Reason
	// of the verdict.
	Err error

	// Event is the position of the event at which it happened; 0 means that it belongs to no event,
	// as in construction, loading and acquiring.
	Event uint64

	// Key of the event, for the reasons of verdicts; "" where it is not known.
	Key string

	// Panic says that the child panicked, so that its state cannot be trusted.
	Panic bool

	// Stack is the stack of a panic, if known. It is found again as the Stack of a [*PanicError].
	Stack []byte

	// NoAttempt says that the cause lies outside the event and ends by itself, as a full disk does:
	// the step is retried with backoff without end and nothing is counted against the event or the
	// child. A panic is always counted.
	NoAttempt bool
}

// cause is the error that all reasons wrap; never nil.
func (f Failure) cause() error {
	err := f.Err
	if err == nil {
		err = errUnknown
	}
	if f.Panic {
		return &PanicError{Err: err, Stack: f.Stack}
	}
	return err
}

// about is the failure in the words of a verdict.
func (f Failure) about(attempt int, format string, args ...any) error {
	return &FailureError{Event: f.Event, Key: f.Key, Attempt: attempt, What: fmt.Sprintf(format, args...), Err: f.cause()}
}

var errUnknown = errors.New("supervision: failure without an error")

// A Verdict is the answer to a [Failure].
type Verdict struct {
	Action Action

	// Delay is how long to wait before a retry or restart.
	Delay time.Duration

	// Attempt is the number of the failure, from 1, in what it was counted against: the attempts at
	// its event; for a failure without an event, the failures within the Period; for one that is no
	// attempt, the waits in a row.
	Attempt int

	// Reason wraps the error of the failure and names the event and the count. It is never nil. At
	// ActionHalt and ActionEscalate it is an [*ExhaustedError], wraps [ErrIntensity], or wraps the
	// error made by [Halt].
	Reason error
}

// Why there is no further try, or what a failure was, for errors.Is. Each is wrapped beside the
// failure itself.
var (
	// ErrExhausted: the attempts at an event are used up. See ExhaustedError.
	ErrExhausted = errors.New("supervision: attempts used up")
	// ErrIntensity: a child would have to be restarted more often than its policy allows. The text
	// of the error that wraps it says how often.
	ErrIntensity = errors.New("supervision: restarts used up")
	// ErrPanic: the failure was a panic. See PanicError.
	ErrPanic = errors.New("supervision: panic")
)

// A FailureError is a failure in the words of a verdict: an attempt that another one follows, or
// why none does.
type FailureError struct {
	Event   uint64 // position, 0 where it belongs to no event
	Key     string // of the event, "" where it is not known
	Attempt int    // its number, in what it was counted against: see Verdict
	What    string // as in "attempt 2 of 10"
	Err     error
}

func (e *FailureError) Error() string {
	if e.Event != 0 {
		return fmt.Sprintf("event %d, %s: %v", e.Event, e.What, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.What, e.Err)
}

// Unwrap returns the failure.
func (e *FailureError) Unwrap() error { return e.Err }

// A Blame is what failed, as far as that is known: the zero value where nothing of it is.
type Blame struct {
	Event   uint64 // position, 0 for none
	Key     string // of the event
	Attempt int    // the number of the failure: see Verdict
}

// BlameOf returns what the reason of a verdict is about. What the failure itself says of events is
// not looked at: it may be about those of another child.
func BlameOf(reason error) Blame {
	for {
		switch e := reason.(type) { //nolint:errorlint // the outermost, and what a judge has put around it
		case *FailureError:
			return Blame{Event: e.Event, Key: e.Key, Attempt: e.Attempt}
		case *ExhaustedError:
			return Blame{Event: e.Event, Key: e.Key, Attempt: e.Attempts}
		case *WaitError:
			return Blame{Event: e.Event, Key: e.Key, Attempt: e.Waits}
		case *intensityError:
			reason = e.err
		default:
			return Blame{}
		}
	}
}

// An ExhaustedError says that the attempts at an event are used up.
type ExhaustedError struct {
	Event    uint64 // position
	Key      string // of the event, "" where it is not known
	Attempts int    // made, the last one included
	Err      error  // of the last attempt
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("event %d, attempts used up (%d), last error: %v", e.Event, e.Attempts, e.Err)
}

// Unwrap returns [ErrExhausted] and the error of the last attempt.
func (e *ExhaustedError) Unwrap() []error { return []error{ErrExhausted, e.Err} }

// A WaitError is the reason of a child that waits for something that is no fault of an event.
type WaitError struct {
	Event uint64 // position, 0 where it belongs to no event
	Key   string // of the event, "" where it is not known
	Waits int    // in a row
	Err   error  // of the latest failure
}

func (e *WaitError) Error() string {
	text := fmt.Sprintf("no attempt, waiting (%d): %v", e.Waits, e.Err)
	if e.Event != 0 {
		text = fmt.Sprintf("event %d, %s", e.Event, text)
	}
	return text
}

// Unwrap returns the error of the latest failure.
func (e *WaitError) Unwrap() error { return e.Err }

// intensityError is an [ErrIntensity] with its text and the failure that was one too many.
type intensityError struct {
	text string
	err  error
}

func (e *intensityError) Error() string { return e.text + ": " + e.err.Error() }

func (e *intensityError) Unwrap() []error { return []error{ErrIntensity, e.err} }

// A PanicError is a panic as an error. Its text leaves out the stack.
type PanicError struct {
	Err   error  // the value of the panic
	Stack []byte // nil if unknown
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Err) }

// Unwrap returns [ErrPanic] and the value of the panic.
func (e *PanicError) Unwrap() []error { return []error{ErrPanic, e.Err} }
