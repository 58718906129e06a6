package supervision

import (
	"errors"
	"fmt"
	"time"
)

// The defaults of an [OutagePolicy].
const (
	// Three keys are not one bad event, and two failures of each are no hiccup.
	defaultOutageKeys     = 3
	defaultOutageFailures = 2
	// defaultOutageUsedUp: a ladder takes about a minute, so an outage is found within three where
	// only one event is at hand at a time.
	defaultOutageUsedUp = 3
)

// An OutagePolicy says when failures are taken for an outage of what events depend on, rather than
// for the fault of these events. The zero value works: each zero field has a default.
//
// Each event has a dependency: its kind, or what the worker says. Failures count that may be those
// of the dependency: see [Evidence]. In an outage attempts do not count, and nothing is parked or
// skipped, but what a handler says itself ([Park], [Skip], [Halt]) is obeyed. One event is tried at
// a time, with the delays of Policy.Backoff, or later where a handler says so by [RetryAfter],
// until one is handled: that ends the outage. It is an attempt at each of the events that failed
// meanwhile, so a bad event is parked in the end, and three bad ones are no outage for long.
//
// What has not failed yet is tried first. An event that failed is passed over for that, as far as
// there is room to park: what is of its key is held for it, and they are handled again, in order,
// when the outage ends. So a run of bad events is passed in the end. Where there is nothing that
// has not failed, those that have are tried in turn. One that failed in an outage before, too, is
// parked once Policy.Attempts of these tries are used up, and tried once more when the next event
// is handled.
//
// An event whose attempts are used up while nothing of its dependency is handled, and it is not
// known yet that this is an outage, is parked, and tried again with the longest delay until
// something is. In an outage of several keys it is taken back, to be handled again when that ends.
//
// ActionSkip waits until something is handled, or, where others wait for the event that cannot be
// tried before it, for as many tries more as there are attempts. ActionHalt halts where it is not
// known yet that this is an outage, and never in one. A worker that gives events up waits with that
// until something is handled.
type OutagePolicy struct {
	// Off: every failure of a handler is the fault of its event.
	Off bool
	// Keys is of how many different keys events must have failed, and Failures how often each of them,
	// with nothing handled in between. Where as many keys as the two make multiplied have failed, once
	// is enough. Zero means 3 and 2.
	Keys, Failures int
	// UsedUp is how many failures with nothing handled in between are enough, where each was the last
	// attempt at its event or came after that: for dependencies with fewer keys at hand. Zero means 3.
	UsedUp int
}

// WithDefaults returns p with every zero field set to its default.
func (p OutagePolicy) WithDefaults() OutagePolicy {
	if p.Keys == 0 {
		p.Keys = defaultOutageKeys
	}
	if p.Failures == 0 {
		p.Failures = defaultOutageFailures
	}
	if p.UsedUp == 0 {
		p.UsedUp = defaultOutageUsedUp
	}
	return p
}

func (p OutagePolicy) violations(field string) []error {
	return []error{
		atLeastZero(field+".Keys", p.Keys),
		atLeastZero(field+".Failures", p.Failures),
		atLeastZero(field+".UsedUp", p.UsedUp),
	}
}

// ErrOutage says that what events depend on cannot be reached. See [OutageError].
var ErrOutage = errors.New("supervision: outage")

// An OutageError is the reason of a child that waits for the end of an outage.
type OutageError struct {
	Dependency string
	Since      time.Time // of the first failure after which nothing was handled
	Next       time.Time // when an event is tried next; zero while one is being tried
	Err        error     // of the latest failure
}

func (e *OutageError) Error() string {
	return fmt.Sprintf("outage of %q since %s, last error: %v", e.Dependency, e.Since.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns [ErrOutage] and the error of the latest failure.
func (e *OutageError) Unwrap() []error { return []error{ErrOutage, e.Err} }

// A Fault is an error that is the event's, whatever the state of what its handler depends on: of a
// payload that cannot be read, or of reactions that the store refuses. It is no evidence of an
// outage.
type Fault interface {
	error
	// Fault does nothing: it tells the type from other errors.
	Fault()
}

// Evidence reports whether the error of a handler may be that of an outage: it is no [Fault], and
// has no directive but that of [Wait] or [RetryAfter], since one who refuses all requests for a
// while may well say for how long.
func Evidence(err error) bool {
	d, directed := ownDirective(err)
	if err == nil || directed && d.Action != ActionRetry {
		return false
	}
	for e := range Own(err) {
		if _, fault := e.(Fault); fault { //nolint:errorlint // Own unwraps
			return false
		}
	}
	return true
}
