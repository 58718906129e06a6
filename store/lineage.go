package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Reach bounds how far a question about lineage goes. The zero value sets no bounds.
type Reach struct {
	// Depth is the number of steps from the event that is asked about, each from an event to its
	// cause, or from an event to its effects. Below 1 it is no bound.
	Depth int
	// Count is the number of events. Below 1 it is no bound.
	Count int
}

// MissingCauseError is where the causes that the log has end, although the last of them has a
// cause: it is of another store, or this one no longer has it. It wraps [ErrNotFound], and a
// [DroppedError] where the cause is as old as what was dropped: then it was that, unless it is of
// another store.
type MissingCauseError struct {
	Event    uuid.UUID // that has the cause
	Position Position  // of Event
	Cause    uuid.UUID // that is not there
	First    Position  // of the events that the log has, where the cause is as old as what was dropped, else 0
}

func (e *MissingCauseError) Error() string {
	text := fmt.Sprintf("store: the cause %s of event %d (%s) is not in this log", e.Cause, e.Position, e.Event)
	if e.First > 0 {
		text += fmt.Sprintf(", which has dropped what is as old: it begins at event %d", e.First)
	}
	return text
}

// Unwrap returns [ErrNotFound], and a [DroppedError] where the cause is as old as what was dropped.
func (e *MissingCauseError) Unwrap() []error {
	if e.First > 0 {
		return []error{ErrNotFound, &DroppedError{First: e.First}}
	}
	return []error{ErrNotFound}
}

// Causes iterates over the event with an id, its cause, the cause of that, and so on: up to an
// event that has none, or to where the reach ends. An error is the last thing it yields:
// [ErrNotFound] where the log does not have the event itself, a [MissingCauseError] where it does
// not have a cause, [CorruptError] for damage, [ErrClosed], and ctx's. So without one the last
// event is the first of its chain, or the reach has ended.
//
// An event has one cause, which lies before it, mostly not far: each step reads some events on the
// way back to it, a few more the farther it is. Events of the reserved scope are shown.
func Causes(ctx context.Context, st *Store, of uuid.UUID, reach Reach) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := st.causes(ctx, of, reach, yield); err != nil {
			yield(Event{}, err)
		}
	}
}

func (s *Store) causes(ctx context.Context, of uuid.UUID, reach Reach, yield func(Event, error) bool) error {
	e, err := s.Get(ctx, of)
	for n := 1; ; n++ {
		if err != nil {
			return err
		}
		if !yield(e, nil) || e.Cause == uuid.Nil || n == reach.Count || n-1 == reach.Depth && reach.Depth > 0 {
			return nil
		}
		if err := s.readable(ctx); err != nil {
			return err
		}
		effect := e
		if e, err = s.findBefore(effect.Position, effect.Cause); errors.Is(err, ErrNotFound) {
			err = s.missingCause(&effect)
		}
	}
}

func (s *Store) missingCause(effect *Event) error {
	err := &MissingCauseError{Event: effect.ID, Position: effect.Position, Cause: effect.Cause}
	if s.mayBeDropped(effect.Cause) {
		err.First = s.first()
	}
	return err
}

// findBefore returns the event with an id that lies before a position; [ErrNotFound] where there is
// none. It goes back from there in strides that double, and then halves the last of them: that
// takes as many events as the logarithm of the distance, twice.
func (s *Store) findBefore(before Position, id uuid.UUID) (Event, error) {
	for {
		low := s.first()
		e, err := s.findBetween(low, before, id)
		if !isDropped(err) || s.first() == low {
			return e, err
		}
	}
}

func (s *Store) findBetween(low, high Position, id uuid.UUID) (Event, error) {
	before := high
	for stride := Position(1); low < high; {
		at := low + (high-low)/2
		if stride > 0 { // still going back
			at = max(low, before-min(stride, before))
			stride *= 2
		}
		e, err := s.eventAt(at)
		if err != nil {
			return e, s.readError(err)
		}
		switch order := bytes.Compare(e.ID[:], id[:]); {
		case order == 0:
			return s.unlessHidden(e)
		case order < 0:
			low, stride = at+1, 0
		default:
			high = at
		}
	}
	return Event{}, ErrNotFound
}

// unlessHidden returns an event, unless a cancelled fence hides it: then it is not there.
func (s *Store) unlessHidden(e Event) (Event, error) {
	if s.cancelled().has(e.Position) {
		return Event{}, ErrNotFound
	}
	return e, nil
}

// Effects iterates over the event with an id, its effects, the effects of those, and so on, in
// order of position: so each comes after its cause. It ends at the head as it was when the
// iteration began, or where the reach does. An error is the last thing it yields: [ErrNotFound]
// where the log has neither the event nor an effect of it, [CorruptError] for damage, [ErrClosed],
// and ctx's. What follows from an event that is not in the log is found, too.
//
// It asks the index of each segment from the event on for each event that may have effects there,
// and reads nothing but effects: the cost grows with their number times that of segments, at some
// ten million questions a second. Their ids are kept in memory meanwhile. Events of the reserved
// scope are shown.
func Effects(ctx context.Context, st *Store, of uuid.UUID, reach Reach) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := sweep{store: st, by: index.Cause, reach: reach, sources: map[uuid.UUID]int{of: 0}, ids: []uuid.UUID{of}, yield: yield}
		if err := w.run(ctx, of); err != nil {
			yield(Event{}, err)
		}
	}
}

// Correlated iterates over the events of a correlation in order of position: the first event of
// their chain, whose id it mostly is, and all that carry it. It ends at the head as it was when the
// iteration began, or after as many events as the reach has; its depth means nothing here. Errors
// are those of [Effects]: [ErrNotFound] where there is no such event.
func Correlated(ctx context.Context, st *Store, correlation uuid.UUID, reach Reach) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := sweep{store: st, by: index.Correlation, reach: reach, ids: []uuid.UUID{correlation}, yield: yield}
		if err := w.run(ctx, correlation); err != nil {
			yield(Event{}, err)
		}
	}
}

// sweep goes over the log once and yields the events that point at some that are known. Of causes,
// those that it yields become known: as an effect lies after its cause, that finds all.
type sweep struct {
	store   *Store
	by      index.Link
	reach   Reach
	yield   func(Event, error) bool
	sources map[uuid.UUID]int // of causes, how deep they are; nil for a correlation
	ids     []uuid.UUID       // what is asked for: the keys of sources, or the correlation
	upTo    Position
	all     bool // also what is hidden
	scanned Position
	start   Position // where the log began, where it has no event to start from
	found   int
	ended   bool     // by the reader, or by the reach
	pending ordinals // in the segment that is looked at
	ords    []uint32 // of one question
}

// run begins at the event that is asked about, if the log has it.
func (w *sweep) run(ctx context.Context, of uuid.UUID) error {
	s := w.store
	e, err := s.Get(ctx, of)
	switch w.upTo = s.Head(); {
	case err == nil:
		w.scanned = e.Position
		if w.by == index.Cause || e.Correlation == of {
			w.give(e)
		}
	case errors.Is(err, ErrNotFound):
		w.scanned = s.first() - 1
		w.start = w.scanned
	default:
		return err
	}
	if err := w.follow(ctx); err != nil {
		return err
	}
	if w.found == 0 {
		return fmt.Errorf("event %s: %w", of, ErrNotFound)
	}
	return nil
}

// follow goes over the segments that are left.
func (w *sweep) follow(ctx context.Context) error {
	s := w.store
	for w.scanned < w.upTo && !w.ended {
		if err := s.readable(ctx); err != nil {
			return err
		}
		if err := w.segment(ctx); err != nil && !s.again(&err) && !s.beginsLater(err, &w.scanned, &w.start) {
			return s.readError(err)
		}
	}
	return nil
}

// segment goes over what is left of a segment. After an error it may be called again: it continues
// after the event that was looked at last.
func (w *sweep) segment(ctx context.Context) error {
	g, idx, from, to, err := w.store.segmentRange(w.scanned, w.upTo)
	if err != nil {
		return err
	}
	hidden := w.store.cancelled()
	w.pending = w.pending[:0]
	for _, id := range w.ids {
		if err := w.ask(idx, id, from, to); err != nil {
			return err
		}
	}
	for len(w.pending) > 0 && !w.ended {
		ord := w.pending.pop()
		if Position(ord)+g.first <= w.scanned { // two ids have the same hash
			continue
		}
		e, err := w.store.eventIn(g, idx, ord)
		if err == nil {
			err = w.store.readable(ctx)
		}
		if err != nil {
			return err
		}
		w.scanned = e.Position
		if (w.all || !hidden.has(e.Position)) && w.take(e) {
			if err := w.ask(idx, e.ID, ord+1, to); err != nil {
				return err
			}
		}
	}
	w.scanned = g.first + Position(to) - 1
	return nil
}

// ask adds to what is pending the events in a range that point at an id.
func (w *sweep) ask(idx index.Index, id uuid.UUID, from, to uint32) (err error) {
	w.ords, err = idx.Linked(w.by, id, from, to, w.ords[:0])
	for _, ord := range w.ords {
		w.pending.push(ord)
	}
	return err
}

// take yields an event if it does point at one that is known: the index goes by hashes. It returns
// whether effects of it are to be found.
func (w *sweep) take(e Event) (asks bool) {
	depth := 0
	if w.sources == nil {
		if e.Correlation != w.ids[0] {
			return false
		}
	} else {
		of, known := w.sources[e.Cause]
		if !known {
			return false
		}
		depth = of + 1
	}
	w.give(e)
	if w.sources == nil || w.reach.Depth > 0 && depth >= w.reach.Depth {
		return false
	}
	w.sources[e.ID] = depth
	w.ids = append(w.ids, e.ID)
	return true
}

func (w *sweep) give(e Event) {
	w.found++
	w.ended = !w.yield(e, nil) || w.found == w.reach.Count
}

// ordinals is a heap of them: the least is the first.
type ordinals []uint32

func (h *ordinals) push(ord uint32) {
	*h = append(*h, ord)
	s := *h
	for i := len(s) - 1; i > 0 && s[i] < s[(i-1)/2]; i = (i - 1) / 2 {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
	}
}

func (h *ordinals) pop() uint32 {
	s := *h
	least, last := s[0], len(s)-1
	s[0] = s[last]
	s = s[:last]
	for i := 0; 2*i+1 < last; {
		child := 2*i + 1
		if child+1 < last && s[child+1] < s[child] {
			child++
		}
		if s[i] <= s[child] {
			break
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
	*h = s
	return least
}
