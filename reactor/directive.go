package reactor

import (
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// RetryAfter makes an error with which a handler asks to be tried again at this event after exactly d, in
// place of the policy's backoff. The attempt counts. See [supervision.RetryAfter].
func RetryAfter(d time.Duration, err error) error { return supervision.RetryAfter(d, err) }

// Halt makes an error with which a handler stops its reactor at this event, visibly and without another
// attempt. See [supervision.Halt].
func Halt(err error) error { return supervision.Halt(err) }
