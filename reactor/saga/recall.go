package saga

import (
	"context"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// recallAll has what is in flight not attempted any more, whatever delay or outage that waits for.
func recallAll[S any](t *turn[S]) error {
	for _, name := range t.rec.inFlight() {
		s := t.rec.Steps[name]
		if def := t.d.steps[name]; s.Try > 0 && def != nil && def.ask {
			continue // an operator finds out by it
		}
		if err := t.own(whatRecalled, request{Run: nth(t.rec.Run), Step: name, Visit: nth(s.Visit), Try: s.Try}); err != nil {
			return err
		}
	}
	return nil
}

// recallUndo has the undo that is in flight not attempted any more: an operator has settled it.
func recallUndo[S any](t *turn[S]) error {
	u := t.rec.undoing()
	if u == nil || t.rec.Life != Compensating {
		return nil
	}
	return t.own(whatRecalled, t.rec.undoRequest(u))
}

// recall answers a request whose instance has turned back, and which waits: in a backoff, in an
// outage, or for its turn. One of which an attempt is under way is answered once that returns.
func (p *performer[S]) recall(ctx context.Context, b *cursor.Batch, i int, rec *record, r *request) error {
	if !r.isUseless(rec) {
		return nil // it is suspended, or stuck
	}
	at, answered, err := p.find(ctx, b, i, rec.From, r)
	supersede(b, &b.Events[i], r)
	pending := uint64(at) <= p.before.Load() && p.tried.of(at) == 0 // after a start each is at its turn at once
	if err != nil || answered || pending || p.tried.isAnswered(at) {
		return err
	}
	return p.withdraw(b, i, at, r, "")
}

// isUseless reports whether a request is not to be carried out: its instance turns back.
func (q *request) isUseless(r *record) bool { return !q.Undo && !q.Ask && r.Life == Compensating }

// find finds a request of the instance of Events[i] after a position, and whether an answer to it
// is written.
func (p *performer[S]) find(
	ctx context.Context, b *cursor.Batch, i int, after store.Position, r *request,
) (at store.Position, answered bool, err error) {
	of := store.Region{Entity: b.Events[i].Coordinate.Entity, Kinds: append(answerKinds(p.name), whatRequested.kind(p.name))}
	for e, err := range b.Store().Read(ctx, of, store.After(after)) {
		var q outcome
		switch {
		case err != nil:
			return 0, false, err
		case decode(&e, &q) != nil || q.request != *r:
		case whatOf(p.name, e.Kind) == whatRequested:
			at = e.Position
		default:
			return at, true, nil
		}
	}
	return at, false, nil
}

// answerKinds are the kinds of the answers to requests.
func answerKinds(saga string) []string {
	return []string{whatDone.kind(saga), whatRefused.kind(saga), whatUnknown.kind(saga), whatWithdrawn.kind(saga)}
}

// answered returns the names of the actions and undos that the instance waits for and whose answer
// is written already, be it held or behind this input.
func (t asking[S]) answered() (map[string]bool, error) {
	names := make(map[string]bool)
	st := t.b.Store()
	if st == nil || !t.rec.awaitsAny() {
		return names, nil
	}
	of := store.Region{Entity: entity(t.saga, t.key), Kinds: answerKinds(t.saga)}
	for e, err := range st.Read(t.ctx, of, store.After(t.rec.From)) {
		if err != nil {
			return nil, err
		}
		var o outcome
		if !isErased(&e) && decode(&e, &o) == nil && t.rec.awaits(&o.request) {
			names[Attempt{Step: o.Step, Undo: o.Undo}.String()] = true
		}
	}
	return names, nil
}

// giveBack answers a request that is useless, as the one that recalls it may have done.
func (p *performer[S]) giveBack(ctx context.Context, b *cursor.Batch, i int, r *request, why string) error {
	at := b.Events[i].Position
	_, answered, err := p.find(ctx, b, i, at, r)
	if err != nil {
		return err
	}
	if answered {
		p.drop(&b.Events[i], false)
		return nil
	}
	return p.withdraw(b, i, at, r, why)
}

// withdraw answers the request at a position, which is not carried out; why is the error of an
// attempt. What may have been attempted before may have happened.
func (p *performer[S]) withdraw(b *cursor.Batch, i int, at store.Position, r *request, why string) error {
	if p.tried.of(at) > 0 || r.retried() || uint64(at) <= p.before.Load() {
		if why != "" {
			why = ": " + why
		}
		return p.answer(b, i, whatUnknown, &outcome{request: *r, Error: clip("it was not tried again, as the instance compensates" + why)})
	}
	return p.answer(b, i, whatWithdrawn, &outcome{request: *r})
}
