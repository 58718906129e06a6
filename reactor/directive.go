package reactor

import (
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// RetryAfter makes an error that has the handler tried again at this event after exactly d, in
// place of the policy's backoff. The attempt counts. See [supervision.RetryAfter].
func RetryAfter(d time.Duration, err error) error { return supervision.RetryAfter(d, err) }

// Wait makes an error that says that something the handler needs is unavailable: the event is tried
// again with growing delays for as long as it takes, and no attempt is counted. See
// [supervision.Wait].
func Wait(err error) error { return supervision.Wait(err) }

// Halt makes an error that stops the reactor at this event, visibly and without another
// attempt. See [supervision.Halt].
func Halt(err error) error { return supervision.Halt(err) }

// Park makes an error that parks this event at once: the events of its key that follow are held,
// all others continue, and an operator decides when it is handled again. See [supervision.Park].
func Park(err error) error { return supervision.Park(err) }

// Skip makes an error that skips this event at once, which is recorded. See [supervision.Skip].
func Skip(err error) error { return supervision.Skip(err) }
