package actors

import (
	"fmt"
	"time"
)

// PausedError is the reason of a worker that is paused.
type PausedError struct {
	Until  time.Time // zero: until it is resumed
	Reason string
}

func (e *PausedError) Error() string {
	until := "until it is resumed"
	if !e.Until.IsZero() {
		until = "until " + e.Until.Format(time.RFC3339)
	}
	return fmt.Sprintf("paused %s: %s", until, e.Reason)
}
