package drive

import (
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// after sets when the next probe is made: in an outage with growing delays; of what is parked with
// the longest at once, since its attempts have grown to that; of what is probed for the last time,
// now.
func (o *outages) after(now time.Time, d *dependency) {
	switch parked := d.nextParked() > 0; {
	case parked && d.phase == outageCalm:
		d.next = now
	case parked:
		d.next = now.Add(o.longest())
	case d.phase == outageOut:
		d.next = now.Add(o.delay.Delay(max(1, d.failed), o.random))
	default:
		d.next = time.Time{}
	}
}

// longest is the delay between probes in the end, without jitter.
func (o *outages) longest() time.Duration {
	return supervision.Policy{Backoff: o.delay}.WithDefaults().Backoff.Max
}

// names of the dependencies of which something fails, sorted.
func (o *outages) names() []string { return slices.Sorted(maps.Keys(o.of)) }

// due returns a dependency that is to be probed now.
func (o *outages) due(now time.Time) *dependency {
	for _, name := range o.names() {
		if d := o.of[name]; !d.probe && !d.next.IsZero() && !d.next.After(now) {
			return d
		}
	}
	return nil
}

// next is when the next probe is due, zero for never.
func (o *outages) next() (first time.Time) {
	for _, d := range o.of {
		if !d.probe && !d.next.IsZero() && (first.IsZero() || d.next.Before(first)) {
			first = d.next
		}
	}
	return first
}

// nextParked is the parked event to probe: the first after the one that was last, or the first of
// all; 0 for none.
func (d *dependency) nextParked() store.Position {
	var list []store.Position
	for event, e := range d.events {
		if e.parked && e.probed {
			list = append(list, event)
		}
	}
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	next, _ := slices.BinarySearch(list, d.last+1)
	return list[next%len(list)]
}

// probing notes that an event is being probed.
func (d *dependency) probing(event store.Position) { d.probe, d.last = true, event }

// probed ends a probe, if its outcome has not: it said nothing of the dependency, or there was
// nothing to probe.
func (o *outages) probed(now time.Time, name string) {
	if d := o.of[name]; d != nil && (d.probe || !d.next.IsZero() && !d.next.After(now)) {
		d.probe = false
		if o.after(now, d); d.next.Equal(now) {
			d.next = now.Add(o.longest())
		}
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
