package drive

import (
	"slices"
	"time"

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

// finding is what a failure is worth.
type finding uint8

const (
	attempt  finding = iota // it is one at its event
	withheld                // it is none
	spent                   // it is none, and nothing speaks for trying the event again before others are handled
)

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
	policy supervision.Policy // with its defaults
	random func() float64
	of     map[string]*dependency
	events map[store.Position]*suspected
	turns  []outageTurn     // not taken yet
	back   []store.Position // parked in what turned out to be an outage, not taken back yet
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
	probe store.Position // the event that is being probed, 0 for none
	trial bool           // which was on trial when that began
	last  store.Position // the event that was probed last
	free  int            // how many of those that are parked may be probed at once, since something was handled
}

// place is where an event that failed waits.
type place uint8

const (
	// inTurn: it is tried again, by its ladder or when it is probed.
	inTurn place = iota
	// aside: it is parked, because its attempts were used up before it was known what is to blame.
	aside
	// inDoubt: likewise, and probed where it is parked, since nothing was handled since it failed.
	// Once something is, it is on trial.
	inDoubt
)

// suspected is an event that failed and is not done.
type suspected struct {
	of     *dependency
	event  store.Position
	key    string
	err    error // of its latest failure
	place  place
	fails  int  // since the last success
	old    bool // it failed before that, too
	out    bool // it failed in the outage, and not because it waits, or was parked in it
	tries  int  // probes in the outage that were made because there was nothing else to try
	charge int  // how often something was handled since it failed
}

// onTrial reports whether an event is parked in doubt and something was handled since: if it fails
// again, that is rather its own fault.
func (e *suspected) onTrial() bool { return e.place == inDoubt && e.old }

// outageTurn is the begin or the end of an outage.
type outageTurn struct {
	of      *dependency
	out     bool
	charged []store.Position // at the end: the events that failed in it, ascending
}

func newOutages(p *supervision.Policy, random func() float64) *outages {
	return &outages{
		policy: p.WithDefaults(), random: random,
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
		d.usedUp, d.failed, d.next = 0, 0, time.Time{}
	}
}

// charged are the events that failed in an outage that ends.
func (d *dependency) charged(to outagePhase) (list []store.Position) {
	for event, e := range d.events {
		if e.out && e.place == inTurn && to == outageCalm {
			e.charge++
			list = append(list, event)
		}
	}
	slices.Sort(list)
	return list
}

// reason of the state Outage.
func (d *dependency) reason() *supervision.OutageError {
	next := d.next
	if d.probe > 0 {
		next = time.Time{}
	}
	return &supervision.OutageError{Dependency: d.name, Since: d.since, Next: next, Err: d.err}
}

// begin begins an outage. A probe of what is parked, which may be in flight, is the first one. What
// was parked before it was known is taken back, but for an event of the only key: nothing else
// could be tried in its place.
func (o *outages) begin(now time.Time, e *suspected) {
	d := e.of
	d.failed = e.fails
	o.turn(d, outageOut)
	alone := d.oneKey()
	for event, e := range d.events {
		if e.place != inTurn && !e.onTrial() && !alone {
			e.place, e.out = inTurn, true
			o.back = append(o.back, event)
		}
	}
	slices.Sort(o.back)
	o.after(now, d)
}

func (d *dependency) oneKey() bool {
	keys := make(map[string]struct{}, 2)
	for _, e := range d.events {
		keys[e.key] = struct{}{}
	}
	return len(keys) < 2
}

// out reports whether an event waits for the end of an outage.
func (o *outages) out(event store.Position) bool {
	e := o.events[event]
	return e != nil && e.of.phase == outageOut
}

// failing reports whether an event failed and is not done, and of what dependency it is.
func (o *outages) failing(event store.Position) (dependency string, is bool) {
	if e := o.events[event]; e != nil {
		return e.of.name, true
	}
	return "", false
}

// taken returns the begins and ends of outages since the last call.
func (o *outages) taken() []outageTurn {
	turns := o.turns
	o.turns = nil
	return turns
}

// takeBack returns the events that were parked in what turned out to be an outage.
func (o *outages) takeBack() []store.Position {
	back := o.back
	o.back = nil
	return back
}

// decided returns the parked events about which there is no doubt any more.
func (o *outages) decided() []store.Position {
	final := o.final
	o.final = nil
	return final
}

// forget drops an event that fails no more, whatever the reason.
func (o *outages) forget(event store.Position) {
	if e := o.events[event]; e != nil {
		o.drop(e)
		o.dropIdle(e.of)
	}
}

func (o *outages) drop(e *suspected) {
	if e.place != inTurn {
		o.final = append(o.final, e.event)
	}
	delete(e.of.events, e.event)
	delete(o.events, e.event)
}

func (o *outages) dropIdle(d *dependency) {
	if len(d.events) > 0 || o.of[d.name] != d {
		return
	}
	if d.phase != outageCalm {
		o.turn(d, outageCalm)
	}
	delete(o.of, d.name)
}
