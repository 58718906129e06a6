package saga

import (
	"encoding/json"
	"errors"
	"fmt"
)

// request has an action carried out.
func (t *turn[S]) request(name string) error {
	s := t.d.steps[name]
	if s == nil || s.do == nil {
		return fmt.Errorf("%w: the saga has no action %q", ErrTransition, name)
	}
	was := t.rec.Steps[name]
	now := &stepRecord{Status: requested, Visit: 1}
	if was != nil {
		now.Visit = was.Visit + 1
	}
	switch {
	case was != nil && was.Status == requested:
		return fmt.Errorf("%w: action %q is in flight already", ErrTransition, name)
	case now.Visit > t.d.maxVisits:
		return fmt.Errorf("%w: action %q was requested %d times", ErrLimit, name, t.d.maxVisits)
	}
	t.rec.Order++
	now.Order = t.rec.Order
	if t.rec.Steps == nil {
		t.rec.Steps = make(map[string]*stepRecord)
	}
	t.rec.Steps[name] = now
	return t.own(whatRequested, request{Run: nth(t.rec.Run), Step: name, Visit: nth(now.Visit)})
}

// outcome handles the answer to a request.
func (t *turn[S]) outcome(w what) error {
	var o outcome
	if err := decode(t.e, &o); err != nil {
		return err
	}
	switch {
	case uint64(o.Run) != t.rec.Run || !t.rec.Life.alive():
		return nil // of an earlier run
	case o.Lost:
		return erasing[S]{t}.finish()
	case o.Undo:
		return t.undone(w, &o)
	}
	s := t.rec.Steps[o.Step]
	if s == nil || !s.awaits(&o.request) {
		return nil // answered before
	}
	def := t.d.steps[o.Step]
	if w == whatDone && def != nil && def.read != nil {
		err := def.read(o.Result)
		if err != nil { // by this program
			err = fmt.Errorf("cannot be read: %w", err)
		} else if err = t.d.room(t.rec, def, o.Result); err != nil { // others may have taken that since the attempt began
			err = fmt.Errorf("cannot be kept: %w", err)
		}
		if err != nil { // it has happened all the same
			w, o.Result, o.Error = whatUnknown, nil, "it is done, and its result "+err.Error()
		}
	}
	t.d.settle(t.rec, s, status(w), o.Result, o.Error)
	if (w == whatDone || w == whatUnknown) && def != nil && def.undo != nil {
		t.rec.addUndo(s.toUndo(o.Step))
	}
	switch t.rec.Life {
	case Running:
		if err := t.moveOn(o.Step, s, o.Result); err != nil {
			return err
		}
		return t.close()
	case Compensating:
		return t.unwind()
	default:
		return nil // it is stuck: an operator says how it continues
	}
}

// moveOn is what follows the outcome of an action of an instance that goes forward.
func (t *turn[S]) moveOn(name string, s *stepRecord, result json.RawMessage) error {
	def := t.d.steps[name]
	if def == nil {
		return fmt.Errorf("%w: the saga has no action %q any more", ErrTransition, name)
	}
	if s.Status == unknown && def.ask {
		return t.stick(t.now, name, false, s.Error)
	}
	if s.Status == done && def.keep != nil {
		if err := t.call(phases{}, func(tx *Tx[S]) error { return def.keep(&tx.State, result) }); err != nil {
			return err
		}
	}
	switch {
	case t.d.list:
		return t.join(name)
	case s.Status == done && def.then != nil:
		return t.call(phases{}, func(tx *Tx[S]) error { return def.then(t.ctx, result, tx) })
	case s.Status == done:
		return nil
	case s.Status == refused && def.refused != nil:
		return t.call(phases{}, func(tx *Tx[S]) error { return def.refused(t.ctx, Refuse(errors.New(s.Error)), tx) })
	default:
		return t.compensate(s.failed(name))
	}
}

// close completes an instance that is to, once nothing is in flight.
func (t *turn[S]) close() error {
	if t.rec.Life != Running || !t.rec.Closing || len(t.rec.inFlight()) > 0 {
		return nil
	}
	return t.end(Completed)
}

// stage requests the steps of a stage of a list, or ends the instance behind the last one.
func (t *turn[S]) stage(i int) error {
	for ; i < len(t.d.stages) && t.d.stages[i].pivot; i++ {
		t.rec.Pivoted = true
		if err := t.clear(deadlineTimer); err != nil {
			return err
		}
	}
	if i == len(t.d.stages) {
		return t.end(Completed)
	}
	t.rec.enter(t.now, t.d.stages[i].name)
	for _, name := range t.d.stages[i].steps {
		if err := t.request(name); err != nil {
			return err
		}
	}
	return nil
}

// join looks whether the stage is over, of which a step has its outcome.
func (t *turn[S]) join(name string) error {
	at := t.d.stageOf(t.rec.Phase)
	if at < 0 {
		return fmt.Errorf("%w: the list has no step %q any more", ErrTransition, t.rec.Phase)
	}
	failed := ""
	for _, step := range t.d.stages[at].steps {
		switch s := t.rec.Steps[step]; {
		case s == nil || s.Status == done:
		case s.Status == requested:
			if f := t.rec.Steps[name]; f.Status != done && t.d.stages[at].withdraw && !t.rec.Pivoted {
				return t.compensate(f.failed(name))
			}
			return nil
		case failed == "" || t.rec.Steps[failed].Order > s.Order:
			failed = step
		}
	}
	if failed == "" {
		return t.stage(at + 1)
	}
	return t.compensate(t.rec.Steps[failed].failed(failed))
}

// compensate turns the instance back, or where there is no way back stops it.
func (t *turn[S]) compensate(why failure) error {
	if t.rec.Life != Running {
		return nil
	}
	if t.rec.Pivoted {
		return t.stick(t.now, why.Step, false, why.Error)
	}
	for name := range t.rec.Timers {
		if err := t.clear(name); err != nil {
			return err
		}
	}
	t.rec.Life, t.rec.Why = Compensating, &why
	if err := recallAll(t); err != nil {
		return err
	}
	return t.unwind()
}

// unwind undoes the next thing, once nothing is in flight any more; with nothing left it ends the
// instance.
func (t *turn[S]) unwind() error {
	if len(t.rec.inFlight()) > 0 || t.rec.undoing() != nil {
		return nil
	}
	if name := t.d.asksFor(t.rec); name != "" {
		return t.stick(t.now, name, false, t.rec.Steps[name].Error)
	}
	n := len(t.rec.Undo)
	if n == 0 {
		return t.end(t.rec.undoneLife())
	}
	u := &t.rec.Undo[n-1]
	if def := t.d.steps[u.Step]; def == nil || def.undo == nil {
		return t.stick(t.now, u.Step, true, "the saga has no undo of that name any more")
	}
	u.Try = 1
	return t.own(whatRequested, t.rec.undoRequest(u))
}

// asksFor returns the first step whose outcome is unknown and which is not undone before an
// operator has said what happened; "" for none.
func (d *definition[S]) asksFor(rec *record) (first string) {
	for name, s := range rec.Steps {
		def := d.steps[name]
		asks := s.Status == unknown && def != nil && def.ask && def.undo != nil
		if asks && (first == "" || s.Order < rec.Steps[first].Order) {
			first = name
		}
	}
	return first
}

// undoneLife is how an instance ends that has nothing left to undo.
func (r *record) undoneLife() Life {
	if len(r.Skipped) > 0 || r.Why.Fails && !r.Why.Undid {
		return Failed
	}
	return Compensated
}

func (r *record) undoRequest(u *undoRecord) request {
	q := request{Run: nth(r.Run), Step: u.Step, Visit: nth(u.Visit), Undo: true, Try: u.Try, No: u.Refused}
	if u.Visit == 0 {
		q.Order = u.Order
	}
	return q
}

// undone handles the outcome of an undo.
func (t *turn[S]) undone(w what, o *outcome) error {
	u := t.rec.undoing()
	if u == nil || !u.awaits(&o.request) || t.rec.Life != Compensating {
		return nil
	}
	if w == whatRefused {
		u.Refused++
	}
	if w != whatDone {
		return t.stick(t.now, o.Step, true, o.Error)
	}
	t.rec.undid()
	return t.unwind()
}

// skipAll notes that nothing is undone any more, of what is in flight neither.
func (d *definition[S]) skipAll(rec *record) {
	for _, u := range rec.Undo {
		rec.Skipped = append(rec.Skipped, u.Step)
	}
	for _, name := range rec.inFlight() {
		if def := d.steps[name]; def != nil && def.undo != nil {
			rec.Skipped = append(rec.Skipped, name)
		}
	}
}
