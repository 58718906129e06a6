package saga

import (
	"encoding/json"
	"fmt"
	"slices"
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
	Status status          `json:"status,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
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
		t.rec.Life, t.rec.Before, t.rec.Again = t.rec.Before, None, time.Time{}
		t.rec.retry()
		return nil
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
	switch a.Do {
	case opCancel:
		if ok = r.Life == Running && !r.Pivoted; r.Pivoted {
			is = unfit("it is behind its pivot")
		}
	case opRetry:
		if ok = r.Life == Stuck; ok && !r.Stuck.Undo && (r.Steps[r.Stuck.Step] == nil || r.Steps[r.Stuck.Step].Status == requested) {
			return unfit("there is no step to repeat: %s", r.Stuck.Error)
		}
	case opSkip:
		ok = r.Life == Stuck && r.Stuck.Undo
	case opSettle:
		s := r.Steps[a.Step]
		if ok = r.Life == Stuck && !r.Stuck.Undo && r.Stuck.Step == a.Step && s != nil && s.Status == unknown; !ok {
			is = unfit("it is not stuck at an unknown outcome of step %q", a.Step)
		}
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

// askedRetry repeats what the instance is stuck at.
func (t asking[S]) askedRetry() error {
	at := t.rec.Stuck
	if at.Undo {
		u := &t.rec.Undo[len(t.rec.Undo)-1]
		u.Try++
		t.rec.Life, t.rec.Stuck = Compensating, nil
		return t.own(whatRequested, t.rec.undoRequest(u))
	}
	s := t.rec.Steps[at.Step]
	t.rec.forget(s)
	if s.Status == refused { // a service may have kept its No under the key
		s.Visit++
	}
	s.Status, s.Result, s.Error = requested, nil, ""
	s.Try++
	t.rec.Life, t.rec.Stuck = Running, nil
	return t.own(whatRequested, request{Run: nth(t.rec.Run), Step: at.Step, Visit: nth(s.Visit), Try: s.Try})
}

// forget takes what a request has done from what is undone.
func (r *record) forget(s *stepRecord) {
	r.Undo = slices.DeleteFunc(r.Undo, func(u undoRecord) bool { return u.Order == s.Order })
}

func (t asking[S]) askedSkip() error {
	n := len(t.rec.Undo)
	t.rec.Skipped = append(t.rec.Skipped, t.rec.Undo[n-1].Step)
	t.rec.Undo = t.rec.Undo[:n-1]
	t.rec.Life, t.rec.Stuck = Compensating, nil
	return t.unwind()
}

// askedSettle says what has happened in an action whose outcome is unknown.
func (t asking[S]) askedSettle(a *ask) error {
	s := t.rec.Steps[a.Step]
	t.rec.forget(s)
	s.Status, s.Result, s.Error = a.Status, a.Result, clip(a.Reason)
	if def := t.d.steps[a.Step]; a.Status == done && def != nil && def.undo != nil {
		t.rec.addUndo(s.toUndo(a.Step))
	}
	t.rec.Life, t.rec.Stuck = Running, nil
	return t.moveOn(a.Step, s)
}

func (t asking[S]) askedAbandon(a *ask) error {
	if t.rec.Why == nil {
		t.rec.Why = &failure{Error: clip(a.Reason), Cause: "abandoned"}
	}
	for _, u := range t.rec.Undo {
		t.rec.Skipped = append(t.rec.Skipped, u.Step)
	}
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
	for _, h := range t.rec.Held {
		p := pointer{Run: t.rec.Run, Input: h.At, Why: "the instance was purged before it was handled"}
		if err := t.own(whatRecorded, p); err != nil {
			return err
		}
	}
	t.gone = true
	return t.forget()
}
