package admin

import (
	"context"
	"errors"
	"iter"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/lineage"
)

// Direction is what a question about lineage asks for.
type Direction string

// The directions.
const (
	// Why: the event, its cause, the cause of that, up to the first of the chain.
	Why Direction = "why"
	// Effects: the event, what answered it, what answered that.
	Effects Direction = "effects"
	// Trace: all events of the correlation of the event.
	Trace Direction = "trace"
)

// LineageQuery asks for a story.
type LineageQuery struct {
	// Event is its position or its id; for Trace a correlation will do.
	Event     string    `json:"event"`
	Direction Direction `json:"direction"`
	// Depth and Limit bound the answer: steps, and events. 0 is no bound.
	Depth int `json:"depth,omitempty"`
	Limit int `json:"limit,omitempty"`
}

// Lineage returns causes, effects or the whole story of an event, to be drawn: without payloads.
func (s *Surface) Lineage(ctx context.Context, q LineageQuery) (lineage.Forest, error) {
	return story().ask(ctx, s, q)
}

func story() question[LineageQuery, lineage.Forest] {
	return question[LineageQuery, lineage.Forest]{"lineage", Read, func(ctx context.Context, h *here, q LineageQuery) (lineage.Forest, error) {
		return h.lineage(ctx, q)
	}}
}

func (h *here) lineage(ctx context.Context, q LineageQuery) (lineage.Forest, error) {
	var ask store.Question
	switch q.Direction {
	case Why:
		ask = store.Causes
	case Effects:
		ask = store.Effects
	case Trace:
		ask = store.Correlated
	default:
		return lineage.Forest{}, fail(Usage, "", "no such direction: %q", q.Direction)
	}
	e, err := h.find(ctx, q.Event)
	of := e.ID
	switch {
	case q.Direction == Trace && err == nil:
		of = e.Correlation
	case q.Direction == Trace && errors.Is(err, store.ErrNotFound):
		if of, err = uuid.Parse(q.Event); err != nil {
			return lineage.Forest{}, fail(NotFound, "", "no event %s", q.Event)
		}
	case err != nil:
		return lineage.Forest{}, err
	}
	return store.Lineage(ctx, h.st, ask, of, store.Reach{Depth: q.Depth, Count: q.Limit})
}

// entityRef names one entity.
type entityRef struct {
	Entity string `json:"entity"`
}

// History yields all events of exactly one entity, and checks that they are a chain without a gap.
// An error, such as for a chain that is broken, is the last thing that it yields.
func (s *Surface) History(ctx context.Context, entity string) iter.Seq2[Event, error] {
	return history().ask(ctx, s, entityRef{entity})
}

func history() listing[entityRef, Event] {
	return listing[entityRef, Event]{"history", Read, func(ctx context.Context, h *here, q entityRef) iter.Seq2[Event, error] {
		return func(yield func(Event, error) bool) {
			for e, err := range store.History(ctx, h.st, q.Entity) {
				if err != nil {
					yield(Event{}, err)
					return
				}
				if !yield(h.event(ctx, e), nil) {
					return
				}
			}
		}
	}}
}
