package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// Instances are those of a saga in a log. Its queries need no running system; they see what was
// committed. It is safe for concurrent use.
type Instances[S any] struct {
	shelf

	saga *Saga[S]
}

// In returns the instances of the saga in a log.
func (s *Saga[S]) In(st *store.Store) *Instances[S] {
	return &Instances[S]{shelf: shelf{name: s.name, st: st}, saga: s}
}

// Instance is one as it was committed last.
type Instance[S any] struct {
	Key string
	// Life is how far it has come. Waiting says of one that is Running that nothing of it is in
	// flight: it continues with an input, or when a timer is due.
	Life    Life
	Waiting bool
	// Unrunnable is what the program does not have any more of what the instance needs next, such as
	// `step "charge"`: its inputs are held until one does. "" for nothing.
	Unrunnable string
	// Blocked is a [BlockedError] where no input moves it any more: an event of it is parked, until an
	// operator has that replayed or discarded; nil else. It is set by [Instances.Get] alone.
	Blocked error
	// InFlight are the actions that are in flight, or the undo that is, as they are requested.
	InFlight []Attempt
	// Run counts the runs of the key; it begins above that of any instance that was purged. Version is
	// that of the definition.
	Run     uint64
	Version uint32
	// Phase, and when it was entered. Steps are the phases of a list of steps.
	Phase   string
	Entered time.Time
	// Began and Ended; Ended is zero for one that has not. Since is since when it has been as it is:
	// ended, stuck, or else in its phase.
	Began, Ended, Since time.Time
	// State is zero where it is Unrunnable, and of another type.
	State S
	// Steps that were requested, in that order.
	Steps []StepState
	// ToUndo are the steps that compensation would undo, in that order. What it has undone is none of
	// them any more.
	ToUndo []string
	// Timers that are set, the soonest first.
	Timers []Timer
	// Aliases by name and value.
	Aliases [][2]string
	// Held is how many inputs wait for another phase, or for the end of a suspension.
	Held int
	// Inputs is how many were handled.
	Inputs uint64
	// Err is why it does not go forward any more, or what it is stuck at; nil else.
	Err error
	// Skipped are steps that were not undone though they should have been.
	Skipped []string
}

// StepState is how far a step is.
type StepState struct {
	Name   string
	Status string // requested, done, refused, unknown, withdrawn or undone
	Visit  int
	Key    string // of the effect
	Err    string
	Result json.RawMessage
}

// Timer is one that is set.
type Timer struct {
	Name string
	Due  time.Time
}

// StuckError is why an instance is [Stuck].
type StuckError struct {
	Step  string
	Undo  bool // its undo has failed, else the step itself, from which there is no way back
	Text  string
	Since time.Time
}

func (e *StuckError) Error() string {
	what := "step"
	if e.Undo {
		what = "undo of step"
	}
	return fmt.Sprintf("saga: stuck at %s %q since %s: %s", what, e.Step, e.Since.Format(time.RFC3339), e.Text)
}

// FailureError is why an instance does not go forward any more.
type FailureError struct {
	Step string // that failed; "" where it was no step
	Text string
	// Cause is [ErrRefused] or [ErrUnknown] where a step has failed, [ErrDeadline], [ErrCancelled] or
	// [ErrAbandoned]; nil where a handler has given an error of its own, of which the text is kept.
	Cause error
}

func (e *FailureError) Error() string {
	text := "saga: "
	if e.Step != "" {
		text += fmt.Sprintf("step %q: ", e.Step)
	}
	said := strings.TrimPrefix(e.Text, "saga: ")
	if e.Cause == nil {
		return text + said
	}
	text += strings.TrimPrefix(e.Cause.Error(), "saga: ")
	if said == "" {
		return text
	}
	return text + ": " + said
}

// Unwrap returns Cause.
func (e *FailureError) Unwrap() error { return e.Cause }

// Get returns the instance of a key. Errors: [ErrNotFound] where there is none, [ErrRecord],
// [ErrState], and those of the store.
func (h *Instances[S]) Get(key string) (Instance[S], error) {
	o, err := h.get(key)
	if err == nil {
		o.Blocked, err = blocked(h.st, h.saga.name, key)
	}
	return o, err
}

// get is Get without what is parked.
func (h *Instances[S]) get(key string) (Instance[S], error) {
	side, err := h.side(key)
	return h.of(key, side, err)
}

// of returns the instance of a record that was read, or failed to be.
func (h *Instances[S]) of(key string, side store.SideValue, err error) (Instance[S], error) {
	var rec *record
	if err == nil {
		rec, err = started(side)
	}
	if err != nil {
		return Instance[S]{}, fmt.Errorf("saga %s, key %q: %w", h.saga.name, key, err)
	}
	p, err := h.saga.program()
	if err != nil {
		return Instance[S]{}, err
	}
	return h.instance(p, key, rec)
}

func (h *Instances[S]) instance(p *program[S], key string, rec *record) (o Instance[S], err error) {
	_, lacks, _ := p.take(rec)
	o = Instance[S]{
		Key: key, Life: rec.Life, Unrunnable: lacks, Waiting: rec.Life == Running && len(rec.inFlight()) == 0,
		Run: rec.Run, Version: rec.Version, Phase: rec.Phase, Entered: rec.Entered, Began: rec.Began, Ended: rec.Ended, Since: rec.since(),
		Held: len(rec.Held) + rec.Pages.Inputs, Inputs: rec.Inputs, Err: rec.err(), Skipped: rec.Skipped,
		Steps: rec.stepStates(h.saga.name, key), Timers: rec.timers(), InFlight: attemptsInFlight(rec, h.saga.name, key),
	}
	for _, u := range slices.Backward(rec.Undo) {
		o.ToUndo = append(o.ToUndo, u.Step)
	}
	for _, a := range rec.Aliases {
		o.Aliases = append(o.Aliases, [2]string{a.Name, a.Value})
	}
	if err = decodeState(rec, &o.State); err != nil && lacks != "" {
		var none S
		o.State, err = none, nil // it is that of another version
	}
	return o, err
}

// err is why the instance does not go forward.
func (r *record) err() error {
	switch {
	case r.Stuck != nil:
		return &StuckError{Step: r.Stuck.Step, Undo: r.Stuck.Undo, Text: r.Stuck.Error, Since: r.Stuck.Since}
	case r.Why != nil:
		return &FailureError{Step: r.Why.Step, Text: r.Why.Error, Cause: causes[r.Why.Cause]}
	}
	return nil
}

// stepStates are the steps, in the order in which they were requested last.
func (r *record) stepStates(saga, key string) (list []StepState) {
	names := slices.SortedFunc(maps.Keys(r.Steps), func(a, b string) int { return int(r.Steps[a].Order) - int(r.Steps[b].Order) })
	for _, name := range names {
		s := r.Steps[name]
		q := request{Run: nth(r.Run), Step: name, Visit: nth(s.Visit)}
		list = append(list, StepState{
			Name: name, Status: string(s.Status), Visit: s.Visit, Key: effectKey(saga, key, &q), Err: s.Error, Result: s.Result,
		})
	}
	return list
}

// attemptsInFlight are the actions, or the undo, that an instance waits for.
func attemptsInFlight(r *record, saga, key string) (list []Attempt) {
	for _, name := range r.inFlight() {
		q := request{Run: nth(r.Run), Step: name, Visit: nth(r.Steps[name].Visit)}
		list = append(list, Attempt{Key: effectKey(saga, key, &q), Saga: saga, Instance: key, Step: name})
	}
	if u := r.undoing(); u != nil && r.Life == Compensating {
		q := r.undoRequest(u)
		list = append(list, Attempt{Key: undoKey(effectKey(saga, key, &q), &q), Saga: saga, Instance: key, Step: u.Step, Undo: true})
	}
	return list
}

func (r *record) timers() (list []Timer) {
	for name, t := range r.Timers {
		list = append(list, Timer{Name: name, Due: t.Due})
	}
	slices.SortFunc(list, func(a, b Timer) int {
		if c := a.Due.Compare(b.Due); c != 0 {
			return c
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

// Wait waits until the instance of a key has ended, or is stuck, and returns it. Where there is
// none yet it waits for that, too. It ends with ctx. The commit that has ended the instance is as
// durable as any other of the store.
func (h *Instances[S]) Wait(ctx context.Context, key string) (o Instance[S], err error) {
	var seen store.SideValue // the record that was looked at last
	for {
		head := h.st.Head()
		if !h.isPresent(seen) { // each commit wakes all who wait: reading it is much more than asking
			seen, err = h.side(key)
			o, err = h.of(key, seen, err)
			if err != nil && !errors.Is(err, ErrNotFound) || err == nil && (o.Life.Ended() || o.Life == Stuck) {
				return o, err
			}
		}
		if _, err := h.st.Wait(ctx, head); err != nil {
			return o, err
		}
	}
}

// History iterates over the events of an instance's own: what was requested, with what outcome,
// timers that fired, what operators asked, and its end. See [store.History] for its errors.
func (h *Instances[S]) History(ctx context.Context, key string) iter.Seq2[store.Event, error] {
	return store.History(ctx, h.st, entity(h.saga.name, key))
}
