package drive

import (
	"errors"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// errDoubtful is why an event is not skipped yet.
var errDoubtful = errors.New("drive: nothing of its dependency was handled since it failed, so it may be an outage")

// withholding is how a worker carries out what [outages] says. A worker has one while something
// fails; of none, which is nil, everything that is asked is answered no.
type withholding struct {
	*outages
	w       *Worker
	probes  map[Task]string  // in flight, by dependency
	over    []string         // of which a probe has returned and is not judged yet
	handled []cursor.Subject // and not judged yet
}

// withhold keeps a failure from the ladder of its event, and reports whether it did: where an
// outage is to blame.
func withhold(w *Worker, now time.Time, r ruling) bool {
	if !r.evidence || w.policy.Outage.Off {
		return false
	}
	if w.doubts == nil {
		w.doubts = &withholding{outages: newOutages(w.policy, w.random), w: w, probes: make(map[Task]string)}
	}
	withheld := w.doubts.failure(now, w.engine.Subject(r.first), r.failure.Err)
	w.doubts.turned()
	if withheld {
		w.doubts.leave(r.first)
	}
	return withheld
}

// leave lets an event that failed wait for the end of an outage, or be where it is parked. Without
// lanes it would keep others from being probed, and is passed over.
func (d *withholding) leave(event store.Position) {
	w := d.w
	deferred := w.lanes <= 1 && d.out(event) && w.engine.Defer(event, d.policy.Deferred)
	if !deferred {
		w.engine.Again(event)
	}
	if t := w.failing[event]; t != nil || deferred {
		w.failing.at(event).step = troubleTried
	}
	if w.engine.Dirty() {
		w.unsettled.due()
	}
	w.fill = fillStale
}

// excuse keeps a verdict from being carried out, and reports whether it did: where an outage is to
// blame, or may be. What a handler says itself is obeyed, and so is everything after a panic.
func (d *withholding) excuse(now time.Time, v Decision) bool {
	if d == nil || v.First == 0 || v.Restart {
		return false
	}
	_, usedUp := v.Reason.(*supervision.ExhaustedError) //nolint:errorlint // of this verdict, not of another one
	skips := v.Action == supervision.ActionSkip
	switch {
	case usedUp:
		thought := d.usedUp(now, v.First)
		d.turned()
		if thought == doubtful && skips {
			d.doubt(now, v)
			return true
		}
	case skips || v.Action == supervision.ActionPark:
		return false
	}
	if !d.out(v.First) {
		return false
	}
	if usedUp {
		d.keep(v.First)
	}
	d.leave(v.First)
	return true
}

// doubt has an event tried again that is not skipped yet, and without lanes others before it: they
// show whether it is to blame.
func (d *withholding) doubt(now time.Time, v Decision) {
	if d.w.lanes <= 1 && d.w.engine.Defer(v.First, d.policy.Deferred) {
		d.w.unsettled.due()
	}
	putOff(d.w, now, v, errDoubtful)
}

// carriedOut notes that an event is parked or skipped.
func (d *withholding) carriedOut(now time.Time, v Decision) {
	_, usedUp := v.Reason.(*supervision.ExhaustedError) //nolint:errorlint // of this verdict, not of another one
	if d != nil && usedUp && v.Action == supervision.ActionPark && !v.Restart {
		d.parked(now, v.First)
		if e := d.events[v.First]; e != nil && e.parked {
			d.w.engine.Doubt(v.First, true)
		}
		d.turned()
		return
	}
	d.acquit(v.First)
}

// acquit forgets an event that does not fail any more.
func (d *withholding) acquit(event store.Position) {
	if d != nil {
		d.forget(event)
		d.turned()
	}
}

// review forgets what an operator has decided about.
func (d *withholding) review() {
	if d == nil {
		return
	}
	for event, e := range d.events {
		if e.parked && !d.w.engine.Parked(event) || !e.parked && d.w.engine.Done(event) {
			d.acquit(event)
		}
	}
}

// returned keeps what a task that has run says of dependencies, until its commit.
func (d *withholding) returned(t Task) {
	if d == nil {
		return
	}
	if dependency, probe := d.probes[t]; probe {
		delete(d.probes, t)
		d.over = append(d.over, dependency)
	}
	if d.watching() {
		d.handled = append(d.handled, d.w.engine.Handled(t)...)
	}
}

// recovered judges what was handled.
func (d *withholding) recovered(now time.Time) {
	if d == nil {
		return
	}
	for _, s := range d.handled {
		d.success(now, s)
	}
	d.handled = d.handled[:0]
	d.turned()
}

// settle ends the probes that have returned, once what they failed with is judged. Where nothing
// fails any more nothing is kept.
func (d *withholding) settle(now time.Time) {
	if d == nil {
		return
	}
	for _, dependency := range d.over {
		d.probed(now, dependency)
	}
	d.over = nil
	if !d.watching() && len(d.probes) == 0 {
		d.w.doubts = nil
	}
}

// turned does what follows from the begin and the end of outages.
func (d *withholding) turned() {
	for _, t := range d.taken() {
		if t.out {
			d.suspend(t)
		} else {
			d.release(t)
		}
	}
	for _, event := range d.final {
		d.w.engine.Doubt(event, false)
	}
	d.final = nil
	if back := d.takeBack(); len(back) > 0 {
		d.w.engine.TakeBack(back)
		for _, event := range back {
			d.keep(event)
		}
	}
	if d.w.engine.Dirty() {
		d.w.unsettled.due()
	}
}

// keep lets an event whose attempts were used up begin again, but for what it was charged: else bad
// events would begin from the start after each outage.
func (d *withholding) keep(event store.Position) {
	d.w.failing.at(event)
	d.w.updates.add(Update{Kind: UpdateKept, Event: event, Attempts: d.events[event].charge})
}

// suspend lets all events of a dependency wait, also those that are about to be tried again.
func (d *withholding) suspend(t outageTurn) {
	w := d.w
	w.engine.Suspend(t.of.name)
	for _, event := range w.failing.events() {
		if late := w.failing[event]; late.step == troubleDelayed && d.out(event) {
			late.step = troubleTried
			w.engine.Again(event)
		}
	}
	w.updates.add(Update{Kind: UpdateOutage, Err: t.of.reason()})
}

// release lets them be handled. What failed in the outage has failed once more than its ladder
// knows: something else of the dependency was handled meanwhile.
func (d *withholding) release(t outageTurn) {
	w := d.w
	w.engine.Release(t.of.name)
	for _, event := range t.charged {
		w.failing.at(event)
		w.updates.add(Update{Kind: UpdateCharged, Event: event})
	}
	w.updates.add(Update{Kind: UpdateOutageOver, Err: t.of.reason()})
	w.fill = fillStale
	if w.state == Outage && d.reason() == nil {
		w.state = Running
	}
}

// pardon ends all outages, after an operator has moved the worker.
func (d *withholding) pardon() {
	if d == nil {
		return
	}
	for _, name := range d.names() {
		d.w.engine.Release(name)
	}
	for _, reason := range d.reasons() {
		d.w.updates.add(Update{Kind: UpdateOutageOver, Err: reason})
	}
	d.w.doubts = nil
}

// ready reports whether a probe could be taken now.
func (d *withholding) ready() bool {
	switch {
	case d == nil || !d.w.open():
		return false
	case d.w.lanes <= 1:
		return d.w.inFlight == 0 && d.w.unsettled.commit == commitSettled
	}
	return d.w.inFlight < d.w.lanes
}

// dueAt is when the next probe is due, zero where none is, or none could be taken.
func (d *withholding) dueAt() time.Time {
	if !d.ready() {
		return time.Time{}
	}
	return d.next()
}

// reason of the state Outage, nil while there is none.
func (d *withholding) reason() error {
	if d == nil {
		return nil
	}
	reasons := d.reasons()
	if len(reasons) == 1 {
		return reasons[0]
	}
	return errors.Join(reasons...)
}

// take takes a probe that is due, or the next batch.
func (t turn) take() (Task, error) {
	if t.doubts.ready() {
		if task, err := t.probe(); task != nil || err != nil {
			return task, err
		}
	}
	return t.engine.Take(t.ctx)
}

// probe takes an event of an outage, or one that is parked and may not be to blame.
func (t turn) probe() (task Task, err error) {
	d := t.doubts.due(t.now)
	if d == nil {
		return nil, nil
	}
	event := store.Position(0)
	if d.phase == outageOut {
		task, event, err = t.engine.Probe(t.ctx, d.name, d.last)
	}
	if parked := d.nextParked(); task == nil && err == nil && parked > 0 {
		task, err = t.engine.ProbeParked(t.ctx, parked)
		event = parked
	}
	if task == nil {
		t.doubts.probed(t.now, d.name)
		return nil, err
	}
	d.probing(event)
	t.doubts.probes[task] = d.name
	return task, nil
}
