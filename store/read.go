package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sort"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Sizes of reading.
const (
	readPageEvents = 512      // events that Read fetches at a time
	maxPageBytes   = 4 << 20  // a page ends when its events took as much
	runBytes       = 64 << 10 // read from a file at a time
	runGap         = 2 << 10  // bytes between two events worth reading over
	maxPageHops    = 16       // segments that one page looks at
)

// Page is a stretch of the log as a region sees it.
type Page struct {
	// Events that match, in order of position.
	Events []Event
	// Scanned is the position up to which everything was looked at: a reader goes on behind it.
	Scanned Position
}

// ReadPage gives the events of r behind after and up to upTo (0 or beyond the head: up to the head), at most limit
// of them. It does a bounded amount of work: a page may hold fewer events, or none, with Scanned below upTo; a
// reader goes on from there. A limit below 1 is refused with an [InvalidError], a bad region with its error; damage
// that it meets is a [CorruptError].
func (s *Store) ReadPage(ctx context.Context, r Region, after, upTo Position, limit int) (Page, error) {
	if err := r.Validate(); err != nil {
		return Page{}, err
	}
	if limit < 1 {
		return Page{}, &InvalidError{Field: "limit", Rule: "must be at least 1", Value: fmt.Sprint(limit)}
	}
	if err := s.readable(ctx); err != nil {
		return Page{}, err
	}
	head := s.Head()
	if upTo == 0 || upTo > head {
		upTo = head
	}
	if after >= upTo {
		return Page{Scanned: after}, nil
	}
	return s.readPage(r, after, upTo, limit)
}

// Read iterates over the events of r from a start up to the head as it was when the iteration began. An error is
// the last thing it yields.
func (s *Store) Read(ctx context.Context, r Region, from From) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := s.read(ctx, r, from, yield); err != nil {
			yield(Event{}, err)
		}
	}
}

func (s *Store) read(ctx context.Context, r Region, from From, yield func(Event, error) bool) error {
	if err := r.Validate(); err != nil {
		return err
	}
	after, err := s.Resolve(ctx, from)
	if err != nil {
		return err
	}
	d := s.decoders.get()
	defer s.decoders.put(d)
	head := s.Head()
	for after < head {
		if err := s.readable(ctx); err != nil {
			return err
		}
		d.events, after, err = s.fill(d, d.events[:0], r, after, head, readPageEvents)
		if err != nil {
			return s.readError(err)
		}
		for i := range d.events {
			if !yield(d.events[i], nil) {
				return nil
			}
		}
	}
	return nil
}

// Get finds an event by its id: [ErrNotFound] when there is none.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (Event, error) {
	if err := s.readable(ctx); err != nil {
		return Event{}, err
	}
	p, err := s.search(func(e *Event) bool { return bytes.Compare(e.ID[:], id[:]) >= 0 })
	if err != nil {
		return Event{}, err
	}
	if p <= s.Head() {
		e, err := s.eventAt(p)
		if err != nil || e.ID == id {
			return e, s.readError(err)
		}
	}
	return Event{}, fmt.Errorf("event %s: %w", id, ErrNotFound)
}

// GetAt gives the event at a position: [ErrNotFound] for 0 and for what lies behind the head.
func (s *Store) GetAt(ctx context.Context, p Position) (Event, error) {
	if err := s.readable(ctx); err != nil {
		return Event{}, err
	}
	if p == 0 || p > s.Head() {
		return Event{}, fmt.Errorf("position %d: %w", p, ErrNotFound)
	}
	e, err := s.eventAt(p)
	return e, s.readError(err)
}

// GetAll gives the events at positions, which must ascend, in their order; nil for none. Neighbours are read together,
// so it costs less than [Store.GetAt] for each. All are in memory at once: who asks for many bounds them.
//
// Errors: [InvalidError] when the positions do not ascend strictly, [ErrNotFound] when one is 0 or lies behind the
// head, and those of GetAt. With an error there are no events.
func (s *Store) GetAll(ctx context.Context, positions []Position) ([]Event, error) {
	for i := 1; i < len(positions); i++ {
		if positions[i-1] >= positions[i] {
			return nil, &InvalidError{Field: "positions", Rule: "must ascend", Value: fmt.Sprint(positions[i])}
		}
	}
	if err := s.readable(ctx); err != nil || len(positions) == 0 {
		return nil, err
	}
	if positions[0] == 0 {
		return nil, fmt.Errorf("position 0: %w", ErrNotFound)
	}
	if last := positions[len(positions)-1]; last > s.Head() {
		return nil, fmt.Errorf("position %d: %w", last, ErrNotFound)
	}
	d := s.decoders.get()
	defer s.decoders.put(d)
	events := make([]Event, 0, min(len(positions), readPageEvents))
	for len(events) < len(positions) {
		if err := s.readable(ctx); err != nil {
			return nil, err
		}
		var err error
		if events, err = s.fillAt(d, events, positions[len(events):]); err != nil {
			return nil, s.readError(err)
		}
	}
	return events, nil
}

// fillAt appends to dst the events at the first of the positions, those of one segment, at most a page.
func (s *Store) fillAt(d *decoder, dst []Event, positions []Position) ([]Event, error) {
	g, idx, from, to, err := s.segmentRange(positions[0]-1, positions[len(positions)-1])
	if err != nil {
		return dst, err
	}
	d.ords = d.ords[:0]
	for _, p := range positions[:min(len(positions), readPageEvents)] {
		ord := p - positions[0] + Position(from)
		if ord >= Position(to) {
			break
		}
		d.ords = append(d.ords, uint32(ord))
	}
	d.extent = idx.Extents(d.ords, d.extent[:0])
	for ords, extents := d.ords, d.extent; len(ords) > 0; {
		run := planSpan(g, ords, extents)
		var looked int
		if dst, looked, err = run.read(d, dst, nil); err != nil {
			return dst, err
		}
		ords, extents = ords[looked:], extents[looked:]
	}
	return dst, nil
}

// Resolve gives the position behind which a start begins.
func (s *Store) Resolve(ctx context.Context, from From) (Position, error) {
	if err := s.readable(ctx); err != nil {
		return 0, err
	}
	switch from.kind {
	case fromNow:
		return s.Head(), nil
	case fromSince:
		ms := from.time.UnixMilli()
		p, err := s.search(func(e *Event) bool { return e.Time.Time().UnixMilli() >= ms })
		return p - 1, err
	case fromAfter:
	}
	return from.after, nil
}

// Count gives the number of events of r behind after and up to upTo (0: the head), at most limit. It asks the index
// alone: a region with a version range, and one without a scope, may be overestimated by events that only reading
// would exclude.
func (s *Store) Count(ctx context.Context, r Region, after, upTo Position, limit int) (int, error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	if err := s.readable(ctx); err != nil {
		return 0, err
	}
	head := s.Head()
	if upTo == 0 || upTo > head {
		upTo = head
	}
	n := 0
	for after < upTo && n < limit {
		g, idx, from, to, err := s.segmentRange(after, upTo)
		if err != nil {
			return n, s.readError(err)
		}
		n += idx.Count(r.query(), from, to, limit-n)
		after = g.first + Position(to) - 1
	}
	return n, nil
}

// readable reports why nothing can be read.
func (s *Store) readable(ctx context.Context) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: read: %w", err)
	}
	if s.follower != nil {
		if failed := s.follower.failed.Load(); failed != nil {
			return *failed
		}
	}
	return nil
}

// readError translates the error of a read that ran into Close.
func (s *Store) readError(err error) error {
	if err != nil && errors.Is(err, fs.ErrClosed) {
		return ErrClosed
	}
	return err
}

func (s *Store) readPage(r Region, after, upTo Position, limit int) (Page, error) {
	d := s.decoders.get()
	defer s.decoders.put(d)
	waiting := min(uint64(limit), uint64(upTo-after), readPageEvents)
	events, scanned, err := s.fill(d, make([]Event, 0, waiting), r, after, upTo, limit)
	if err != nil {
		return Page{}, s.readError(err)
	}
	return Page{Events: events, Scanned: scanned}, nil
}

// fill appends to dst the next events of r in (after, upTo]. It fails only if the very next event cannot be read: what is good
// before a bad one is given first.
func (s *Store) fill(
	d *decoder, dst []Event, r Region, after, upTo Position, limit int,
) (events []Event, scanned Position, err error) {
	f, bytesLeft, scanned := newFilter(r), int64(maxPageBytes), after
	for hops := 0; scanned < upTo && len(dst) < limit && bytesLeft > 0 && hops < maxPageHops; hops++ {
		g, idx, from, to, err := s.segmentRange(scanned, upTo)
		if err != nil {
			return dst, scanned, deferIfProgress(err, after, scanned)
		}
		var next uint32
		d.ords, next = idx.Select(f.query, from, to, limit-len(dst), d.ords[:0])
		d.extent = idx.Extents(d.ords, d.extent[:0])
		for ords, extents := d.ords, d.extent; len(ords) > 0 && bytesLeft > 0; {
			run := planSpan(g, ords, extents)
			var looked int
			dst, looked, err = run.read(d, dst, f)
			if err != nil {
				scanned = max(scanned, g.first+Position(ords[looked])-1)
				return dst, scanned, deferIfProgress(err, after, scanned)
			}
			scanned = g.first + Position(ords[looked-1])
			bytesLeft -= run.end - run.start
			ords, extents = ords[looked:], extents[looked:]
		}
		if bytesLeft > 0 {
			scanned = g.first + Position(next) - 1
		}
	}
	return dst, scanned, nil
}

// deferIfProgress puts off an error until the next call when this one got anywhere.
func deferIfProgress(err error, after, scanned Position) error {
	if scanned > after {
		return nil
	}
	return err
}

// segmentRange finds the segment that holds the position behind after, and the ordinals [from, to) of (after, upTo] in it.
func (s *Store) segmentRange(after, upTo Position) (g *segment, idx index.Index, from, to uint32, err error) {
	segments := *s.segments.Load()
	i := sort.Search(len(segments), func(i int) bool { return segments[i].first > after+1 }) - 1
	if i < 0 {
		return nil, nil, 0, 0, fmt.Errorf("position %d: %w", after+1, ErrNotFound)
	}
	g = segments[i]
	if idx, err = s.indexOf(g); err != nil {
		return nil, nil, 0, 0, err
	}
	last := upTo
	if i+1 < len(segments) {
		last = min(last, segments[i+1].first-1)
	}
	return g, idx, uint32(after + 1 - g.first), uint32(last + 1 - g.first), nil
}

func (s *Store) eventAt(p Position) (Event, error) {
	g, idx, ord, _, err := s.segmentRange(p-1, p)
	if err != nil {
		return Event{}, err
	}
	return s.eventIn(g, idx, ord)
}

func (s *Store) eventIn(g *segment, idx index.Index, ord uint32) (Event, error) {
	offset := int64(idx.Offset(ord))
	rec, err := g.record(offset)
	if err != nil {
		return Event{}, err
	}
	d := s.decoders.get()
	defer s.decoders.put(d)
	var e Event
	if !d.decode(rec, &e) || e.Position != g.first+Position(ord) {
		return Event{}, g.corrupt(offset, "not the event that the index names")
	}
	return e, nil
}

// search gives the first visible position whose event satisfies pred, which must be false up to some event and true
// from there on; one behind the head when it is true for none.
func (s *Store) search(pred func(*Event) bool) (Position, error) {
	first, head := (*s.segments.Load())[0].first, s.Head()
	var failed error
	n := sort.Search(int(head+1-first), func(i int) bool {
		if failed != nil {
			return true
		}
		e, err := s.eventAt(first + Position(i))
		failed = err
		return err == nil && pred(&e)
	})
	return first + Position(n), s.readError(failed)
}
