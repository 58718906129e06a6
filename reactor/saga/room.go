package saga

import (
	"encoding/json"
	"fmt"
)

// The room of a record. A side value of the store has a limit, which no input may meet that an
// instance waits for: it would be blocked for good.
//
//	state          at most MaxState                      a handler's input fails
//	results        704 KiB less MaxState, together       the outcome is unknown, with the sizes
//	all the rest   what is left, less reserve            a handler's input fails
//	reserve        facts: outcomes, calls of operators   their texts share what there is
const (
	mostRecord  = 1 << 20
	mostResults = 704 << 10 // less MaxState
	reserve     = 64 << 10
	mostTexts   = 16 << 10 // of errors of steps, once they are many
)

// room says why a record cannot have the result of an action, nil where it can. One that nothing
// undoes needs none: see [definition.keeps].
func (d *definition[S]) room(rec *record, def *step[S], result json.RawMessage) error {
	if len(result) > d.maxState {
		return fmt.Errorf("%w: a result of %d bytes, at most %d (Saga.MaxState): keep results small, as the key of what is kept elsewhere",
			ErrLimit, len(result), d.maxState)
	}
	if def.undo != nil && !d.keeps(rec, result) {
		return fmt.Errorf("%w: a result of %d bytes beside others of %d, at most %d together: keep results small, as the key of what is kept elsewhere",
			ErrLimit, len(result), resultBytes(rec), mostResults-d.maxState)
	}
	return nil
}

// keeps reports whether a record has room for the result of another action.
func (d *definition[S]) keeps(rec *record, result json.RawMessage) bool {
	return len(result) == 0 || resultBytes(rec)+len(result) <= mostResults-d.maxState
}

// together says why a record cannot have a migrated state beside its results, which had the limit
// of a former version; nil where it can.
func together(rec *record) error {
	if n := resultBytes(rec); len(rec.State)+n > mostResults {
		return fmt.Errorf("%w: a state of %d bytes beside results of %d, at most %d together", ErrLimit, len(rec.State), n, mostResults)
	}
	return nil
}

// settle notes the outcome of a request, with its result where there is room.
func (d *definition[S]) settle(rec *record, s *stepRecord, as status, result json.RawMessage, why string) {
	if !d.keeps(rec, result) {
		result, why = nil, fmt.Sprintf("its result of %d bytes is not kept, beside others of %d", len(result), resultBytes(rec))
	}
	s.Status, s.Result, s.Error = as, result, failText(rec, why)
}

// resultBytes is how much all results take, each of them once.
func resultBytes(r *record) (n int) {
	for _, s := range r.Steps {
		n += len(s.Result)
	}
	for i := range r.Undo {
		if u := &r.Undo[i]; r.Steps[u.Step] == nil || !u.isOf(r.Steps[u.Step]) {
			n += len(u.Result)
		}
	}
	return n
}

// failText is what is kept of the error of a step: of many steps each has a share.
func failText(r *record, why string) string {
	return why[:min(len(why), maxTextBytes, mostTexts/max(1, len(r.Steps)))]
}

// kept is the record as it is kept. Where a handler was called it leaves a reserve.
func (t *turn[S]) kept() ([]byte, error) {
	most := mostRecord
	if t.called {
		most -= reserve
	}
	kept := t.rec.encode()
	if len(kept) > most {
		return nil, fmt.Errorf("%w: a record of %d bytes, at most %d: %d of state, %d of results, and %d timers, %d aliases, %d undos, %d inputs that wait",
			ErrLimit, len(kept), most, len(t.rec.State), resultBytes(t.rec), len(t.rec.Timers), len(t.rec.Aliases), len(t.rec.Undo), len(t.rec.Held))
	}
	return kept, nil
}

// tryKeep says why the state cannot take the result that an operator reports, nil where it can.
func (d *definition[S]) tryKeep(rec *record, def *step[S], result json.RawMessage) error {
	if def.keep == nil || rec.Why != nil || rec.Version != d.version {
		return nil
	}
	var state S
	if err := decodeState(rec, &state); err != nil {
		return err
	}
	if err := guarded(func() error { return def.keep(&state, result) }); err != nil {
		return err
	}
	_, err := d.encodeState(&state)
	return err
}
