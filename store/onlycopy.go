package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// OnlyCopyError says that a backup or a depot has, whole, what the log has lost to damage: it was
// made before the log was repaired ([Repair]). What it has may be nowhere else, so [Backup] and
// [Ship] leave it as it is: with the next copy the loss would take its place. It wraps
// [ErrForeignHistory].
//
// Copy into another directory or depot from now on, and keep the former one: [Restore] makes a
// store of it, and its files may heal the directory that was damaged, as told at [Repair].
type OnlyCopyError struct {
	// Copied is the position of the last event of the copy.
	Copied Position
	// Lost are events that the copy has: those of the first 100 ranges of each repair since.
	Lost []Range
	// Sides are the keys of side values that were lost, the first 100 of each repair. Of each the copy
	// has the value, or a former one.
	Sides []string
	// Vague says that side values or idempotency keys may have been lost that nothing names.
	Vague bool
}

// Error is as in "store: position of a foreign history: the copy, up to event 100, has what this
// log lost to damage: events 40 to 40: keep it, and copy to another place".
func (e *OnlyCopyError) Error() string {
	var lost []string
	for _, in := range e.Lost {
		lost = append(lost, fmt.Sprintf("events %d to %d", in.From, in.To))
	}
	for _, key := range e.Sides {
		lost = append(lost, fmt.Sprintf("side value %q", key))
	}
	if e.Vague {
		lost = append(lost, "side values or idempotency keys that nothing names")
	}
	if more := len(lost) - maxShownLosses; more > 0 {
		lost = append(lost[:maxShownLosses], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%v: the copy, up to event %d, has what this log lost to damage: %s: keep it, and copy to another place",
		ErrForeignHistory, e.Copied, strings.Join(lost, ", "))
}

// Unwrap returns [ErrForeignHistory].
func (e *OnlyCopyError) Unwrap() error { return ErrForeignHistory }

// maxShownLosses is how many losses the text of an error shows.
const maxShownLosses = 10

// continues returns nil if the log has all that a copy has, but for what it was told to give up:
// what was erased, superseded or dropped. What was lost it was not told to.
func (s *Store) continues(ctx context.Context, m *manifest) error {
	foreign := s.CheckAnchor(ctx, m.anchor())
	if foreign != nil && !errors.Is(foreign, ErrLost) {
		return foreign
	}
	// All repairs since are there: retention has not passed the anchor, if there is any event.
	repairs := Region{Entity: repairedEntity, Scope: ReservedScope, Kinds: []string{Repaired{}.Kind()}}
	only := &OnlyCopyError{Copied: m.Position}
	for e, err := range s.Read(ctx, repairs, After(max(m.Position, s.first()-1))) {
		var note Repaired
		if err == nil {
			err = e.Decode(&note)
		}
		if err != nil {
			return fmt.Errorf("what was lost since event %d: %w", m.Position, err)
		}
		only.Lost = ranges(only.Lost).with(ranges(note.Lost).clip(1, m.Position)...)
		only.Sides = append(only.Sides, note.Sides...)
		// What was cut off at the end may be commits without events, of which no anchor tells.
		only.Vague = only.Vague || note.Commits > 0 || note.Rest || note.Cut && e.Position == m.Position+1
	}
	if len(only.Lost) == 0 && len(only.Sides) == 0 && !only.Vague {
		return foreign
	}
	slices.Sort(only.Sides)
	only.Sides = slices.Compact(only.Sides)
	return only
}
