package saga

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// waiting are the positions of the inputs that wait, ascending.
func (r *record) waiting() []store.Position {
	if len(r.Held) == 0 {
		return nil
	}
	list := make([]store.Position, len(r.Held))
	for i, h := range r.Held {
		list[i] = h.At
	}
	return list
}

// keepInputs holds in the log what has begun to wait in this turn, and lets go of what does not
// wait any more: the checkpoint is past it, so that retention knows of no other need. was is what
// waited before the turn.
func (t *outlet) keepInputs(was, now []store.Position) error {
	for _, at := range now {
		if _, found := slices.BinarySearch(was, at); found {
			continue
		}
		if err := t.b.Hold(t.i, at, t.who()); err != nil {
			return err
		}
	}
	for _, at := range was {
		if _, found := slices.BinarySearch(now, at); found {
			continue
		}
		if err := t.b.ReleaseHold(t.i, at); err != nil {
			return err
		}
	}
	return nil
}

// who waits, for people.
func (t *outlet) who() string {
	if t.key == "" {
		return "alias " + strings.TrimPrefix(t.at, strays)
	}
	return fmt.Sprintf("instance %q", t.key)
}
