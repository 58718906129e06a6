package drive

import (
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/store"
)

// after sets when the next probe is made: in an outage with growing delays; of what is parked with
// the longest at once, since its attempts have grown to that; of a few that are on trial now.
func (o *outages) after(now time.Time, d *dependency) {
	switch doubts := d.any((*suspected).inDoubt); {
	case d.phase == outageOut && !doubts:
		d.next = now.Add(o.policy.Backoff.Delay(max(1, d.failed), o.random))
	case d.phase != outageOut && d.free > 0 && d.any((*suspected).untried):
		d.next = now
	case doubts:
		d.next = now.Add(o.policy.Backoff.Max)
	default:
		d.next = time.Time{}
	}
}

func (e *suspected) inDoubt() bool { return e.place == inDoubt }

// untried reports whether an event is on trial and has not failed since.
func (e *suspected) untried() bool { return e.onTrial() && e.fails == 0 }

// notBefore puts the next probe off, where there is one.
func (d *dependency) notBefore(at time.Time) {
	if !d.next.IsZero() && d.next.Before(at) {
		d.next = at
	}
}

func (d *dependency) any(is func(*suspected) bool) bool {
	for _, e := range d.events {
		if is(e) {
			return true
		}
	}
	return false
}

// names of the dependencies of which something fails, sorted.
func (o *outages) names() []string { return slices.Sorted(maps.Keys(o.of)) }

// due returns a dependency that is to be probed now.
func (o *outages) due(now time.Time) *dependency {
	for _, name := range o.names() {
		if d := o.of[name]; d.probe == 0 && !d.next.IsZero() && !d.next.After(now) {
			return d
		}
	}
	return nil
}

// next is when the next probe is due, zero for never.
func (o *outages) next() (first time.Time) {
	for _, d := range o.of {
		if d.probe == 0 && !d.next.IsZero() && (first.IsZero() || d.next.Before(first)) {
			first = d.next
		}
	}
	return first
}

// candidates are the events that failed and may be probed now, those after the last one first: in
// an outage all of them, else what is parked and in doubt.
func (d *dependency) candidates() (list []store.Position) {
	parked := (*suspected).inDoubt
	if d.any((*suspected).untried) {
		parked = (*suspected).untried
	}
	for event, e := range d.events {
		if d.phase == outageOut || parked(e) {
			list = append(list, event)
		}
	}
	slices.Sort(list)
	next, _ := slices.BinarySearch(list, d.last+1)
	return append(list[next:len(list):len(list)], list[:next]...)
}

// probing notes that an event is being probed.
func (d *dependency) probing(event store.Position) {
	e := d.events[event]
	d.probe, d.last, d.trial = event, event, e != nil && e.onTrial()
}

// returned reports whether an event is the one that is being probed, and ends that.
func (d *dependency) returned(event store.Position) bool {
	if d.probe != event {
		return false
	}
	d.probe = 0
	return true
}

// unanswered says that a probe said nothing of the dependency, or that there was nothing to probe.
func (o *outages) unanswered(now time.Time, d *dependency) {
	d.failed++
	if o.after(now, d); d.next.Equal(now) {
		d.next = now.Add(o.policy.Backoff.Max)
	}
}

// reasons of the outages there are, by name.
func (o *outages) reasons() (list []error) {
	for _, name := range o.names() {
		if d := o.of[name]; d.phase == outageOut {
			list = append(list, d.reason())
		}
	}
	return list
}
