package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/store"
)

// Tx is what a handler changes of its instance: its state, and what follows. All of it is written
// in one commit with the input being done, or none of it where the handler returns an error. It
// belongs to one call of one handler.
//
// The first thing that cannot be fails the input once the handler returns, as an [ErrTransition],
// [ErrLimit], [ErrAlias] or [ErrKey], or as the error of the store for an event that it refuses.
type Tx[S any] struct {
	// State of the instance, to be changed in place.
	State S

	t     *turn[S] // nil once the handler has returned
	err   error
	moved bool // to another phase, or to its end
	to    []string
}

// Key of the instance.
func (tx *Tx[S]) Key() string { return tx.t.key }

// Phase of the instance.
func (tx *Tx[S]) Phase() string { return tx.t.rec.Phase }

// Now is the time of the store, which does not go back where a clock is set.
func (tx *Tx[S]) Now() time.Time { return tx.t.now }

// Emit writes an event, as an answer to the input.
func (tx *Tx[S]) Emit(at store.Coordinate, p store.Payload) {
	tx.Propose(store.Proposal{At: at, Payload: p})
}

// Propose is Emit with headers, meta or an expectation: see store.Proposal. One that does not hold
// refuses the commit, and the input is handled again.
func (tx *Tx[S]) Propose(p store.Proposal) {
	if tx.t != nil && tx.err == nil {
		tx.err = tx.t.propose(p)
	}
}

// After sets a timer, which the saga handles by [OnTimer], from now on, or from the time of the
// input where that is later. It takes the place of one of that name. It is kept as the time at
// which it is due by store.Store.Now: a clock that is set back delays it by nothing while the store
// is open, and one that is set forwards, as after the machine has slept, has it fire at once where
// it is due by that.
func (tx *Tx[S]) After(timer string, d time.Duration) {
	tx.do(func(t *turn[S]) error {
		from := t.now
		if at := t.e.Time.Time(); at.After(from) {
			from = at
		}
		return t.set(timer, from.Add(d))
	})
}

// At sets a timer to a time. Where that has passed it fires at once.
func (tx *Tx[S]) At(timer string, due time.Time) {
	tx.do(func(t *turn[S]) error { return t.set(timer, due) })
}

// Clear takes a timer back. Its handler is not called any more, even if it has fired and waits in
// the log already.
func (tx *Tx[S]) Clear(timer string) {
	tx.do(func(t *turn[S]) error { return t.clear(timer) })
}

// Alias gives the instance a second name, by which [Via] finds it, until it is purged. One that
// another instance has is an [ErrAlias].
func (tx *Tx[S]) Alias(name, value string) {
	tx.do(func(t *turn[S]) error { return t.alias(name, value) })
}

// Run requests an action of the saga ([Do]), which must not be in flight.
func (tx *Tx[S]) Run(step string) {
	tx.do(func(t *turn[S]) error { return t.request(step) })
}

// OnUndo adds an undo of the saga ([Undo]) to what compensation undoes, before all that was
// requested or added earlier.
func (tx *Tx[S]) OnUndo(undo string) {
	tx.do(func(t *turn[S]) error {
		if s := t.d.steps[undo]; s == nil || s.undo == nil {
			return fmt.Errorf("%w: the saga has no undo %q", ErrTransition, undo)
		}
		t.rec.Order++
		t.rec.addUndo(undoRecord{Step: undo, Order: t.rec.Order})
		return nil
	})
}

// Goto moves the instance to a phase.
func (tx *Tx[S]) Goto(phase string) {
	tx.do(func(t *turn[S]) error {
		switch {
		case t.d.list:
			return fmt.Errorf("%w: the steps of a list are its phases", ErrTransition)
		case len(tx.to) > 0 && !slices.Contains(tx.to, phase):
			return fmt.Errorf("%w: to phase %q, which is not among those of the input: %q", ErrTransition, phase, tx.to)
		case len(phase) > maxNameBytes:
			return fmt.Errorf("%w: to a phase of %d bytes", ErrTransition, len(phase))
		}
		t.rec.enter(t.now, phase)
		tx.moved = true
		return nil
	})
}

// Complete ends the instance as it should, once nothing is in flight any more: where an action
// fails that is in flight now, the instance compensates.
func (tx *Tx[S]) Complete() {
	tx.do(func(t *turn[S]) error {
		t.rec.Closing = true
		return t.close()
	})
}

// Compensate undoes what was done, once nothing is in flight any more, and ends the instance. err
// says why.
func (tx *Tx[S]) Compensate(err error) {
	tx.do(func(t *turn[S]) error { return t.compensate(failure{Error: text(err)}) })
}

// Fail is Compensate for an instance that ends as [Failed] where there is nothing to undo.
func (tx *Tx[S]) Fail(err error) {
	tx.do(func(t *turn[S]) error { return t.compensate(failure{Error: text(err), Fails: true}) })
}

// cancel is Compensate where there is a way back.
func (tx *Tx[S]) cancel() {
	tx.do(func(t *turn[S]) error {
		if t.rec.Pivoted {
			return t.record("it is behind the pivot")
		}
		return t.compensate(failure{Error: "by an event", Cause: "cancelled"})
	})
}

// do does something, unless something before it has failed or the handler has returned.
func (tx *Tx[S]) do(change func(t *turn[S]) error) {
	if tx.t == nil || tx.err != nil {
		return
	}
	if tx.t.rec.Life != Running {
		tx.err = fmt.Errorf("%w: the instance is %s", ErrTransition, tx.t.rec.Life)
		return
	}
	tx.err = change(tx.t)
}

// call calls a handler with the state, and keeps what it leaves.
func (t *turn[S]) call(p phases, handle func(tx *Tx[S]) error) error {
	tx := &Tx[S]{t: t, to: p.to}
	defer func() { tx.t = nil }()
	if err := decodeState(t.rec, &tx.State); err != nil {
		return err
	}
	if err := handle(tx); err != nil {
		return err
	}
	if tx.err != nil {
		return tx.err
	}
	t.called = true
	data, err := t.d.encodeState(&tx.State)
	if err == nil {
		t.rec.State = data
	}
	return err
}

// decodeState decodes the state of an instance.
func decodeState[S any](r *record, into *S) error {
	if len(r.State) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.State, into); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

func encodeState(state any) (json.RawMessage, error) {
	data, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return data, nil
}

// encodeState is encodeState with the limit of the saga.
func (d *definition[S]) encodeState(state *S) (json.RawMessage, error) {
	data, err := encodeState(state)
	if err == nil && len(data) > d.maxState {
		return nil, fmt.Errorf("%w: a state of %d bytes, at most %d", ErrLimit, len(data), d.maxState)
	}
	return data, err
}

// text of an error, as it is kept.
func text(err error) string {
	if err == nil {
		err = errors.New("no reason was given")
	}
	return clip(err.Error())
}

// maxTextBytes is how much of the text of an error is kept.
const maxTextBytes = 1024

func clip(s string) string {
	if len(s) <= maxTextBytes {
		return s
	}
	return s[:maxTextBytes]
}
