package drive

import (
	"slices"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// outagePhase is where a dependency stands.
type outagePhase uint8

const (
	outageCalm    outagePhase = iota // nothing has failed since the last success
	outageSuspect                    // something has, and it is not known what is to blame
	outageOut                        // the dependency is
	outagePhases
)

//nolint:gochecknoglobals // a table that nothing changes
var outagePhaseNames = [outagePhases]string{"Calm", "Suspect", "Out"}

// String returns the name of the phase as it stands in the package comment.
func (p outagePhase) String() string { return outagePhaseNames[p] }

// outageMove is one arrow of the diagram in the package comment.
type outageMove struct {
	from, to outagePhase
	when     string
}

// outageMoves are all moves there are.
//
//nolint:gochecknoglobals // a table that nothing changes
var outageMoves = []outageMove{
	{outageCalm, outageSuspect, "an event failed"},
	{outageSuspect, outageCalm, "an event was handled"},
	{outageSuspect, outageCalm, "none is failing"},
	{outageSuspect, outageOut, "enough failed"},
	{outageOut, outageCalm, "an event was handled"},
	{outageOut, outageCalm, "none is failing"},
}

// doubt is what is thought of an event whose attempts are used up.
type doubt uint8

const (
	guilty   doubt = iota // the verdict is carried out
	doubtful              // nothing of its dependency was handled since it failed more than once
	excused               // it is an outage
)

// outages tells outages from bad events: it remembers the failures of each dependency, and which
// events failed. Only failures that may be those of a dependency are reported to it. It is made by
// the first one; dependencies of which nothing fails are not in it.
type outages struct {
	policy supervision.OutagePolicy
	delay  supervision.Backoff // between probes
	random func() float64
	of     map[string]*dependency
	events map[store.Position]*suspected
	turns  []outageTurn     // not taken yet
	final  []store.Position // parked events about which there is no doubt any more, not taken yet
}

// dependency is one of which events fail.
type dependency struct {
	name  string
	phase outagePhase
	since time.Time // of the first failure after the last success
	err   error     // of the latest failure

	usedUp int // failures after the last success at which the attempts at an event were used up
	failed int // probes in a row
	events map[store.Position]*suspected

	next  time.Time      // of the next probe, zero for none
	last  store.Position // the event that was probed last
	probe bool           // it is in flight
}

// suspected is an event that failed and is not done.
type suspected struct {
	of     *dependency
	event  store.Position
	key    string
	fails  int  // since the last success
	old    bool // it failed before that, too
	parked bool // since then, because its attempts were used up
	probed bool // likewise, and in doubt
	last   bool // something was handled since: one more probe decides
	out    bool // it failed in the outage, or was parked in it
	charge int  // how often it was charged
}

// outageTurn is the begin or the end of an outage.
type outageTurn struct {
	of      *dependency
	out     bool
	charged []store.Position // at the end: the events that failed in it, ascending
}

func newOutages(p *supervision.Policy, random func() float64) *outages {
	return &outages{
		policy: p.Outage.WithDefaults(), delay: p.Backoff, random: random,
		of: make(map[string]*dependency), events: make(map[store.Position]*suspected),
	}
}

// watching reports whether successes matter.
func (o *outages) watching() bool { return len(o.of) > 0 }

// turn moves a dependency.
func (o *outages) turn(d *dependency, to outagePhase) {
	move := func(m outageMove) bool { return m.from == d.phase && m.to == to }
	if !slices.ContainsFunc(outageMoves, move) {
		illegal("dependency "+d.name, d.phase, to)
	}
	if from := d.phase; from == outageOut || to == outageOut {
		o.turns = append(o.turns, outageTurn{of: d, out: to == outageOut, charged: d.charged(to)})
	}
	d.phase = to
	if to == outageCalm {
		d.usedUp, d.failed, d.next, d.probe = 0, 0, time.Time{}, false
	}
}

// charged are the events that failed in an outage that ends.
func (d *dependency) charged(to outagePhase) (list []store.Position) {
	for event, e := range d.events {
		if e.out && !e.parked && to == outageCalm {
			e.charge++
			list = append(list, event)
		}
	}
	slices.Sort(list)
	return list
}

// reason of the state Outage.
func (d *dependency) reason() *supervision.OutageError {
	return &supervision.OutageError{Dependency: d.name, Since: d.since, Next: d.next, Err: d.err}
}

// suspect returns what is known of an event that failed.
func (o *outages) suspect(s cursor.Subject) *suspected {
	if known := o.events[s.Event]; known != nil {
		return known
	}
	d := o.of[s.Dependency]
	if d == nil {
		d = &dependency{name: s.Dependency, events: make(map[store.Position]*suspected)}
		o.of[s.Dependency] = d
	}
	e := &suspected{of: d, event: s.Event, key: s.Key}
	d.events[s.Event], o.events[s.Event] = e, e
	return e
}

// failure counts a failure, and reports whether it is no attempt at the event: that of a probe of
// what is parked, or in an outage.
func (o *outages) failure(now time.Time, s cursor.Subject, err error) (withheld bool) {
	e := o.suspect(s)
	d := e.of
	probe := d.probe && d.last == e.event
	d.probe = d.probe && !probe
	if e.last = e.last && probe; e.last {
		o.drop(e)
		o.after(now, d)
		o.dropIdle(d)
		return true
	}
	if d.phase == outageCalm {
		o.turn(d, outageSuspect)
		d.since = now
	}
	d.err = err
	e.fails++
	if e.parked = e.parked && probe; e.parked { // else an operator replays it
		d.usedUp++
	}
	switch {
	case d.phase == outageSuspect && o.enough(d):
		o.begin(now, e)
	case d.phase == outageOut:
		e.out = true
		if probe {
			d.failed++
			o.after(now, d)
		}
	case e.parked:
		o.after(now, d)
	}
	return d.phase == outageOut || e.parked
}

// enough reports whether the failures since the last success are those of the dependency. With
// lanes many keys fail once before the first one is tried again.
func (o *outages) enough(d *dependency) bool {
	if d.usedUp >= o.policy.UsedUp {
		return true
	}
	once, often := make(map[string]struct{}), make(map[string]struct{})
	for _, e := range d.events {
		if e.fails > 0 {
			once[e.key] = struct{}{}
		}
		if e.fails >= o.policy.Failures {
			often[e.key] = struct{}{}
		}
		if len(often) >= o.policy.Keys || len(once) >= o.policy.Keys*o.policy.Failures {
			return true
		}
	}
	return false
}

// begin begins an outage. A probe of what is parked, which may be in flight, is the first one.
func (o *outages) begin(now time.Time, e *suspected) {
	e.out, e.of.failed = true, e.fails
	if !e.of.probe {
		e.of.last = e.event // what has not failed comes first, which lies after it
	}
	o.turn(e.of, outageOut)
	o.after(now, e.of)
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
		o.begin(now, e)
	}
	switch {
	case d.phase == outageOut:
		return excused
	case e.fails >= o.policy.Failures:
		return doubtful
	}
	return guilty
}

// proven reports whether something was handled between the failures of an event, and the next one
// was its last: whatever else fails, it was tried often enough.
func (o *outages) proven(e *suspected) bool {
	return e.fails == 0 || e.old && e.fails < o.policy.Failures
}

// parked says that an event was parked because its attempts are used up: it is taken back if that
// turns out to be an outage. Where it is in doubt it is probed.
func (o *outages) parked(now time.Time, event store.Position) {
	e := o.events[event]
	if e == nil || o.proven(e) {
		o.forget(event)
		return
	}
	e.parked, e.probed = true, e.fails >= o.policy.Failures
	if e.probed && e.of.next.IsZero() {
		o.after(now, e.of)
	}
}

// success says that an event was handled: its dependency can be reached. What is parked and in
// doubt is probed once more, now that it is known that nothing else is to blame.
func (o *outages) success(now time.Time, s cursor.Subject) {
	d := o.of[s.Dependency]
	if d == nil {
		return
	}
	if e := d.events[s.Event]; e != nil {
		o.drop(e)
	}
	if d.phase != outageCalm {
		o.turn(d, outageCalm)
	}
	for _, e := range d.events {
		e.fails, e.old, e.out, e.last = 0, true, false, e.parked && e.probed
		if e.parked && !e.last {
			o.drop(e)
		}
	}
	o.after(now, d)
	o.dropIdle(d)
}

// forget drops an event that fails no more, whatever the reason.
func (o *outages) forget(event store.Position) {
	if e := o.events[event]; e != nil {
		o.drop(e)
		o.dropIdle(e.of)
	}
}

func (o *outages) drop(e *suspected) {
	if e.parked {
		o.final = append(o.final, e.event)
	}
	delete(e.of.events, e.event)
	delete(o.events, e.event)
}

func (o *outages) dropIdle(d *dependency) {
	if len(d.events) > 0 {
		return
	}
	if d.phase != outageCalm {
		o.turn(d, outageCalm)
	}
	delete(o.of, d.name)
}

// out reports whether an event waits for the end of an outage.
func (o *outages) out(event store.Position) bool {
	e := o.events[event]
	return e != nil && e.of.phase == outageOut
}

// taken returns the begins and ends of outages since the last call.
func (o *outages) taken() []outageTurn {
	turns := o.turns
	o.turns = nil
	return turns
}

// takeBack returns the events, ascending, that were parked in what turned out to be an outage.
// Where all that fails is of one key it stays parked, and is probed where it is.
func (o *outages) takeBack() (back []store.Position) {
	for _, d := range o.of {
		if d.phase != outageOut || d.oneKey() {
			continue
		}
		for event, e := range d.events {
			if e.parked {
				e.parked, e.out = false, true
				back = append(back, event)
			}
		}
	}
	slices.Sort(back)
	return back
}

func (d *dependency) oneKey() bool {
	keys := make(map[string]struct{}, 2)
	for _, e := range d.events {
		keys[e.key] = struct{}{}
	}
	return len(keys) < 2
}
