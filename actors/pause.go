package actors

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
)

// pausedError is the reason of a worker that is paused, as a text: [checkpoint.Inspect] has it in
// fields.
type pausedError struct{ text string }

func (e *pausedError) Error() string { return e.text }

func newPausedError(p *checkpoint.Pause) error {
	until, by := "until it is resumed", ""
	if !p.Until.IsZero() {
		until = "until " + p.Until.Format(time.RFC3339)
	}
	if p.By != "" {
		by = " by " + p.By
	}
	return &pausedError{fmt.Sprintf("paused%s %s: %s", by, until, p.Reason)}
}
