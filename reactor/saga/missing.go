package saga

import (
	"context"
	"errors"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// answer is the handler of an input that finds no instance.
type answer[S any] func(ctx context.Context, e *store.Event, tx *Tx[S]) error

// OnMissing handles the events of a kind that find no instance, such as a payment for an order that
// is not known: in place of what Saga.Missing says, but where that is [Defer] only once they have
// waited for Saga.HoldFor. The handler may answer, by [Tx.Emit] and [Tx.Propose]; there is nothing
// else to change, and what it asks for besides is an [ErrTransition]. Its error fails the input.
// The kind needs an [On] or a [Via], too.
func OnMissing[S any, T store.Payload](handle func(ctx context.Context, e reactor.Event[T], tx *Tx[S]) error) Part[S] {
	return part[S](func(d *definition[S]) error {
		decoder, err := reactor.NewDecoder[T](d.types)
		if err != nil {
			return err
		}
		switch what := "OnMissing of " + decoder.Kind; {
		case handle == nil:
			return invalid(d.name, what, "has a nil function")
		case d.answers[decoder.Kind] != nil:
			return invalid(d.name, what, "is there twice")
		}
		d.answers[decoder.Kind] = func(ctx context.Context, e *store.Event, tx *Tx[S]) error {
			typed, err := decoder.Decode(d.name, *e)
			if err != nil {
				return err
			}
			return handle(ctx, typed, tx)
		}
		return nil
	})
}

// answer has the program handle an input without an instance.
func (a answer[S]) answer(t *turn[S], e *store.Event) error {
	tx := &Tx[S]{t: t}
	defer func() { tx.t = nil }()
	return errors.Join(a(t.ctx, e, tx), tx.err)
}

// waited ends the wait of an input that has found no instance.
func waited[S any](t *turn[S]) error {
	var p pointer
	if err := decode(t.e, &p); err != nil {
		return err
	}
	if t.rec.Life == None && p.Input == 0 {
		return erasing[S]{t}.passOver()
	}
	if t.rec.Life != None || !t.rec.release(p.Input) {
		return nil
	}
	if p.Why != "" {
		return t.own(whatRecorded, pointer{Input: p.Input, Why: p.Why})
	}
	if len(t.d.answers) > 0 {
		e, err := eventAt(t.ctx, t.b, p.Input)
		if err == nil && isErased(&e) {
			err = store.ErrErased
		}
		switch a := t.d.answers[e.Kind]; {
		case isGone(err):
			return t.own(whatRecorded, pointer{Input: p.Input, Why: err.Error()})
		case err != nil:
			return err
		case a != nil:
			return a.answer(t, &e)
		}
	}
	return t.own(whatRecorded, pointer{Input: p.Input, Why: "no instance came in time"})
}

// isGone reports whether an event cannot be read, now and ever.
func isGone(err error) bool {
	return errors.Is(err, store.ErrDropped) || errors.Is(err, store.ErrErased) || errors.Is(err, store.ErrLost)
}
