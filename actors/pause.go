package actors

import (
	"fmt"
	"time"
)

// PausedError is the reason of a worker that is paused.
type PausedError struct {
	Until  time.Time // zero: until it is resumed
	Reason string
	By     string // the person or program that decided, see checkpoint.Request
}

func (e *PausedError) Error() string {
	until := "until it is resumed"
	if !e.Until.IsZero() {
		until = "until " + e.Until.Format(time.RFC3339)
	}
	by := ""
	if e.By != "" {
		by = " by " + e.By
	}
	return fmt.Sprintf("paused%s %s: %s", by, until, e.Reason)
}
