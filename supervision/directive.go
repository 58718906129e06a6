package supervision

import (
	"fmt"
	"iter"
	"time"
)

// RetryAfter returns an error that schedules the next try after exactly d, without backoff and
// jitter; a negative d counts as 0. It is still an attempt: when the attempts are used up,
// Policy.Exhausted decides. In an outage, where nothing is an attempt, no event is tried before d
// is over. It wraps err, which may be nil.
func RetryAfter(d time.Duration, err error) error {
	return &directiveError{directive: Directive{Action: ActionRetry, Delay: max(0, d)}, err: err}
}

// Halt returns an error that halts the child at once, for failures that no retry and no restart can
// cure: a newer owner, a closed store, a bug that needs a new release. It wraps err, which may be
// nil.
func Halt(err error) error {
	return &directiveError{directive: Directive{Action: ActionHalt}, err: err}
}

// Park returns an error that parks the event at once: it is kept with its error, what follows of
// its key is held, and the child continues. It wraps err, which may be nil.
func Park(err error) error {
	return &directiveError{directive: Directive{Action: ActionPark}, err: err}
}

// Skip returns an error that skips the event at once: it counts as done, which is recorded, and the
// child continues. It wraps err, which may be nil.
func Skip(err error) error {
	return &directiveError{directive: Directive{Action: ActionSkip}, err: err}
}

// Wait returns an error of a cause that lies outside the event and ends by itself, as when a
// database is down: the event is tried again with growing delays for as long as it takes, and no
// attempt is counted. Where events of several keys wait, that is an outage as after other errors:
// see [OutagePolicy]. It wraps err, which may be nil.
func Wait(err error) error {
	return &directiveError{directive: Directive{Action: ActionRetry, NoAttempt: true}, err: err}
}

// WaitFor is [Wait] with a delay of exactly d, without backoff and jitter; 0 or less is Wait.
func WaitFor(d time.Duration, err error) error {
	return &directiveError{directive: Directive{Action: ActionRetry, NoAttempt: true, Delay: max(0, d)}, err: err}
}

// A Directive is what an error decides about itself.
type Directive struct {
	Action    Action        // ActionRetry, ActionPark, ActionSkip or ActionHalt
	Delay     time.Duration // of ActionRetry
	NoAttempt bool          // of ActionRetry: not counted as an attempt; where Delay is 0 the backoff sets it
}

// DirectiveOf returns the directive in err, made by [RetryAfter], [Wait], [Park], [Skip] or [Halt],
// however deeply it is wrapped. Of several, the outermost decides, because the code that wrapped
// last knew most; in joined errors, the first. One that is not err's own does not count: see [Own].
// If err itself has a method Decided, as that of a runner's step, its cause is looked into.
func DirectiveOf(err error) (Directive, bool) {
	if report, ok := err.(decided); ok { //nolint:errorlint // the outermost only
		err = report.Decided()
	}
	return ownDirective(err)
}

// ownDirective is DirectiveOf for what a child said.
func ownDirective(err error) (Directive, bool) {
	for e := range Own(err) {
		switch e := e.(type) { //nolint:errorlint // Own unwraps
		case *directiveError:
			return e.directive, true
		case *captured:
			return e.directive, e.directed
		}
	}
	return Directive{}, false
}

// decided is an error that reports a failure about which was decided elsewhere, such as that of a
// worker that is halted. Its method returns the cause of that failure, nil where nothing is left to
// decide about it.
type decided interface {
	error
	Decided() error
}

// Own iterates over err and what it wraps, the outermost first, but for what lies below one that
// was captured, or that has a method
//
//	Decided() error
//
// An error has it where it reports a failure about which was decided elsewhere, such as that of a
// worker that is halted. What it wraps was said about that failure, not about the one in which it
// is met: a handler that waits for another worker, or runs one itself, may return it.
func Own(err error) iter.Seq[error] {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	for err != nil {
		if !yield(err) {
			return false
		}
		switch e := err.(type) { //nolint:errorlint // this is the walk
		case decided, *captured:
			return true
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				if !walk(one, yield) {
					return false
				}
			}
			return true
		default:
			return true
		}
	}
	return true
}

type directiveError struct {
	directive Directive
	err       error // may be nil
}

func (e *directiveError) Error() string {
	text := e.directive.Action.String()
	switch {
	case e.directive.NoAttempt:
		text = "wait"
	case e.directive.Action == ActionRetry:
		text = fmt.Sprintf("retry after %v", e.directive.Delay)
	}
	if e.err == nil {
		return text
	}
	return text + ": " + e.err.Error()
}

func (e *directiveError) Unwrap() error { return e.err }
