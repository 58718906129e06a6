package supervision

import (
	"slices"
	"time"
)

// window counts what happened within the last period. It keeps at most limit+1 times: it can tell
// how many there were up to the limit, and that there were more, but not how many more. It belongs
// to one goroutine.
type window struct {
	limit  int
	period time.Duration
	clock  steady
	times  []time.Time // oldest first, all less than period old at the last add
}

// newWindow returns an empty window. A limit below 0 counts as 0.
func newWindow(limit int, period time.Duration) *window {
	return &window{limit: max(0, limit), period: period}
}

// add counts something that happened at t and returns how many there were less than a period before
// t, this one included, but never more than limit+1. Where t lies before the t of an earlier call,
// no time has passed since then: a clock that is set back neither forgets what was counted nor
// keeps it for longer than a period of the time to come.
func (w *window) add(t time.Time) int {
	now := w.clock.read(t)
	gone := 0
	for gone < len(w.times) && now.Sub(w.times[gone]) >= w.period {
		gone++
	}
	if gone == 0 && len(w.times) > w.limit {
		gone = 1 // the oldest makes room: it would be the next to go
	}
	w.times = append(slices.Delete(w.times, 0, gone), now)
	return len(w.times)
}

// steady reads a clock that may be set back as one that never goes back: a step back counts as no
// time, and what follows counts from there. The alternative, to hold the latest time until the
// clock has caught up, would stand still for a year after a clock was wrong by a year for a moment.
type steady struct {
	last time.Time // as read
	now  time.Time // as reported
}

func (s *steady) read(t time.Time) time.Time {
	if s.now.IsZero() {
		s.now = t
	} else {
		s.now = s.now.Add(max(0, t.Sub(s.last)))
	}
	s.last = t
	return s.now
}
