package store

import (
	"context"
	"fmt"
	"math"
)

// WaitVisible returns once the events of a receipt are visible: at once, unless a fence is open
// that they are staged in, or that began before them. Readers find them from then on.
//
// Errors: [FenceCancelledError] where they are hidden forever, [ErrForeignHistory] for a receipt of
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
		return fmt.Errorf("event %d: %w", last, s.whyCancelled(last))
	}
	return nil
}

// whyCancelled returns why an event is hidden, as the side value of its fence says: that stays as
// long as the event is hidden. Where it cannot be read now it is only known that it is.
func (s *Store) whyCancelled(p Position) error {
	fences, err := s.loadFences(math.MaxUint32)
	if err != nil {
		return ErrFenceCancelled
	}
	return fences.cancelled(p)
}
