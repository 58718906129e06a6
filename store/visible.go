package store

import (
	"context"
	"fmt"
)

// WaitVisible returns once the events of a receipt are visible: at once, unless a fence is open
// that they are staged in, or that began before them. Readers find them from then on.
//
// Errors: [ErrFenceCancelled] where they are hidden forever, [ErrForeignHistory] for a receipt of
// events that this log does not have, and those of [Store.Wait]. A receipt without events needs no
// waiting. In a store that follows a writer it also waits until that store has read so far.
func (s *Store) WaitVisible(ctx context.Context, r Receipt) error {
	if err := s.CheckAnchor(ctx, r.Anchor()); err != nil {
		return err
	}
	if len(r.Events) == 0 {
		return nil
	}
	last := r.Position()
	if _, err := s.Wait(ctx, last-1); err != nil {
		return err
	}
	if s.losses().has(last) {
		return fmt.Errorf("event %d: %w", last, ErrLost)
	}
	if s.cancelled().has(last) {
		return fmt.Errorf("event %d: %w", last, ErrFenceCancelled)
	}
	return nil
}
