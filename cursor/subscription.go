package cursor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/penstock-io/penstock/store"
)

// Subscription is a lossy view of what happens now, for dashboards and the like: it begins at the
// head, and when its reader is slower than the log it leaves out the oldest events and counts them.
// What it does deliver is in order, each event once. It keeps no place in the log, buffers nothing
// and has nothing to close: a reader that stays away costs nothing. What must see every event uses
// a [Cursor] or a [Worker].
//
// It is not safe for concurrent use.
type Subscription struct {
	cursor *Cursor
	window store.Position
	lost   uint64
}

var _ Canal = (*Subscription)(nil)

// Subscribe begins at the present head. window is how many positions of the log, matching or not,
// the subscription may fall behind before it leaves out events; 0 means 1,024, a negative
// one is a [store.InvalidError].
func Subscribe(ctx context.Context, st *store.Store, region store.Region, window int) (*Subscription, error) {
	if window < 0 {
		return nil, &store.InvalidError{Field: "window", Rule: "must not be negative", Value: window}
	}
	if window == 0 {
		window = defaultWindow
	}
	c, err := Open(ctx, st, region, Options{Start: store.Now()})
	if err != nil {
		return nil, err
	}
	return &Subscription{cursor: c, window: store.Position(window)}, nil
}

// PullBatch implements [Canal]. A call that finds the subscription further behind than its window
// first skips to where the window begins.
func (s *Subscription) PullBatch(ctx context.Context, limit int, wait time.Duration) ([]store.Event, error) {
	for {
		if limit > 0 {
			if err := s.skip(ctx); err != nil && !errors.Is(err, store.ErrDropped) {
				return nil, err
			}
		}
		events, err := s.cursor.PullBatch(ctx, limit, wait)
		if !errors.Is(err, store.ErrDropped) { // else it was dropped after the look
			return events, err
		}
	}
}

// Lost is the number of events that were left out so far. It is counted from the index alone and so
// may include events that a range of versions excludes. Of those that store.Retain has dropped
// before they were counted every position counts.
func (s *Subscription) Lost() uint64 { return s.lost }

// skip leaves out what lies before the window, and what was dropped.
func (s *Subscription) skip(ctx context.Context) error {
	c := s.cursor
	s.skipDropped()
	head := c.st.Head()
	if head <= c.at.scanned+s.window {
		return nil
	}
	to := head - s.window
	n, err := c.st.Count(ctx, c.region, c.at.scanned, to, math.MaxInt)
	if err != nil {
		return fmt.Errorf("cursor: count what is left out: %w", err)
	}
	s.lost += uint64(n)
	c.at = c.at.pass(nil, to)
	return nil
}

// skipDropped leaves out what was dropped.
func (s *Subscription) skipDropped() {
	at := &s.cursor.at
	if before := store.First(s.cursor.st) - 1; before > at.scanned {
		s.lost += uint64(before - at.scanned)
		*at = at.pass(nil, before)
	}
}
