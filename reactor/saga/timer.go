package saga

import (
	"fmt"
	"time"
)

// deadlineTimer is the timer of Saga.Deadline. No other timer has its name.
const deadlineTimer = "saga-deadline"

// set sets a timer, in place of one of that name.
func (t *turn[S]) set(name string, due time.Time) error {
	if t.d.timers[name] == nil && name != deadlineTimer {
		return fmt.Errorf("%w: the saga has no timer %q", ErrTransition, name)
	}
	if err := t.clear(name); err != nil {
		return err
	}
	t.rec.Setting++
	set := &timerRecord{Due: due.UTC(), Generation: t.rec.Setting}
	var err error
	set.Ticket, err = t.later(due, whatFired, Fired{Name: name, Due: set.Due, Generation: set.Generation, Run: t.rec.Run})
	if t.rec.Timers == nil {
		t.rec.Timers = make(map[string]*timerRecord)
	}
	t.rec.Timers[name] = set
	return err
}

// clear takes a timer back. What has fired already is of a generation that is over.
func (t *turn[S]) clear(name string) error {
	set := t.rec.Timers[name]
	if set == nil {
		return nil
	}
	delete(t.rec.Timers, name)
	return t.b.Unschedule(t.i, set.Ticket)
}

// fired handles a timer that is due.
func (t *turn[S]) fired() error {
	var f Fired
	if err := decode(t.e, &f); err != nil {
		return err
	}
	set := t.rec.Timers[f.Name]
	if set == nil || f.Run != t.rec.Run || f.Generation != set.Generation {
		return nil // it was cleared, or set again, after it had fired
	}
	delete(t.rec.Timers, f.Name)
	if f.Name == deadlineTimer {
		return t.compensate(failure{Cause: "deadline"})
	}
	in := t.d.timers[f.Name]
	switch {
	case in == nil:
		return fmt.Errorf("%w: the saga has no timer %q any more", ErrTransition, f.Name)
	case !in.expected(t.rec.Phase):
		return t.record(fmt.Sprintf("timer %q is not expected: the instance is in phase %q", f.Name, t.rec.Phase))
	}
	return t.call(in.phases, func(tx *Tx[S]) error { return in.call(t.ctx, f, tx) })
}
