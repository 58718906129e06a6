package actors

import (
	"testing"
	"time"
)

// HandleAhead has all workers of a test handle ahead where they may, however short their handlers
// take. No system may run when it is called.
func HandleAhead(tb testing.TB) {
	tb.Helper()
	before := aheadFrom
	aheadFrom = 0
	tb.Cleanup(func() { aheadFrom = before })
}

// AheadFrom is how long a handler must take for a worker to handle ahead.
func AheadFrom() time.Duration { return aheadFrom }

// PanicOutsideHandler has the actor of a worker panic in its own code, once.
func PanicOutsideHandler(s *System, name string) {
	s.actors.Root.Send(s.actors.NewLocalPID(rootName+"/"+supervisorName+"/"+name), (*decision)(nil))
}
