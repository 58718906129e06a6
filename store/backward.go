package store

import (
	"context"
	"iter"
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Backward iterates over the events of r before a position, the newest first: 0, and what is beyond
// the head, begins at the head as it is then. So the last n events of a region are the first n of
// it, and the n before those begin at the position of the last one that was seen. It may be left
// early and nested. It ends where the log begins. An error is the last thing it yields: a bad
// region's, ctx's, [ErrClosed], [ErrDropped] for a position before the first event, or
// [CorruptError] for damage, after all events that are good before it.
//
// It asks the indexes from the end on, for a little at first and for more where there is nothing: a
// segment without an event of the region costs a look at its filter. [Store.Read] is several times
// as fast at reading all.
func Backward(ctx context.Context, st *Store, r Region, before Position) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := st.backward(ctx, r, before, yield); err != nil {
			yield(Event{}, err)
		}
	}
}

func (s *Store) backward(ctx context.Context, r Region, before Position, yield func(Event, error) bool) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if err := s.readable(ctx); err != nil {
		return err
	}
	head := s.Head()
	w := backwards{store: s, filter: newFilter(r), rest: head, window: minWindow, yield: yield}
	if before > 0 && before <= head {
		w.rest = before - 1
	}
	if before > 0 && before < s.first() {
		return s.droppedError(before)
	}
	for more := true; more && w.rest >= s.first(); {
		err := s.readable(ctx)
		if err == nil {
			more, err = w.step()
		}
		if isDropped(err) { // the log begins later by now
			return nil
		}
		if err != nil && !s.again(&err) {
			return s.readError(err)
		}
	}
	return nil
}

// How many events are looked for at a time, in an index: more where few of them match.
const (
	minWindow  = 64
	maxWindow  = 1 << 20
	fewMatches = 16  // below them the next window is larger
	manyEvents = 256 // above them it is smaller
)

// backwards is what Backward works with. It belongs to its reader.
type backwards struct {
	store  *Store
	filter filter
	rest   Position // everything after it was looked at
	window uint32
	ords   []uint32
	yield  func(Event, error) bool
}

// step looks at one window, which lies in one segment, and returns whether the reader wants more.
// After an error it may be called again: it continues before the event that was yielded last.
func (w *backwards) step() (more bool, err error) {
	g, idx, last, end, err := w.store.segmentRange(w.rest-1, w.rest)
	if err != nil {
		return true, err
	}
	from := last - min(last, w.window-1)
	if w.ords, err = selectAll(idx, w.filter.query, from, end, w.ords[:0]); err != nil {
		return true, err
	}
	hidden := w.store.cancelled()
	for _, ord := range slices.Backward(w.ords) {
		e, err := w.store.eventIn(g, idx, ord)
		if err != nil {
			return true, err
		}
		w.rest = e.Position - 1
		shown := w.filter.admits(e.Coordinate, e.Kind, e.Version) && !hidden.has(e.Position)
		if shown && !w.yield(e, nil) {
			return false, nil
		}
	}
	w.rest = g.first + Position(from) - 1
	switch {
	case len(w.ords) < fewMatches:
		w.window = min(4*w.window, maxWindow)
	case len(w.ords) > manyEvents:
		w.window = max(w.window/4, minWindow)
	}
	return true, nil
}

// selectAll selects all that there is in a range.
func selectAll(idx index.Index, q index.Query, from, to uint32, dst []uint32) (ords []uint32, err error) {
	ords, _, err = idx.Select(q, from, to, int(to-from), dst)
	return ords, err
}
