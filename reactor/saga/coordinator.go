package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// maxParked is how many inputs, and of how many instances, may be parked before no others are read:
// a bad deploy may fail one of each.
const maxParked = 50_000

// coordinator is the worker that handles the inputs of instances.
type coordinator[S any] struct{ s *Saga[S] }

// Spec describes it to its supervisor.
func (c coordinator[S]) Spec() supervision.Spec {
	return supervision.Spec{Name: c.s.name, Policy: c.s.Policy}
}

// CursorWorker returns the worker, or all that is wrong with the saga.
func (c coordinator[S]) CursorWorker() (cursor.Worker, error) {
	p, err := c.s.program()
	if err != nil {
		return cursor.Worker{}, err
	}
	lanes := c.s.Lanes
	if lanes == 0 {
		lanes = defaultLanes
	}
	w := cursor.Worker{
		Name: c.s.name, Region: store.Region{Scope: c.s.Scope}, Kinds: p.kinds(), OwnKinds: ownKinds(p.name), SchemaVersions: p.newest(),
		Handle: each(p.input), Discarded: p.discarded, Open: p.open, Lanes: lanes, Key: p.lane, Policy: c.s.Policy, Stateful: true, NewChains: true, Impersonal: true, Erased: true,
		KeptText: keptText,
		NewKinds: checkpoint.NewKindsFromNow, MaxParkedKeys: maxParked, MaxParked: maxParked,
	}
	if p.aliased() {
		w.Key, w.Resolve = nil, p.resolve
	}
	return w.CursorWorker()
}

// each is a handler that handles the events of a batch one after the other.
func each(one func(ctx context.Context, b *cursor.Batch, i int) error) cursor.Handler {
	return func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			if err := ctx.Err(); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
			if err := one(b.Enter(ctx, i), b, i); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
		}
		return cursor.Continue, nil
	}
}

// input handles one event for its instance.
func (p *program[S]) input(ctx context.Context, b *cursor.Batch, i int) error {
	if isErased(&b.Events[i]) && whatOf(p.name, b.Events[i].Kind) == "" {
		return nil // nothing says whose it was
	}
	side := func(key string) ([]byte, bool, error) { return b.Side(i, key) }
	at, err := p.place(&b.Events[i], side)
	if errors.Is(err, ErrKey) { // it is the same each time
		return supervision.Park(fmt.Errorf("saga %s, event %d (%s): %w", p.name, b.Events[i].Position, b.Events[i].Kind, err))
	}
	if err != nil {
		return err
	}
	t, err := p.turn(ctx, b, i, at.key, at.at)
	if err == nil {
		err = guarded(t.handle)
	}
	if err == nil {
		err = t.save()
	}
	if d, _ := supervision.DirectiveOf(err); d.Action == supervision.ActionSkip && whatOf(p.name, b.Events[i].Kind) != "" {
		err = supervision.Park(err) // an outcome that is skipped would be waited for without an end
	}
	if err != nil {
		return &inputError{saga: p.name, key: at.key, input: b.Events[i].Position, err: err}
	}
	return nil
}

// discarded is what is written where an operator discards a request, the answer to one, or what
// ends the wait of an input: what has happened is unknown then, and what has waited is recorded.
func (p *program[S]) discarded(e store.Event) ([]store.Proposal, error) {
	var answer any
	w, why := whatOf(p.name, e.Kind), "its answer was discarded"
	switch w {
	case whatRequested, whatDone, whatRefused, whatUnknown, whatWithdrawn:
		if w == whatRequested {
			why = "its request was discarded"
		}
		var o outcome
		if isErased(&e) || decode(&e, &o) != nil { // nothing says what it was of
			return nil, nil //nolint:nilerr // as above
		}
		w, answer = whatUnknown, outcome{request: o.request, Lost: o.Lost, Error: why}
	case whatAgain, whatWaited:
		var of pointer // of an erased one it is the one on its way, or all that waits
		if !isErased(&e) && decode(&e, &of) != nil {
			return nil, nil //nolint:nilerr // it is none of the saga's
		}
		of.Why = why
		answer = of
	default:
		return nil, nil
	}
	raw, err := encode(p.name, w, answer)
	return []store.Proposal{{At: e.Coordinate, Payload: raw}}, err
}

// place is where an input belongs.
type place struct {
	key string // of the instance; "" where it waits for an alias that no instance has
	at  string // where the record is kept
}

func instance(key string) place { return place{key: key, at: recordKey(key)} }

// place finds the instance of an input. What is kept tells the instance of an alias.
func (p *program[S]) place(e *store.Event, side func(string) ([]byte, bool, error)) (place, error) {
	if whatOf(p.name, e.Kind) != "" {
		if at, found := strings.CutPrefix(e.Coordinate.Entity, strayEntity(p.name, "")); found {
			return place{at: at}, nil
		}
		key := keyOfEntity(p.name, e.Coordinate.Entity)
		return instance(key), checkKey(key)
	}
	r := p.routeOf(e.Kind)
	if r == nil {
		return place{}, fmt.Errorf("%w: kind %q", ErrUnexpected, e.Kind)
	}
	key, err := r.key(e)
	switch {
	case err != nil:
		return place{}, err
	case r.alias == "":
		return instance(key), nil
	}
	owner, found, err := side(aliasKey(r.alias, key))
	if err != nil || !found {
		return place{at: strayKey(r.alias, key)}, err
	}
	return instance(string(owner)), nil
}

// lane is what must stay in order: the instance. An event that cannot be read will fail, and waits
// for no instance then.
func (p *program[S]) lane(e store.Event) string {
	key, _, _ := p.resolve(e, func(string) ([]byte, bool, error) { return nil, false, nil })
	return key
}

// resolve is lane where there are aliases: what is kept tells whose they are. An input that finds
// no instance by its alias waits until no event before it can be the one that registers it.
func (p *program[S]) resolve(e store.Event, side func(string) ([]byte, bool, error)) (key string, known bool, err error) {
	var unread error
	at, err := p.place(&e, func(key string) (value []byte, found bool, err error) {
		value, found, unread = side(key)
		return value, found, unread
	})
	switch {
	case unread != nil:
		return "", false, unread
	case err != nil: // its handler fails by that
		return "e/" + e.Coordinate.Entity, true, nil //nolint:nilerr // as above
	}
	return at.at, at.key != "" || whatOf(p.name, e.Kind) != "", nil
}

// aliased reports whether inputs are found by aliases.
func (p *program[S]) aliased() bool {
	return slices.ContainsFunc(p.kinds(), func(kind string) bool {
		r := p.routeOf(kind)
		return r != nil && r.alias != ""
	})
}

// handle handles the input, or keeps it while others wait before it.
func (t *turn[S]) handle() error {
	w := whatOf(t.d.name, t.e.Kind)
	if t.under != None {
		if err := (erasing[S]{t}).rest(); err != nil {
			return err
		}
	}
	switch {
	case w == whatErased:
		return t.again()
	case w == whatAgain:
		return t.handleHeld()
	case isErased(t.e):
		return erasing[S]{t}.handle(w, t.e)
	case w == whatAsked:
		if err := (asking[S]{t}).asked(); err != nil {
			return err
		}
		if err := t.close(); err != nil {
			return err
		}
		if t.lacks != "" { // maybe not any more, as it compensates
			now := *t.rec
			_, t.lacks, _ = t.p.take(&now)
		}
		return t.again()
	case t.lacks != "" || t.rec.rests() || t.rec.Life != None && t.rec.untried() != 0:
		return t.wait()
	}
	if err := t.dispatch(w); err != nil {
		return err
	}
	return t.again()
}

// wait keeps the input while others wait before it. The retry of one of these comes before an input
// that is much later than it: where it has not, an operator has discarded it, and what it was for.
func (t *turn[S]) wait() error {
	rec := t.rec
	if err := t.queue(); err != nil {
		return err
	}
	switch {
	case t.lacks != "" || rec.rests():
		return nil
	case rec.Again.IsZero(): // it lacks nothing any more
		return t.again()
	case t.e.Time.Time().Sub(rec.Again) < onWayFor:
		return nil
	}
	if comes, err := retryComes(t); comes || err != nil {
		return err
	}
	found, err := t.release(rec.Retried)
	if err != nil {
		return err
	}
	if found {
		if err := t.own(whatRecorded, pointer{Run: rec.Run, Input: rec.Retried, Why: "its retry was discarded"}); err != nil {
			return err
		}
	}
	rec.Again = time.Time{}
	return t.again()
}

// retryComes reports whether the retry of a held input is behind this one in the log: it was
// written late then, as the disk was full, or the clock was set meanwhile.
func retryComes[S any](t *turn[S]) (bool, error) {
	st := t.b.Store()
	if st == nil {
		return false, nil
	}
	retries := store.Region{Entity: entity(t.saga, t.key), Kinds: []string{whatAgain.kind(t.saga)}}
	for e, err := range st.Read(t.ctx, retries, store.After(t.e.Position)) {
		var of pointer
		if err != nil {
			return false, err
		}
		if err := decode(&e, &of); err == nil && of.Input == t.rec.Retried {
			return true, nil
		}
	}
	return false, nil
}

// dispatch handles an input by its kind.
func (t *turn[S]) dispatch(w what) error {
	switch w {
	case "":
		return t.event(t.d.routes[t.e.Kind])
	case whatFired:
		return t.fired()
	case whatWaited:
		return waited(t)
	case whatDone, whatRefused, whatUnknown, whatWithdrawn:
		return t.outcome(w)
	default:
		return nil
	}
}

// handleHeld handles an input that was held.
func (t *turn[S]) handleHeld() error {
	p := pointer{Input: t.rec.Retried}
	if !isErased(t.e) {
		if err := decode(t.e, &p); err != nil {
			return err
		}
	}
	if p.Input == 0 {
		p.Input = t.rec.Retried
	}
	if p.Input != t.rec.Retried || t.rec.Again.IsZero() {
		return t.again() // of before a suspension: what it is about was handled, or is on its way by another one
	}
	t.rec.Again = time.Time{}
	if t.lacks != "" || t.rec.rests() {
		return nil
	}
	if t.rec.Passing.Before > 0 {
		return errors.Join(t.pass(), t.again())
	}
	found, err := t.release(p.Input)
	switch {
	case err != nil || !found:
	case p.Why != "":
		err = t.own(whatRecorded, pointer{Run: t.rec.Run, Input: p.Input, Why: p.Why})
	default:
		err = t.handleAt(p.Input)
	}
	if err != nil {
		return err
	}
	return t.again()
}

// handleAt handles the input at a position. One that cannot be read any more is recorded.
func (t *turn[S]) handleAt(at store.Position) error {
	e, err := eventAt(t.ctx, t.b, at)
	if err == nil && isErased(&e) {
		if w := whatOf(t.d.name, e.Kind); w != "" {
			return erasing[S]{t}.handle(w, &e)
		}
		err = store.ErrErased
	}
	if isGone(err) {
		return t.own(whatRecorded, pointer{Run: t.rec.Run, Input: at, Why: clip(err.Error())})
	}
	if err != nil {
		return err
	}
	now := t.e
	defer func() { t.e = now }()
	t.e = &e
	return t.dispatch(whatOf(t.d.name, e.Kind))
}
