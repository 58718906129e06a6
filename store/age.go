package store

import (
	"sort"
	"time"
)

// ages tells how old events are. Their times, and that of the store, are those of a clock which may
// have been wrong for a while: it was a century ahead, and later events continue from there; or it
// shows 1970, or 2126, just now. Nothing is to go for that. So an age is
//
//	the time that passed from segment to segment, up to now,
//	  |      less each step of more than ten years: the clock was wrong before it, or after
//	not more than the clock of the machine says
//	         if that is after the event: it was ahead for a while, and is behind the store's now
//
// What has such a step after it grows older from there on only. The step within a file is one from
// the time that is asked for to its last: so what stays of dropped events is younger, never older,
// than it would be if the files were still apart.
type ages struct {
	now, machine int64   // in milliseconds since 1970
	times        []int64 // of the last event of each sealed segment, ascending
	since        []int64 // what has passed since each
}

// ages returns those as of now.
func (s *Store) ages() *ages {
	now, ahead := s.clock.now()
	a := &ages{now: now.UnixMilli(), machine: now.Add(-max(0, ahead)).UnixMilli()}
	for _, g := range *s.segments.Load() {
		if t := g.trailer.Load(); t != nil {
			a.times = append(a.times, millis(t.LastTime))
		}
	}
	a.since = make([]int64, len(a.times))
	next, passed := a.now, int64(0)
	for i := len(a.times) - 1; i >= 0; i-- {
		passed += step(a.times[i], next)
		next, a.since[i] = a.times[i], passed
	}
	return a
}

// millis returns hybrid time in milliseconds.
func millis(t uint64) int64 { return int64(t >> 16) }

// step returns what has passed between two times, as far as that is believed.
func step(from, to int64) int64 {
	if to <= from || to-from > maxJump.Milliseconds() {
		return 0
	}
	return to - from
}

// of returns the age of an event with a hybrid time.
func (a *ages) of(t uint64) time.Duration {
	at := millis(t)
	i := sort.Search(len(a.times), func(i int) bool { return a.times[i] >= at })
	var passed int64
	if i < len(a.times) {
		passed = step(at, a.times[i]) + a.since[i]
	} else {
		passed = step(at, a.now)
	}
	if at <= a.machine {
		passed = min(passed, a.machine-at)
	}
	return time.Duration(passed) * time.Millisecond
}

// over reports whether an event is older than it may be; 0 is as old as it likes. It may be younger
// than its hybrid time by what that was cut to milliseconds.
func (a *ages) over(t uint64, most time.Duration) bool {
	return most > 0 && a.of(t)-time.Millisecond > most
}

// doubted returns how much younger an event is than its time says, in seconds.
func (a *ages) doubted(t uint64) time.Duration {
	return (time.Duration(a.now-millis(t))*time.Millisecond - a.of(t)).Truncate(time.Second)
}
