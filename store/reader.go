package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Read iterates over the events of r from a start up to the head as it was when the iteration
// began. An error is the last thing it yields: a bad region's, ctx's, [ErrClosed], or
// [CorruptError] for damage, after all events that are good before it. It may be left early and
// nested.
func (s *Store) Read(ctx context.Context, r Region, from From) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := s.read(ctx, r, from, yield, nil); err != nil {
			yield(Event{}, err)
		}
	}
}

// Scan is [Store.Read] for callers that keep nothing of an event. What it yields is valid until the
// next step of the iteration, or its end: then the memory of the event, its Payload and what its
// methods return are used for the next one, which makes Scan two to three times as fast.
// [Event.Clone] returns a copy to keep; single strings and numbers of an event may be kept as they
// are. Beside an error the event is nil.
//
// To find what is kept without Clone, run the tests with the race detector, or with the build tag
// penstock_poison: then an event is overwritten as soon as it is gone.
func (s *Store) Scan(ctx context.Context, r Region, from From) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		lend, take := yield, (func(Event, error) bool)(nil)
		if s.poisons {
			lend, take = nil, func(e Event, _ error) bool { return poisoned(e, yield) }
		}
		if err := s.read(ctx, r, from, take, lend); err != nil {
			yield(nil, err)
		}
	}
}

// poisoned lends an event of memory of its own, and overwrites that as soon as the step is over.
func poisoned(e Event, yield func(*Event, error) bool) bool {
	defer func() {
		wal.Poison(e.record)
		e = Event{}
	}()
	return yield(&e, nil)
}

// read walks over all that there is. The head is read once: a loop that appends an event for each
// that it reads comes to an end. ctx is looked at between steps, each of which is bounded work.
func (s *Store) read(ctx context.Context, r Region, from From,
	take func(Event, error) bool, lend func(*Event, error) bool,
) error {
	if err := r.Validate(); err != nil {
		return err
	}
	after, err := s.resolve(ctx, from)
	if err != nil {
		return err
	}
	return s.readUpTo(ctx, r, after, s.Head(), take, lend)
}

// readUpTo reads (after, upTo], which may lie after the head. The region is valid.
func (s *Store) readUpTo(ctx context.Context, r Region, after, upTo Position,
	take func(Event, error) bool, lend func(*Event, error) bool,
) error {
	w := s.walk(r, after, upTo)
	defer w.end()
	w.onward, w.take, w.lend = w.filter.any, take, lend
	for more := true; more && w.scanned < w.upTo; {
		err := s.readable(ctx)
		if err != nil {
			return err
		}
		w.budget = maxPageBytes
		if more, err = w.step(readPageEvents); err != nil {
			return s.readError(err)
		}
	}
	return nil
}

// Resolve returns the position after which a reader that starts there begins, as of now. For a time
// it is a binary search, as times grow with positions. The beginning, and a time before it, is
// where the log begins, after what retention has dropped. [After] is returned as it is, also beyond
// the head and before the first event: whether that is a mistake only the caller knows. Errors:
// [ErrClosed], ctx's error, and [CorruptError] for damage to what the search reads.
func (s *Store) Resolve(ctx context.Context, from From) (Position, error) {
	p, err := s.resolve(ctx, from)
	if err == nil && from == Beginning() {
		p = s.first() - 1
	}
	return p, err
}

// resolve returns 0 for the beginning, wherever that is.
func (s *Store) resolve(ctx context.Context, from From) (Position, error) {
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

// readable returns why nothing can be read: the store is closed, ctx has ended, or a read-only
// store has met damage that it cannot get past. A writer that is poisoned is no reason: what was
// published before stays readable.
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

// readError translates the error of a read that ran into Close. Readers take no lock that Close
// would wait for: they find out by the file that is closed under them, which an operating system
// reports and never mistakes for another file, as the descriptor belongs to an os.File.
func (s *Store) readError(err error) error {
	if err != nil && errors.Is(err, fs.ErrClosed) {
		return ErrClosed
	}
	return err
}
