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
	probes  map[Task]probe   // in flight
	over    []probe          // that have returned and are not judged yet
	handled []cursor.Subject // and not judged yet
}

// probe is one of an event.
type probe struct {
	of    *dependency
	event store.Position
}

// withhold keeps a failure from the ladder of its event, and reports whether it did: where an
// outage is to blame.
func withhold(w *Worker, now time.Time, r ruling) bool {
	if w.policy.Outage.Off || !r.evidence {
		return false
	}
	if w.doubts == nil {
		w.doubts = &withholding{outages: newOutages(w.policy, w.random), w: w, probes: make(map[Task]probe)}
	}
	return w.doubts.blame(now, r)
}

// blame is withhold for what may be the failure of a dependency.
func (d *withholding) blame(now time.Time, r ruling) bool {
	found := d.failure(now, d.w.engine.Subject(r.first), r.failure.Err)
	d.turned()
	switch {
	case found == attempt:
		return false
	case found == spent && d.giveUp(now, r):
	default:
		d.leave(r.first)
	}
	return true
}

// leave lets an event that failed wait for the end of an outage, or be where it is parked. Where it
// would keep others from being probed it is passed over.
func (d *withholding) leave(event store.Position) {
	w := d.w
	deferred := d.out(event) && w.engine.Defer(event, d.events[event].exhausted(&d.policy))
	if !deferred {
		w.engine.Again(event)
	}
	if t := w.failing[event]; t != nil || deferred {
		w.failing.at(event).step = troubleTried
	}
	d.changed()
}

// changed has written what was changed, and what there is room for read.
func (d *withholding) changed() {
	if d.w.engine.Dirty() {
		d.w.unsettled.due()
	}
	d.w.fill = fillStale
}

// giveUp ends the tries at an event in an outage, and reports whether it did. It was tried as often
// as a policy allows because there was nothing else to try, so it may be a bad one, as may be all
// that were tried beside it: then no outage would ever end by itself.
//
//   - It is parked, in doubt, if something was handled since it failed first, in an outage before:
//     the next success has it tried again. Without that it waits, since nothing speaks against it.
//   - It is skipped where others wait for it that cannot be tried before it.
//   - Nothing halts because of an outage, and nothing is given up for good: see Worker.gives.
func (d *withholding) giveUp(now time.Time, r ruling) bool {
	w, e := d.w, d.events[r.first]
	tries, suspicious := e.tries, e.old
	v := Decision{First: r.first, Action: d.policy.Exhausted, Attempt: tries}
	v.Reason = &supervision.ExhaustedError{Event: uint64(r.first), Key: e.key, Attempts: tries, Err: r.failure.Err}
	switch {
	case w.gives:
		return false
	case v.Action == supervision.ActionPark && suspicious && w.engine.Park(r.first, v.Reason, tries) == nil:
		d.parked(now, r.first)
		w.engine.Doubt(r.first, true)
	case v.Action == supervision.ActionSkip && w.engine.HoldsUp(r.first) && w.engine.Skip(r.first, v.Reason, tries) == nil:
		d.skipped(r.first)
	default:
		return false
	}
	delete(w.failing, r.first)
	w.updates.add(Update{Kind: UpdatePassed, Event: r.first})
	w.unsettled.decided = append(w.unsettled.decided, v)
	d.changed()
	return true
}

// excuse keeps a verdict from being carried out, and reports whether it did: where an outage is to
// blame, or may be. What a handler says itself is obeyed, and so is everything after a panic, or
// after what is the fault of the event.
func (d *withholding) excuse(now time.Time, v Decision) bool {
	if d == nil || v.First == 0 || v.Restart || d.w.failing[v.First].fault {
		return false
	}
	_, usedUp := v.Reason.(*supervision.ExhaustedError)                                            //nolint:errorlint // of this verdict, not of another one
	skips := v.Action == supervision.ActionSkip || v.Action == supervision.ActionPark && d.w.gives // for good
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
	if d.w.engine.Defer(v.First, false) {
		d.w.unsettled.due()
	}
	putOff(d.w, now, v, errDoubtful)
}

// carriedOut notes that an event is parked or skipped.
func (d *withholding) carriedOut(now time.Time, v Decision) {
	_, usedUp := v.Reason.(*supervision.ExhaustedError) //nolint:errorlint // of this verdict, not of another one
	if d == nil || !usedUp || v.Action != supervision.ActionPark || v.Restart || d.w.failing[v.First].fault {
		d.acquit(v.First)
		return
	}
	if d.parked(now, v.First) {
		d.w.engine.Doubt(v.First, true)
	}
	d.turned()
}

// acquit forgets an event that does not fail any more.
func (d *withholding) acquit(event store.Position) {
	if d != nil {
		d.forget(event)
		d.turned()
	}
}

// review forgets what an operator has decided about, or has put out of reach: what is met again
// fails again.
func (d *withholding) review() {
	if d == nil {
		return
	}
	for event, e := range d.events {
		waits := d.w.engine.Waits(event)
		if e.place != inTurn {
			waits = d.w.engine.Parked(event)
		}
		if !waits {
			d.acquit(event)
		}
	}
}

// returned keeps what a task that has run says of dependencies, until its commit. That of a probe
// says it of the one that was probed.
func (d *withholding) returned(t Task) {
	if d == nil {
		return
	}
	if p, is := d.probes[t]; is {
		delete(d.probes, t)
		d.over = append(d.over, p)
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
	for _, p := range d.over {
		if p.of.returned(p.event) {
			d.unanswered(now, p.of)
		}
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
	for _, event := range d.decided() {
		d.w.engine.Doubt(event, false)
	}
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
	d.w.failing.at(event).tries = d.events[event].charge
	d.w.updates.add(Update{Kind: UpdateKept, Event: event, Attempts: d.events[event].charge})
}

// suspend lets all events of a dependency wait, also those that are about to be tried again.
func (d *withholding) suspend(t outageTurn) {
	w := d.w
	w.engine.Suspend(t.of.name, d.failing)
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
		failing := w.failing.at(event)
		failing.tries = min(failing.tries+1, d.policy.Attempts-1)
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
	case d.w.lanes <= 1, d.w.engine.Guarded():
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
func (t *turn) take() (Task, error) {
	if t.doubts.ready() {
		if task, err := t.probe(); task != nil || err != nil {
			return task, err
		}
	}
	return t.engine.Take(t.ctx)
}

// probe takes an event of an outage, or one that is parked and may not be to blame. In an outage
// one that has not failed comes first, since it is the best witness: what has failed may be bad.
func (t *turn) probe() (task Task, err error) {
	d := t.doubts.due(t.now)
	if d == nil {
		return nil, nil
	}
	event := store.Position(0)
	if d.phase == outageOut {
		task, event, err = t.engine.Probe(t.ctx, d.name)
	}
	if task == nil && err == nil {
		task, event, err = t.probeFailed(d)
	}
	if task == nil {
		t.doubts.unanswered(t.now, d)
		return nil, err
	}
	d.probing(event)
	t.doubts.probes[task] = probe{d, event}
	return task, nil
}

// probeFailed takes the first event in turn that failed and can be tried now.
func (t *turn) probeFailed(d *dependency) (task Task, event store.Position, err error) {
	for _, event = range d.candidates() {
		if task, err = t.engine.ProbeAt(t.ctx, event); task != nil || err != nil {
			break
		}
	}
	return task, event, err
}
