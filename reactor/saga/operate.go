package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// op is what an operator asks.
type op string

const (
	opCancel  op = "cancel"
	opRetry   op = "retry"
	opSkip    op = "skip-undo"
	opSettle  op = "settle"
	opAbandon op = "abandon"
	opSuspend op = "suspend"
	opResume  op = "resume"
	opFire    op = "fire"
	opPurge   op = "purge"
)

// ask is the payload of whatAsked.
type ask struct {
	Do     op              `json:"do"`
	Run    uint64          `json:"run,omitempty"` // 0 for whichever there is
	Timer  string          `json:"timer,omitempty"`
	Step   string          `json:"step,omitempty"`
	Undo   bool            `json:"undo,omitempty"` // of the step
	Status status          `json:"status,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	About  string          `json:"about,omitempty"` // see about
	Reason string          `json:"reason,omitempty"`
	By     string          `json:"by,omitempty"`
}

// asking is the turn of an operator's call.
type asking[S any] struct{ *turn[S] }

// asked does what an operator asks. What does not fit the instance is recorded, and has no effect.
func (t asking[S]) asked() error {
	var a ask
	if err := decode(t.e, &a); err != nil {
		return err
	}
	if a.Run != 0 && a.Run != t.rec.Run {
		return t.record(fmt.Sprintf("%s of run %d", a.Do, a.Run))
	}
	if err := t.rec.fits(&a); err != nil {
		return t.record(fmt.Sprintf("%s: %v", a.Do, err))
	}
	switch a.Do {
	case opCancel:
		return t.compensate(failure{Error: clip(a.Reason), Cause: "cancelled"})
	case opRetry:
		return t.askedRetry()
	case opSkip:
		return t.askedSkip()
	case opSettle:
		return t.askedSettle(&a)
	case opAbandon:
		return t.askedAbandon(&a)
	case opSuspend:
		t.rec.Before, t.rec.Life = t.rec.Life, Suspended
		return nil
	case opResume:
		return t.askedResume()
	case opFire:
		return t.askedFire(&a)
	default:
		return t.askedPurge()
	}
}

// fits says why an operator's call does not fit an instance, nil where it does.
func (r *record) fits(a *ask) error {
	unfit := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrUnfit}, args...)...)
	}
	is := unfit("it is %s", r.Life)
	ok := false
	if a.About != "" && a.About != about(r) {
		_, name, _ := strings.Cut(a.About, " ")
		return unfit("it is %s, and that was about %q", r.Life, name)
	}
	switch a.Do {
	case opCancel:
		if ok = r.Life == Running && !r.Pivoted; r.Pivoted {
			is = unfit("it is behind its pivot")
		}
	case opRetry:
		if ok = canRetry(r); r.Life == Stuck {
			is = unfit("there is no step to repeat: %s", r.Stuck.Error)
		} else if r.Life.alive() {
			is = unfit("it is %s, with nothing in flight", r.Life)
		}
	case opSkip:
		if ok = r.atUndo() != nil; r.Life.alive() {
			is = unfit("it is %s, and undoes nothing now", r.Life)
		}
	case opSettle:
		why := unsettled(r, a)
		ok, is = why == "", unfit("%s", why)
	case opAbandon:
		ok = r.Life.alive()
	case opSuspend:
		ok = r.Life.alive() && r.Life != Suspended
	case opResume:
		ok = r.Life == Suspended
	case opFire:
		if ok = r.Life == Running && r.Timers[a.Timer] != nil; r.Life == Running && !ok {
			is = unfit("timer %q is not set", a.Timer)
		}
	case opPurge:
		ok = r.Life.Ended()
	default:
		is = unfit("there is no such call")
	}
	if ok {
		return nil
	}
	return is
}

// about is what an operator has in mind who calls for a retry, or has an undo passed over; "" for
// what is in flight, whatever that is. Of two calls the first one counts.
func about(r *record) string {
	if u := r.atUndo(); u != nil {
		return fmt.Sprintf("%d.%d %s", u.Order, u.Try, Attempt{Step: u.Step, Undo: true})
	}
	if r.Life != Stuck || r.Steps[r.Stuck.Step] == nil {
		return ""
	}
	s := r.Steps[r.Stuck.Step]
	return fmt.Sprintf("%d.%d %s", s.Order, s.Try, r.Stuck.Step)
}

// canRetry reports whether there is something that can be tried again.
func canRetry(r *record) bool {
	switch r.Life {
	case Stuck:
		s := r.Steps[r.Stuck.Step]
		return r.atUndo() != nil || !r.Stuck.Undo && s != nil && s.Status != requested
	case Running, Compensating:
		return r.atUndo() != nil || len(r.inFlight()) > 0
	default:
		return false
	}
}

// unsettled says why an operator cannot say what happened in an action or an undo, "" where that
// can be said. What is in flight may happen yet: so of that it cannot be said that it did not, and
// where there is a way back it cannot be said of actions at all, or they might happen after they
// were undone.
func unsettled(r *record, a *ask) string {
	name, s := Attempt{Step: a.Step, Undo: a.Undo}.String(), r.Steps[a.Step]
	if a.Step == "" {
		return fmt.Sprintf("it is %s, and the call names no action", r.Life)
	}
	if a.Undo {
		switch u := r.atUndo(); {
		case u == nil || u.Step != a.Step:
			return fmt.Sprintf("it is %s, and not at %q", r.Life, name)
		case a.Status != done:
			return "an undo that did not happen is repeated by Retry, or passed over by SkipUndo"
		case len(a.Result) > 0:
			return "an undo has no result"
		}
		return ""
	}
	switch stuckAt := r.Life == Stuck && !r.Stuck.Undo && r.Stuck.Step == a.Step && s != nil; {
	case stuckAt && (s.Status == unknown || s.Status == refused && a.Status == done):
		return ""
	case a.Status == done && r.Life == Running && r.Pivoted && s != nil && s.Status == requested:
		return ""
	}
	return fmt.Sprintf("it is %s, and not stuck at an unknown outcome of step %q", r.Life, name)
}

// askedResume lets the instance continue. What is in flight may wait for long, as it was suspended.
// What is answered is not tried again: its answer is held, or comes.
func (t asking[S]) askedResume() error {
	t.rec.Life, t.rec.Before, t.rec.Again = t.rec.Before, None, time.Time{}
	t.rec.retry()
	if t.rec.Life == Stuck {
		return nil
	}
	answered, err := t.answered()
	if err != nil {
		return err
	}
	return t.tryNow(func(string) bool { return false }, answered)
}

// askedRetry repeats what the instance is stuck at, or tries what is in flight now.
func (t asking[S]) askedRetry() error {
	if at := t.rec.Stuck; at != nil && !at.Undo {
		return t.repeat(at.Step)
	}
	if t.rec.Life == Stuck {
		t.rec.Life, t.rec.Stuck = Compensating, nil
	}
	return t.tryNow(t.asks, nil)
}

// tryNow has what is in flight tried, but for the actions and undos in answered: as another
// request, so that it does not wait for the delay of the one before, which is not answered then.
func (t asking[S]) tryNow(asks func(step string) bool, answered map[string]bool) error {
	if u := t.rec.atUndo(); u != nil {
		if answered[undoPrefix+u.Step] {
			return nil
		}
		u.Try++
		return t.own(whatRequested, t.rec.undoRequest(u))
	}
	for _, name := range t.rec.inFlight() {
		if answered[name] {
			continue
		}
		s := t.rec.Steps[name]
		s.Try++
		q := request{Run: nth(t.rec.Run), Step: name, Visit: nth(s.Visit), Try: s.Try, Ask: asks(name)}
		if err := t.own(whatRequested, q); err != nil {
			return err
		}
	}
	return nil
}

// repeat has a step carried out once more that the instance is stuck at: to go forward, or where it
// compensates to find out whether there is something to undo.
func (t asking[S]) repeat(name string) error {
	s := t.rec.Steps[name]
	t.rec.forget(s)
	if s.Status == refused { // a service may have kept its No under the key
		s.Visit++
	}
	s.Status, s.Result, s.Error = requested, nil, ""
	s.Try++
	t.rec.unstick()
	return t.own(whatRequested, request{
		Run: nth(t.rec.Run), Step: name, Visit: nth(s.Visit), Try: s.Try, Ask: t.rec.Life == Compensating || t.asks(name),
	})
}

// asks reports whether a step that an operator has tried again is attempted though the instance
// compensates by then: its outcome must be known.
func (t asking[S]) asks(name string) bool {
	def := t.d.steps[name]
	return def != nil && def.ask
}

// unstick lets the instance continue into the direction in which it went.
func (r *record) unstick() {
	if r.Life, r.Stuck = Running, nil; r.Why != nil {
		r.Life = Compensating
	}
}

// forget takes what a request has done from what is undone.
func (r *record) forget(s *stepRecord) {
	r.Undo = slices.DeleteFunc(r.Undo, func(u undoRecord) bool { return u.Order == s.Order })
}

func (t asking[S]) askedSkip() error {
	if err := recallUndo(t.turn); err != nil {
		return err
	}
	n := len(t.rec.Undo)
	t.rec.Skipped = append(t.rec.Skipped, t.rec.Undo[n-1].Step)
	t.rec.Undo = t.rec.Undo[:n-1]
	t.rec.unstick()
	return t.unwind()
}

// askedSettle says what has happened in an action, or that an undo has.
func (t asking[S]) askedSettle(a *ask) error {
	if err := t.d.readable(t.rec, a); err != nil {
		return t.record(fmt.Sprintf("%s: %v", a.Do, err))
	}
	if a.Undo {
		if err := recallUndo(t.turn); err != nil {
			return err
		}
		t.rec.undid()
		t.rec.unstick()
		return t.unwind()
	}
	s := t.rec.Steps[a.Step]
	if s.Status == requested {
		if err := t.own(whatRecalled, request{Run: nth(t.rec.Run), Step: a.Step, Visit: nth(s.Visit), Try: s.Try}); err != nil {
			return err
		}
	}
	t.rec.forget(s)
	t.d.settle(t.rec, s, a.Status, a.Result, a.Reason)
	if def := t.d.steps[a.Step]; a.Status == done && def != nil && def.undo != nil {
		t.rec.addUndo(s.toUndo(a.Step))
	}
	if t.rec.unstick(); t.rec.Life == Compensating {
		return t.unwind()
	}
	return t.moveOn(a.Step, s, a.Result)
}

// readable says why what an operator says of a step cannot be handled, nil where it can.
func (d *definition[S]) readable(rec *record, a *ask) error {
	if a.Do != opSettle || a.Undo {
		return nil
	}
	s := d.steps[a.Step]
	if s == nil || s.read == nil || d.list && d.stageOf(rec.Phase) < 0 {
		return fmt.Errorf("%w: it lacks step %q", ErrUnrunnable, a.Step)
	}
	err := s.read(a.Result)
	if err == nil {
		err = d.room(rec, s, a.Result)
	}
	if err == nil {
		err = d.tryKeep(rec, s, a.Result)
	}
	if err != nil {
		return fmt.Errorf("%w: the result of step %q: %w", ErrUnfit, a.Step, err)
	}
	return nil
}

func (t asking[S]) askedAbandon(a *ask) error {
	if t.rec.Why == nil {
		t.rec.Why = &failure{Error: clip(a.Reason), Cause: "abandoned"}
	}
	if err := errors.Join(recallUndo(t.turn), recallAll(t.turn)); err != nil {
		return err
	}
	t.d.skipAll(t.rec)
	return t.end(Failed)
}

// askedFire has a timer fire now.
func (t asking[S]) askedFire(a *ask) error {
	set := t.rec.Timers[a.Timer]
	if err := t.b.Unschedule(t.i, set.Ticket); err != nil {
		return err
	}
	return t.own(whatFired, Fired{Name: a.Timer, Due: set.Due, Generation: set.Generation, Run: t.rec.Run})
}

// askedPurge forgets an instance that has ended.
func (t asking[S]) askedPurge() error {
	if err := t.passOver("the instance was purged before it was handled"); err != nil {
		return err
	}
	if t.rec.Pages.Count > 0 || len(t.rec.Held) > 0 { // too many for one commit
		_, err := t.later(t.now.Add(time.Minute), whatAsked, ask{Do: opPurge, Run: t.rec.Run, By: "saga"})
		return err
	}
	t.gone = true
	return t.forget()
}
