package drive

import (
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// suspect returns what is known of an event that failed. What it depends on was said when it was
// probed, or when it failed first: the worker's function may say something else each time.
func (o *outages) suspect(s cursor.Subject) *suspected {
	if known := o.events[s.Event]; known != nil {
		return known
	}
	d := o.concerned(s)
	if d == nil {
		d = &dependency{name: s.Dependency, events: make(map[store.Position]*suspected)}
		o.of[s.Dependency] = d
	}
	e := &suspected{of: d, event: s.Event, key: s.Key}
	d.events[s.Event], o.events[s.Event] = e, e
	return e
}

// concerned returns the dependency that an outcome says something about, nil where nothing of it
// fails.
func (o *outages) concerned(s cursor.Subject) *dependency {
	if e := o.events[s.Event]; e != nil {
		return e.of
	}
	for _, d := range o.of {
		if d.probe == s.Event {
			return d
		}
	}
	return o.of[s.Dependency]
}

// failure counts a failure, and returns what it is worth. One whose handler says when to call it
// again, by [supervision.RetryAfter] or [supervision.Wait], is evidence like others; in an outage
// it is held against no event, and the next probe is not made before.
func (o *outages) failure(now time.Time, s cursor.Subject, err error) finding {
	_, again := o.failing(s.Event)
	e := o.suspect(s)
	d := e.of
	asks, says := supervision.DirectiveOf(err)
	says = says && asks.Action == supervision.ActionRetry
	probe := d.returned(e.event)
	if !probe { // or an operator has it replayed
		e.place = inTurn
	}
	o.count(now, e, err, says)
	begins := d.phase == outageSuspect && o.enough(d)
	if begins {
		o.begin(now, e)
	}
	switch {
	case d.phase != outageOut:
		return o.failedInPlace(now, e, asks.Delay)
	case probe && !begins:
		d.failed++
		o.after(now, d)
		if again && e.place == inTurn && !says {
			e.tries++
		}
	}
	d.notBefore(now.Add(asks.Delay))
	e.out = e.out || !says
	if e.place == inTurn && e.exhausted(&o.policy) {
		return spent
	}
	return withheld
}

// exhausted reports whether an event was probed as often as a policy allows, because there was
// nothing else to try.
func (e *suspected) exhausted(p *supervision.Policy) bool { return e.tries >= p.Attempts }

func (o *outages) count(now time.Time, e *suspected, err error, says bool) {
	d := e.of
	if d.phase == outageCalm {
		o.turn(d, outageSuspect)
		d.since = now
	}
	d.err, e.err = err, err
	switch {
	case !e.onTrial():
		e.fails++
		if e.place != inTurn {
			d.usedUp++
		}
	case says:
		d.free = 0
	default:
		d.free--
		if d.trial { // else it began before it was known that something can be handled
			e.fails++
		}
	}
}

// failedInPlace is what a failure is worth where there is no outage: it is an attempt, but for that
// of a probe of what is parked.
func (o *outages) failedInPlace(now time.Time, e *suspected, delay time.Duration) finding {
	if e.place == inTurn {
		return attempt
	}
	o.convict(e.of)
	o.after(now, e.of)
	e.of.notBefore(now.Add(delay))
	o.dropIdle(e.of)
	return withheld
}

// convict leaves those parked for good that failed once more when all others on trial have: so few
// may well be bad. Where there are more each of them has as many chances as it has attempts, since
// what one of them needs may be gone again.
func (o *outages) convict(d *dependency) {
	var failed []*suspected
	for _, e := range d.events {
		switch {
		case !e.onTrial():
		case e.fails == 0:
			return
		default:
			failed = append(failed, e)
		}
	}
	if len(failed) > few(o.policy.Outage) {
		return
	}
	for _, e := range failed {
		o.drop(e)
	}
}

// few is the most failures, each of another key, that are no outage by themselves.
func few(p supervision.OutagePolicy) int { return p.Keys*p.Failures - 1 }

// enough reports whether the failures since the last success are those of the dependency. With
// lanes many keys fail once before the first one is tried again. What is on trial is no evidence.
func (o *outages) enough(d *dependency) bool {
	p := o.policy.Outage
	if d.usedUp >= p.UsedUp {
		return true
	}
	once, often := make(map[string]struct{}), make(map[string]struct{})
	for _, e := range d.events {
		if e.onTrial() {
			continue
		}
		if e.fails > 0 {
			once[e.key] = struct{}{}
		}
		if e.fails >= p.Failures {
			often[e.key] = struct{}{}
		}
		if len(often) >= p.Keys || len(once) > few(p) {
			return true
		}
	}
	return false
}

// usedUp says that the attempts at an event are used up, and returns what that is worth.
func (o *outages) usedUp(now time.Time, event store.Position) doubt {
	e := o.events[event]
	if e == nil || e.of.phase != outageOut && o.proven(e) {
		return guilty
	}
	d := e.of
	d.usedUp++
	if d.phase == outageSuspect && o.enough(d) {
		e.out = true
		o.begin(now, e)
	}
	switch {
	case d.phase == outageOut:
		return excused
	case e.fails >= o.policy.Outage.Failures:
		return doubtful
	}
	return guilty
}

// proven reports whether something was handled between the failures of an event, and the next one
// was its last: whatever else fails, it was tried often enough.
func (o *outages) proven(e *suspected) bool {
	return e.fails == 0 || e.old && e.fails < o.policy.Outage.Failures
}

// parked says that an event was parked because its attempts are used up, and reports whether it is
// in doubt: then it is probed, and taken back if that turns out to be an outage. One that is parked
// in an outage stays parked until something is handled, and is probed in its turn.
func (o *outages) parked(now time.Time, event store.Position) bool {
	e := o.events[event]
	switch {
	case e == nil:
		return false
	case e.of.phase == outageOut:
		e.place, e.tries = inDoubt, 0
		return true
	case o.proven(e):
		o.forget(event)
		return false
	}
	e.place = aside
	if e.fails >= o.policy.Outage.Failures {
		e.place = inDoubt
	}
	if e.place == inDoubt && e.of.next.IsZero() {
		o.after(now, e.of)
	}
	return true
}

// skipped says that an event was skipped in an outage that continues.
func (o *outages) skipped(event store.Position) {
	if e := o.events[event]; e != nil {
		o.drop(e)
	}
}

// success says that an event was handled: its dependency can be reached. What is parked and in
// doubt is probed once more, now that it is known that nothing else is to blame: a few at once.
func (o *outages) success(now time.Time, s cursor.Subject) {
	d := o.concerned(s)
	if d == nil {
		return
	}
	if e := o.events[s.Event]; e != nil {
		o.drop(e)
	}
	if d.phase != outageCalm {
		o.turn(d, outageCalm)
	}
	d.returned(s.Event)
	d.free = few(o.policy.Outage)
	for _, e := range d.events {
		if e.onTrial() && e.fails > 0 {
			e.charge++
		}
		if e.place == aside || e.onTrial() && e.charge >= o.policy.Attempts {
			o.drop(e)
		}
		e.fails, e.old, e.out, e.tries = 0, true, false, 0
	}
	o.after(now, d)
	o.dropIdle(d)
}
