package saga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// turn is the handling of one input of one instance. What it stages is committed with the input, or
// dropped with it.
type turn[S any] struct {
	outlet

	ctx context.Context //nolint:containedctx // of the call of the handler, as the turn is
	p   *program[S]
	d   *definition[S]
	now time.Time

	lacks  string           // what the definition does not have of the instance, which waits for it
	gone   bool             // the instance was purged
	called bool             // a handler was
	was    Life             // before the turn, and
	under  Life             // which it was counted under, after an erasure
	had    []store.Position // inputs that waited then
}

// turn begins the handling of Events[i] of a batch.
func (p *program[S]) turn(ctx context.Context, b *cursor.Batch, i int, key, at string) (*turn[S], error) {
	kept, _, err := b.Side(i, at)
	if err != nil {
		return nil, err
	}
	rec, err := decodeRecord(kept)
	if err != nil {
		return nil, err
	}
	d, lacks, _ := p.take(rec)
	out := outlet{b: b, i: i, e: &b.Events[i], saga: p.name, scope: p.scope, key: key, at: at, rec: rec}
	return &turn[S]{outlet: out, ctx: ctx, p: p, d: d, lacks: lacks, now: b.Now(i), was: rec.Life, under: rec.Counted, had: rec.waiting()}, nil
}

// save keeps the record.
func (t *turn[S]) save() error {
	if err := t.lack(t.lacks); err != nil {
		return err
	}
	life := t.rec.Life
	if t.gone {
		life, t.rec.Held = None, nil
	}
	had := t.had
	if len(t.turned) > 0 { // they are held in the log already
		had = slices.Sorted(slices.Values(slices.Concat(had, t.turned)))
	}
	if err := errors.Join(t.keepInputs(had, t.rec.waiting()), t.index(t.was, t.under, life)); err != nil {
		return err
	}
	if t.rec.Life != None {
		t.rec.Inputs++
	}
	if t.gone || t.rec.empty() {
		return t.b.Put(t.i, t.at, nil)
	}
	kept, err := t.kept()
	if err != nil {
		return err
	}
	return t.b.Put(t.i, t.at, kept)
}

// event handles an event of the program's.
func (t *turn[S]) event(r *route[S]) error {
	switch rec := t.rec; {
	case r == nil:
		return t.record("no handler of the instance's version")
	case r.start != nil && (rec.Life == None || rec.Life.Ended() && t.d.restarts == AfterEnd):
		return t.start(r.start)
	case rec.Life == None:
		return t.missed(r)
	case r.start != nil && r.on == nil:
		return t.record("a duplicate: the instance is there")
	case rec.Life != Running || !r.on.expected(rec.Phase):
		return t.unexpected(r.on)
	default:
		return t.call(r.on.phases, func(tx *Tx[S]) error { return r.on.call(t.ctx, t.e, tx) })
	}
}

// start begins a run.
func (t *turn[S]) start(in *input[S]) error {
	purged, err := t.purged()
	if err != nil {
		return err
	}
	if err := t.unalias(); err != nil {
		return err
	}
	*t.rec = record{
		Life: Running, Run: max(t.rec.Run, purged) + 1, Version: t.d.version, Began: t.now, Entered: t.now,
		Held: t.rec.Held, Pages: t.rec.Pages, From: t.e.Position,
	}
	for _, h := range t.rec.Held {
		t.rec.From = min(t.rec.From, h.At)
	}
	if t.d.deadline > 0 {
		if err := t.set(deadlineTimer, t.now.Add(t.d.deadline)); err != nil {
			return err
		}
	}
	if err := t.call(in.phases, func(tx *Tx[S]) error { return in.call(t.ctx, t.e, tx) }); err != nil {
		return err
	}
	if t.d.list && t.rec.Life == Running {
		if err := t.stage(0); err != nil {
			return err
		}
	}
	return t.again()
}

// missed is an input without an instance.
func (t *turn[S]) missed(r *route[S]) error {
	switch {
	case t.d.answers[t.e.Kind] != nil && t.d.missing != Defer:
		return t.d.answers[t.e.Kind].answer(t, t.e)
	case r.on.optional || t.d.missing == Record:
		return t.record("there is no instance")
	case t.d.missing == Defer:
		if err := t.hold(false); err != nil {
			return err
		}
		if err := t.unaliased(r); err != nil {
			return err
		}
		_, err := t.later(t.now.Add(t.d.holdFor), whatWaited, pointer{Input: t.e.Position})
		return err
	default:
		return supervision.Park(ErrMissing)
	}
}

// unaliased has the commit refused where an instance has got the alias meanwhile by which the input
// was to find it.
func (t *turn[S]) unaliased(r *route[S]) error {
	if t.key != "" {
		return nil
	}
	value, err := r.key(t.e)
	if err != nil {
		return err
	}
	return t.b.Put(t.i, aliasKey(r.alias, value), nil)
}

// unexpected is an input that its instance has no handler for as it is now.
func (t *turn[S]) unexpected(in *input[S]) error {
	why := fmt.Sprintf("the instance is %s", t.rec.Life)
	if t.rec.Life == Running {
		why = fmt.Sprintf("the instance is in phase %q", t.rec.Phase)
	}
	switch {
	case in.optional, t.d.unexpected == Record, t.d.unexpected == Defer && t.rec.Life.Ended():
		return t.record(why)
	case t.d.unexpected == Defer:
		return t.hold(true)
	default:
		return supervision.Park(fmt.Errorf("%w: %s", ErrUnexpected, why))
	}
}

// hold keeps the input for what may never come: an instance, or another phase.
func (t *turn[S]) hold(tried bool) error {
	if n := t.rec.kept(tried); n >= t.d.maxHeld {
		return fmt.Errorf("%w: %d inputs wait", ErrLimit, n)
	}
	t.rec.hold(t.e.Position, tried)
	return nil
}

// enter moves the instance to a phase. What waits may fit there.
func (r *record) enter(now time.Time, phase string) {
	r.Phase, r.Entered = phase, now
	r.retry()
}

// again has what is held handled, if there is something that was not tried, and it is not on its
// way already.
func (t *turn[S]) again() error {
	at := t.rec.untried()
	if at == 0 || !t.rec.Again.IsZero() || t.rec.Life == None || t.rec.rests() || t.gone || t.lacks != "" {
		return nil
	}
	t.rec.Again, t.rec.Retried = t.now, at
	return t.own(whatAgain, pointer{Run: t.rec.Run, Input: at})
}

// alias registers a second name.
func (t *turn[S]) alias(name, value string) error {
	if err := cmp.Or(checkKey(value), checkName(t.d.name, "alias", name)); err != nil {
		return err
	}
	at := aliasKey(name, value)
	owner, found, err := t.b.Side(t.i, at)
	switch {
	case err != nil:
		return err
	case found && string(owner) != t.key:
		return fmt.Errorf("%w: %s %q is one of instance %q", ErrAlias, name, value, owner)
	case found:
		return nil
	}
	if err := t.b.Put(t.i, at, []byte(t.key)); err != nil {
		return err
	}
	from, err := adopt(t, strayKey(name, value))
	t.rec.Aliases = append(t.rec.Aliases, alias{Name: name, Value: value, From: from})
	return err
}

// adopt takes over what waits for an alias. Where nothing does, that is written, too: the commit
// expects what was read, so that an input which begins to wait meanwhile is not missed. It returns
// the position from which on the inputs come to this instance.
func adopt[S any](t *turn[S], at string) (from store.Position, err error) {
	from = t.b.Events[t.i].Position
	kept, _, err := t.b.Side(t.i, at)
	if err != nil {
		return 0, err
	}
	strays, err := decodeRecord(kept)
	if err != nil {
		return 0, err
	}
	if len(strays.Held) > 0 {
		from = min(from, strays.Held[0].At)
	}
	t.rec.From = min(t.rec.From, from)
	if err := t.mix(strays.waiting()); err != nil {
		return 0, err
	}
	return from, t.b.Put(t.i, at, nil)
}

// end ends the run. It is kept for a while.
func (t *turn[S]) end(life Life) error {
	for name := range t.rec.Timers {
		if err := t.clear(name); err != nil {
			return err
		}
	}
	t.rec.Life, t.rec.Ended, t.rec.Stuck = life, t.now, nil
	return t.ended()
}

// ended tells of the end of the run, and has it forgotten in time.
func (t *turn[S]) ended() error {
	e := ending{Run: t.rec.Run, Life: t.rec.Life, Skipped: t.rec.Skipped, Inputs: t.rec.Inputs + 1}
	if t.rec.Why != nil {
		e.Error = t.rec.Why.Error
		if t.rec.Why.Step == "" && t.rec.Why.Cause != causeErased { // of which the error says it
			e.Cause = t.rec.Why.Cause
		}
	}
	if err := t.own(whatEnded, e); err != nil {
		return err
	}
	t.rec.retry()
	_, err := t.later(t.rec.Ended.Add(t.d.retain), whatAsked, ask{Do: opPurge, Run: t.rec.Run, By: "saga"})
	return err
}
