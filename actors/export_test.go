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
