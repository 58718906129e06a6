package saga

import (
	"context"
	"errors"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// Reacted is what an input has led to, see [Saga.React].
type Reacted[S any] struct {
	// Instance after the input; that of the zero value where there is none.
	Instance Instance[S]
	// Reactions are the events that it has written, the saga's own among them, and then those that it
	// has scheduled, with the time when they are due. What it takes back is not among them.
	Reactions []reactor.Reaction
}

// React handles events as inputs, one after the other, and returns what each of them has led to:
// no log, no supervision, no time but that of the events. What was scheduled does not happen by
// itself, and no action is carried out: their events are inputs, too, and sagatest.Given makes
// them. It ends at the first that fails, with the error, and returns what was before.
func (s *Saga[S]) React(ctx context.Context, events ...store.Event) (all []Reacted[S], err error) {
	p, err := s.program()
	if err != nil {
		return nil, err
	}
	b := cursor.NewBatch(events, cursor.Ownership{})
	for i := range events {
		if err := p.input(ctx, b, i); err != nil {
			return all, err
		}
		one := Reacted[S]{Reactions: reactionsOf(b, i)}
		if one.Instance, err = p.after(b, i); err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, nil
}

func reactionsOf(b *cursor.Batch, i int) (list []reactor.Reaction) {
	for _, s := range b.StagedFor(i) {
		p := s.Proposal
		list = append(list, reactor.Reaction{
			At: p.At, Payload: p.Payload, Expect: p.Expect, Headers: p.Headers, Meta: p.Meta, Bypass: p.Bypass, Due: s.Due,
		})
	}
	return list
}

// after is the instance of Events[i] of a batch, as that leaves it.
func (p *program[S]) after(b *cursor.Batch, i int) (o Instance[S], err error) {
	side := func(key string) ([]byte, bool, error) { return b.Side(i, key) }
	at, err := p.place(&b.Events[i], side)
	if err != nil || at.key == "" {
		return o, err
	}
	kept, _, err := side(at.at)
	if err != nil {
		return o, err
	}
	rec, err := decodeRecord(kept)
	if err != nil || rec.Life == None {
		return o, err
	}
	return (&Instances[S]{saga: &Saga[S]{name: p.name}}).instance(p, at.key, rec)
}

// eventAt returns the event at a position: of the log, or of a batch made by hand.
func eventAt(ctx context.Context, b *cursor.Batch, at store.Position) (store.Event, error) {
	if st := b.Store(); st != nil {
		return st.GetAt(ctx, at)
	}
	for _, e := range b.Events {
		if e.Position == at {
			return e, nil
		}
	}
	return store.Event{}, store.ErrNotFound
}

// KeyOf returns the key of the instance that an event is an input of, or one of its own: for the
// program's events by the key or the alias in it, as that is known now. It is "" for an event that
// is not the saga's, and for one without an instance. Errors: [ErrKey], and those of reading.
func (h *Instances[S]) KeyOf(e store.Event) (string, error) {
	p, err := h.saga.program()
	if err != nil || whatOf(p.name, e.Kind) == "" && p.routeOf(e.Kind) == nil {
		return "", err
	}
	prefix, err := h.prefix()
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	at, err := p.place(&e, func(key string) ([]byte, bool, error) {
		side, found, err := h.st.Side(prefix + key)
		return side.Value, found, err
	})
	return at.key, err
}
