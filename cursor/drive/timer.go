package drive

import (
	"slices"
	"time"
)

// timers are the moments at which something is due, the earliest first; of equal ones, the one that
// was set first. Setting and stopping move pointers, which for ten thousand of them takes
// microseconds.
type timers []*timer

// timer calls due once. The zero value is not set.
type timer struct {
	at  time.Time
	due func() // nil when it is not set
}

// start sets a timer, again if it was set.
func (ts *timers) start(one *timer, at time.Time, due func()) {
	ts.stop(one)
	one.at, one.due = at, due
	i, _ := slices.BinarySearchFunc(*ts, at, func(other *timer, at time.Time) int {
		if other.at.After(at) {
			return 1
		}
		return -1 // also of an equal one: this one comes after it
	})
	*ts = slices.Insert(*ts, i, one)
}

func (ts *timers) stop(one *timer) {
	if one.due != nil {
		one.due = nil
		i := slices.Index(*ts, one)
		*ts = slices.Delete(*ts, i, i+1)
	}
}

// next returns when the earliest timer is due.
func (ts *timers) next() (at time.Time, ok bool) {
	if len(*ts) == 0 {
		return time.Time{}, false
	}
	return (*ts)[0].at, true
}

// fire calls what is due by now, also what becomes due by that.
func (ts *timers) fire(now time.Time) {
	for len(*ts) > 0 && !(*ts)[0].at.After(now) {
		one := (*ts)[0]
		due := one.due
		ts.stop(one)
		due()
	}
}
