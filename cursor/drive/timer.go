package drive

import (
	"container/heap"
	"time"
)

// timers are the moments at which something is due, the earliest first; of equal ones, the one that
// was set first. Setting and stopping cost O(log n).
type timers struct {
	list []*timer
	set  uint64
}

// timer calls due once. The zero value is not set.
type timer struct {
	at    time.Time
	order uint64
	index int // in the list, from 1; 0 when it is not set
	due   func()
}

// Len implements heap.Interface.
func (t *timers) Len() int { return len(t.list) }

// Less implements heap.Interface.
func (t *timers) Less(i, j int) bool {
	a, b := t.list[i], t.list[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.order < b.order
}

// Swap implements heap.Interface.
func (t *timers) Swap(i, j int) {
	t.list[i], t.list[j] = t.list[j], t.list[i]
	t.list[i].index, t.list[j].index = i+1, j+1
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	one := x.(*timer)
	t.list = append(t.list, one)
	one.index = len(t.list)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(t.list) - 1
	one := t.list[last]
	t.list[last] = nil
	t.list = t.list[:last]
	one.index = 0
	return one
}

// start sets a timer, again if it was set.
func (t *timers) start(one *timer, at time.Time, due func()) {
	t.stop(one)
	t.set++
	one.at, one.order, one.due = at, t.set, due
	heap.Push(t, one)
}

func (t *timers) stop(one *timer) {
	if one.index > 0 {
		heap.Remove(t, one.index-1)
		one.due = nil
	}
}

// next returns when the earliest timer is due.
func (t *timers) next() (at time.Time, ok bool) {
	if len(t.list) == 0 {
		return time.Time{}, false
	}
	return t.list[0].at, true
}

// fire calls what is due by now, also what becomes due by that.
func (t *timers) fire(now time.Time) {
	for len(t.list) > 0 && !t.list[0].at.After(now) {
		one := t.list[0]
		due := one.due
		t.stop(one)
		due()
	}
}
