package actors

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Handling is a call of the handler that has not returned.
type Handling struct {
	First  store.Position `json:"first"` // of its batch
	Last   store.Position `json:"last"`
	Events int            `json:"events"`
	// Event is the one that it works on: where there are several, as it has said by
	// cursor.Batch.Begin, as reactors and projectors do, and 0 where it has not. Key and Attempt are
	// that event's, or else those of the first; Key is "" where only a function of the program knows
	// it.
	Event   store.Position `json:"event"`
	Key     string         `json:"key"`
	Attempt int            `json:"attempt"`
	Parked  bool           `json:"parked"`  // it was parked, and is handled again
	GivesUp bool           `json:"givesUp"` // cursor.Worker.GiveUp has it, in place of Handle
	Lane    int            `json:"lane"`    // from 0, and 0 without lanes
	Since   time.Time      `json:"since"`   // by the clock of the store
	// Interrupted says that its context has ended by [System.Interrupt].
	Interrupted bool `json:"interrupted"`
}

// slot is where the handler of a worker, or of one of its lanes, is found while it is called. It
// outlives its incarnation until the handler has returned.
type slot struct {
	lane int

	mu          sync.Mutex // of all below; held for a few assignments, and taken before no other
	task        *cursor.Task
	since       time.Time
	interrupted bool
	// interrupt ends the context of the handler. The incarnation replaces both when that has happened.
	interrupt context.CancelCauseFunc
}

// take records that the handler is about to be called.
func (s *slot) take(t *cursor.Task, now time.Time) {
	s.mu.Lock()
	s.task, s.since = t, now
	s.mu.Unlock()
}

// drop records that it has returned, before its task is given back, and reports whether it was
// interrupted: then the next one needs another context.
func (s *slot) drop() (interrupted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	interrupted = s.interrupted
	s.task, s.interrupted = nil, false
	return interrupted
}

// arm takes the function that ends the context of the next handler.
func (s *slot) arm(interrupt context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupt = interrupt
}

// holds describes what is in flight, if anything is, and the event is part of it or 0. With end the
// context of the handler ends for that reason.
func (s *slot) holds(event store.Position, end error) (Handling, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.task == nil {
		return Handling{}, false
	}
	t := cursor.HandlingOf(s.task)
	if event > 0 && (event < t.First || event > t.Last) {
		return Handling{}, false
	}
	if end != nil {
		s.interrupted = true
		s.interrupt(end)
	}
	return Handling{
		First: t.First, Last: t.Last, Events: t.Events, Event: t.Event, Key: t.Key, Attempt: t.Attempt, Parked: t.Parked,
		GivesUp: t.GivesUp, Lane: s.lane, Since: s.since, Interrupted: s.interrupted,
	}, true
}

// slots are those of the lanes of an incarnation, or the one of a worker without.
type slots []slot

// inFlight describes what all of them have, in the order of the lanes.
func (all *slots) inFlight(event store.Position, end error) (list []Handling) {
	if all == nil {
		return nil
	}
	for i := range *all {
		if one, holds := (*all)[i].holds(event, end); holds {
			list = append(list, one)
		}
	}
	return list
}

// makeSlots makes the slots of an incarnation, before its first handler is called.
func (w *worker) makeSlots(n int) {
	all := make(slots, n)
	for i := range all {
		all[i].lane = i
	}
	w.slots = &all
	w.node.published.handed(w.slots)
}

// renew makes the context of the handlers: for the first one, and where that was ended by an
// operator who interrupted one. Those of lanes are made of it, and have it forever.
func (w *worker) renew() {
	w.ctx, w.cancel = context.WithCancelCause(context.WithValue(w.sys.handlers, insideKey{}, w))
	w.node.published.arm(w.id.gen, w.cancel)
}

// Stack returns the stacks of the goroutines on which handlers of a worker run, as the goroutine
// profile shows them; nothing where none does. It stops the program for a moment, for longer the
// more goroutines there are: it is for a handler that does not return. Errors: [ErrUnknownWorker].
func (s *System) Stack(name string) ([]byte, error) {
	if s.workers.find(name) == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	}
	return stackOf(name), nil
}

// Interrupt ends the context of the handler of a worker that has an event in flight, or with event
// 0 those of all its lanes, and returns what they have. It does not wait for them. A handler that
// then returns an error has made an attempt at its event, in an outage too, whose reason wraps
// cursor.ErrInterrupted; what it returns without an error is done. A batch that does not say at
// which of its events it was is handled again in halves, as after any other error. One that ignores
// its context stays in flight.
//
// What was done is recorded by an audit event, which follows it; with q.DryRun nothing is done.
// Errors: [ErrUnknownWorker]; [ErrNotInFlight].
func (s *System) Interrupt(
	ctx context.Context, name string, event store.Position, q checkpoint.Request,
) ([]Handling, error) {
	n := s.workers.find(name)
	if n == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	}
	if err := q.Validate(); err != nil {
		return nil, err
	}
	var end error
	if !q.DryRun {
		end = fmt.Errorf("%w by %q: %s", cursor.ErrInterrupted, q.By, q.Reason)
	}
	held := n.published.inFlight(event, end)
	switch {
	case len(held) == 0:
		return nil, fmt.Errorf("%w: worker %q, event %d", ErrNotInFlight, name, event)
	case q.DryRun:
		return held, nil
	}
	s.log.Info("handler interrupted", workerField(n), zap.String("by", q.By))
	a := checkpoint.Audit{
		Worker: checkpoint.ID(name), Position: cmp.Or(held[0].Event, held[0].First), Key: held[0].Key, Events: len(held),
		Attempts: held[0].Attempt, Reason: q.Reason, By: q.By,
	}
	batch := store.Batch{Events: []store.Proposal{a.Proposal(checkpoint.AuditInterrupted)}}
	if _, err := s.store.Commit(context.WithoutCancel(ctx), batch); err != nil {
		return held, fmt.Errorf("actors: worker %q: interrupted, but that is not recorded: %w", name, err)
	}
	return held, nil
}
