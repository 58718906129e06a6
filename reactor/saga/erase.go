package saga

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

var _ reactor.Keeper = (*Saga[struct{}])(nil)

// ErasedSides makes a saga a reactor.Keeper, so that an erasure reaches its instances:
//
//	what := store.Erasure{Entity: "order:42", Effects: true, Reason: "asked for", By: "support"}
//	what.Sides = reactor.ErasedSides(st, checkout)
//	report, err := store.Erase(ctx, st, what)
//
// An instance is erased of which an event is that it was made from, or one of its own, at the
// entity "saga:NAME:KEY": its state, the results of its steps, its aliases and the texts of its
// errors go, in the commit of the erasure. One that has ended keeps how, and keeps its key from
// starting again, until it is purged, after Saga.Retain. One that has not can neither continue nor
// undo what was done: it ends as [Failed], because of [store.ErrErased], and what was not undone is
// in Instance.Skipped. So an instance that is to undo first is cancelled, and erased once it has
// ended. Its timers are gone, what is in flight ends without an outcome, and once the saga runs the
// inputs that wait for it are recorded, and hold retention back no longer.
//
// A type of state may say what stays of it instead, by a method Erased that returns that, such as
// the state itself where it has nothing of what is to be forgotten: its instances continue with it,
// and keep their results, unless an event of their own is erased.
//
//	func (o Order) Erased() Order { o.Address = ""; return o }
//
// It reads the events of the saga once. Errors are those of the definition, of reading, and
// [ErrRecord] of an instance that cannot be read: it may have anything.
func (s *Saga[S]) ErasedSides(
	ctx context.Context, st *store.Store, erased func(store.Position) bool,
) (sides []store.SideWrite, err error) {
	p, err := s.program()
	if err != nil {
		return nil, err
	}
	info, err := checkpoint.Inspect(st, checkpoint.ID(s.name))
	if errors.Is(err, checkpoint.ErrNotFound) {
		return nil, nil
	}
	var touched map[string]touch
	x := eraser[S]{program: p, st: st, info: info, first: info.Record.FirstName(info.ID)}
	if err == nil {
		touched, err = x.touched(ctx, s.Scope, erased)
	}
	for _, key := range slices.Sorted(maps.Keys(touched)) {
		if err == nil {
			sides, err = x.erase(sides, key, touched[key])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("saga %s: %w", s.name, err)
	}
	return sides, nil
}

// eraser finds what is kept of events that are erased.
type eraser[S any] struct {
	*program[S]

	st    *store.Store
	info  checkpoint.Info
	first checkpoint.ID
}

// touch is what an erasure does to an instance.
type touch struct {
	made bool // an event is erased that it was made from; else one that it may be about to be made from
	own  bool // an event of its own is

	event store.Event // the last of them
}

// touched returns the instances of events that are erased, by key.
func (x *eraser[S]) touched(ctx context.Context, scope string, erased func(store.Position) bool) (map[string]touch, error) {
	kinds := x.kinds()
	for _, w := range []what{whatRequested, whatRecalled, whatRecorded, whatStuck, whatUnrunnable, whatEnded} {
		kinds = append(kinds, w.kind(x.name))
	}
	all := make(map[string]touch)
	passed := make(map[store.Position]bool) // inputs that were recorded: nothing is made from them
	var inputs []store.Event
	for e, err := range x.st.Read(ctx, store.Region{Scope: scope, Kinds: kinds}, store.Beginning()) {
		if err != nil {
			return nil, err
		}
		if w := whatOf(x.name, e.Kind); w == whatRecorded && !isErased(&e) {
			var p pointer
			if decode(&e, &p) == nil {
				passed[p.Input] = true
			}
		}
		if erased(e.Position) {
			inputs = append(inputs, e)
		}
	}
	for i := range inputs {
		e := &inputs[i]
		key, own, ok := x.keyOf(e)
		rec := x.present(key)
		if !ok || passed[e.Position] || !x.reached(e, rec) {
			continue
		}
		made, err := own, error(nil)
		if !own && !x.waits(e.Position) {
			made, err = checkpoint.Handled(x.st, x.info, e.Position)
		}
		if err != nil {
			return nil, err
		}
		all[key] = touch{made: made || all[key].made, own: own || all[key].own, event: *e}
	}
	return all, nil
}

// keyOf returns the instance of an event, and whether the event is one of its own. One that was
// never handled may have none.
func (x *eraser[S]) keyOf(e *store.Event) (key string, own, ok bool) {
	if whatOf(x.name, e.Kind) != "" {
		key, ok = strings.CutPrefix(e.Coordinate.Entity, entity(x.name, ""))
		return key, true, ok
	}
	at, err := x.place(e, x.side)
	return at.key, false, err == nil && at.key != ""
}

// reached reports whether an event had come by the time that made it one of the present run of an
// instance: a former run may have had its key, or another instance its alias.
func (x *eraser[S]) reached(e *store.Event, rec *record) bool {
	r := x.routeOf(e.Kind)
	if r == nil || r.alias == "" {
		return e.Position >= rec.From
	}
	value, err := r.key(e)
	return err != nil || !slices.ContainsFunc(rec.Aliases, func(a alias) bool {
		return a.Name == r.alias && a.Value == value && e.Position < a.From
	})
}

// waits reports whether an input was held and is not handled yet: then it is held in the log, too.
func (x *eraser[S]) waits(at store.Position) bool {
	_, found, err := x.st.Side(checkpoint.Needless(x.first, at).Key)
	return found && err == nil
}

// present is the record of an instance, an empty one where there is none, or none that can be read.
func (x *eraser[S]) present(key string) *record {
	kept, _, err := x.side(recordKey(key))
	if err == nil {
		if rec, err := decodeRecord(kept); err == nil {
			return rec
		}
	}
	return new(record)
}

func (x *eraser[S]) side(key string) ([]byte, bool, error) {
	side, found, err := x.st.Side(x.key(key))
	return side.Value, found, err
}

func (x *eraser[S]) key(key string) string { return checkpoint.KeptPrefix(x.first) + key }

// erase adds the side writes that erase an instance. They are refused where it has changed since,
// and have the commit refused of a handler that is at one of its events.
func (x *eraser[S]) erase(sides []store.SideWrite, key string, how touch) ([]store.SideWrite, error) {
	side, found, err := x.st.Side(x.key(recordKey(key)))
	if err != nil || !found {
		return sides, err
	}
	write := store.SideWrite{Key: side.Key, Value: side.Value, Expect: store.Exactly(side.Revision)}
	if !how.made {
		return append(sides, write), nil
	}
	rec, err := decodeRecord(side.Value)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key, err)
	}
	if how.own || !x.redact(rec) {
		if rec.Life.alive() {
			rest, err := x.remind(key, rec, &how.event)
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", key, err)
			}
			sides = append(sides, rest)
		}
		sides = x.drop(sides, key, rec)
		d, _ := x.of(rec)
		d.erase(rec, x.st.Now())
	}
	write.Value = rec.encode()
	return append(sides, write), nil
}

// redact takes out of an instance what its state says that it has of events, and reports whether
// it says so.
func (x *eraser[S]) redact(rec *record) bool {
	var state S
	_, known := any(state).(interface{ Erased() S })
	if _, lacks, _ := x.take(rec); !known || lacks != "" || decodeState(rec, &state) != nil {
		return false
	}
	redacts, _ := any(state).(interface{ Erased() S })
	data, err := encodeState(redacts.Erased())
	if err != nil {
		return false
	}
	rec.State = data
	rec.redact()
	return true
}

// redact takes the texts of errors out, which may quote anything.
func (r *record) redact() {
	if r.Why != nil && r.Why.Cause != causeErased {
		r.Why.Error = checkpoint.ErasedText
	}
	if r.Stuck != nil {
		r.Stuck.Error = checkpoint.ErasedText
	}
	for _, s := range r.Steps {
		if s.Error != "" {
			s.Error = checkpoint.ErasedText
		}
	}
}

// drop adds the side writes for what lies beside a record.
func (x *eraser[S]) drop(sides []store.SideWrite, key string, rec *record) []store.SideWrite {
	if rec.Life.listed() {
		sides = append(sides, store.SideWrite{Key: x.key(listKey(rec.Life, key)), Delete: true})
	}
	if rec.Life.alive() {
		sides = append(sides, store.SideWrite{Key: x.key(wronged + key), Value: []byte(rec.Life.String())})
		rec.Counted = rec.Life
	}
	for _, a := range rec.Aliases {
		sides = append(sides, store.SideWrite{Key: x.key(aliasKey(a.Name, a.Value)), Delete: true})
	}
	for _, t := range rec.Timers {
		sides = append(sides, store.SideWrite{Key: checkpoint.DuePrefix(x.first) + string(t.Ticket), Delete: true})
	}
	return sides
}

// remind has the coordinator do the rest of the end of an instance, see [erasing.rest].
func (x *eraser[S]) remind(key string, rec *record, erased *store.Event) (store.SideWrite, error) {
	raw, err := encode(x.name, whatErased, struct {
		Run uint64 `json:"run"`
	}{rec.Run})
	if err != nil {
		return store.SideWrite{}, err
	}
	p := store.Proposal{At: store.At(entity(x.name, key), x.scope), Payload: raw}
	return cursor.Remind(x.first, x.st.Now(), erased, p)
}

// erase leaves of an instance how far it has come. One that is alive ends.
func (d *definition[S]) erase(r *record, now time.Time) {
	if r.Life.alive() {
		d.skipAll(r)
		r.Life, r.Ended, r.Before = Failed, now, None
		r.Why = &failure{Error: store.ErrErased.Error(), Cause: causeErased}
	}
	r.State, r.Steps, r.Undo, r.Timers, r.Aliases, r.Stuck = nil, nil, nil, nil, nil, nil
	r.redact()
}

// causeErased is that of a failure.
const causeErased = "erased"

func isErased(e *store.Event) bool {
	_, erased := e.Erased()
	return erased
}

// erasing is the turn of an erasure.
type erasing[S any] struct{ *turn[S] }

// rest does what an erasure that has ended the instance has left: with the first input after it,
// which at the latest is the event that it has scheduled for that.
func (t erasing[S]) rest() error {
	if err := t.passOver(); err != nil {
		return err
	}
	return t.ended()
}

// handle handles an input of the instance's own that was erased before it was handled. Where the
// instance may wait for what it said, it waits no longer.
func (t erasing[S]) handle(w what, e *store.Event) error {
	rec := t.rec
	if of, err := t.former(e); of || err != nil {
		return err
	}
	switch w {
	case whatWaited:
		if rec.Life == None {
			return t.passOver()
		}
	case whatFired:
		for _, set := range rec.Timers {
			if rec.Life.alive() && !set.Due.After(e.Time.Time()) {
				return t.finish()
			}
		}
	case whatDone, whatRefused, whatUnknown, whatWithdrawn:
		if rec.awaitsAny() {
			return t.finish()
		}
	case whatAsked: // but what an operator has asked is to be asked again
		if rec.Life.Ended() && !t.now.Before(rec.Ended.Add(t.d.retain)) {
			return asking[S](t).askedPurge()
		}
	default:
	}
	return nil
}

// former reports whether an event of the instance's own is one of a former run: the run in it is
// erased, but what it answers is older than the present run. Of what retention has dropped that is
// not known: then it may be what the present run waits for.
func (t erasing[S]) former(e *store.Event) (bool, error) {
	st := t.b.Store()
	if st == nil || e.Cause == uuid.Nil || t.rec.Life == None {
		return false, nil
	}
	cause, err := st.Get(t.ctx, e.Cause)
	if errors.Is(err, store.ErrDropped) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return cause.Position < t.rec.From, err
}

// passOver records all that waits.
func (t erasing[S]) passOver() error { return t.outlet.passOver(store.ErrErased.Error()) }

// finish ends an instance of which an event was erased that it waits for.
func (t erasing[S]) finish() error {
	for name := range t.rec.Timers {
		if err := t.clear(name); err != nil {
			return err
		}
	}
	if err := t.unalias(); err != nil {
		return err
	}
	t.d.erase(t.rec, t.now)
	if err := t.passOver(); err != nil {
		return err
	}
	if err := t.ended(); err != nil {
		return err
	}
	return t.again()
}
