package projector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// pingTimeout bounds the question whether the database can be reached.
const pingTimeout = 5 * time.Second

// ledger runs the transactions of one worker. It is used by the handler alone, and by locate, which
// runs while no handler does.
type ledger struct {
	db     *sql.DB
	routes map[string]bound
	table

	rows *rows          // nil: not known for sure, to be read before anything else
	low  store.Position // what this owner has seen committed: the row does not go back
}

// locate makes the row ours, and returns how far it is. An older owner finds that out with its next
// transaction.
func (l *ledger) locate(ctx context.Context, at cursor.ResumeState) (store.Position, error) {
	l.owner, l.log, l.rows = at.Ownership, at.Store, nil
	prepared := prepare(ctx, l.db)
	var from store.Position
	var found *rows
	err := l.within(ctx, func(tx *sql.Tx) (err error) {
		if err = l.rename(ctx, tx, at.Formerly); err != nil {
			return err
		}
		if found, err = l.acquire(ctx, tx, at); err != nil {
			return err
		}
		from, err = l.reconcile(ctx, tx, found, at)
		return err
	})
	if err != nil {
		return 0, directed(fmt.Errorf("projector %q: %w", l.worker, errors.Join(err, prepared)))
	}
	l.rows, l.low = found, found.position
	return from, nil
}

// reconcile looks for pending events that are not parked in the log any more, so that no replay
// will bring them: they were replayed after the copy was made from which the database was restored,
// or the log lost its list. Those that were skipped or discarded meanwhile are not pending any
// more. Reading resumes before the first of the others, or at the position.
func (l *ledger) reconcile(ctx context.Context, tx *sql.Tx, r *rows, at cursor.ResumeState) (from store.Position, err error) {
	missing := slices.DeleteFunc(r.pending(), func(p store.Position) bool {
		_, parked := slices.BinarySearch(at.Parked, p)
		return parked
	})
	skipped, err := at.Skipped(ctx, missing)
	if err != nil {
		return 0, err
	}
	if err := l.flip(ctx, tx, r, skipped); err != nil {
		return 0, err
	}
	r.apply(change{to: r.position, anchor: r.anchor, flip: skipped})
	for _, p := range missing {
		if !r.handled(p) {
			return p - 1, nil
		}
	}
	return r.position, nil
}

// within runs a transaction. Only a handler can have ended it before its end, unless the context
// did.
func (l *ledger) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // when do panics; else it is over by then
	if err := do(tx); err != nil {
		if ended := tx.Rollback(); errors.Is(ended, sql.ErrTxDone) && ctx.Err() == nil {
			return fmt.Errorf("%w: %w", ErrTransactionEnded, err)
		}
		return err
	}
	switch err := tx.Commit(); {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrTxDone) && ctx.Err() == nil:
		return ErrTransactionEnded
	default:
		return &commitError{err}
	}
}

// commitError is that of the end of a transaction: what was written may be the reason, and whether
// it is committed is not known.
type commitError struct{ err error }

func (e *commitError) Error() string { return "projector: commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// handle is what the worker calls with each batch. It does not call Batch.Begin: after a panic
// nothing is committed, so nothing may count as done, and the worker finds the event by halving.
// After an error what lies before the event is handled once more, in a transaction without it.
func (l *ledger) handle(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	if w, _ := b.AtLeastOnce(); w.Epoch != l.owner.Epoch {
		return cursor.Continue, directed(errFenced(w))
	}
	n := len(b.Events)
	var failure error
	for n > 0 {
		failed, err := l.apply(ctx, b, b.Events[:n])
		if err == nil {
			break
		}
		if failed < 0 || ctx.Err() != nil { // nothing can be said of an event, or nothing committed any more
			return cursor.Continue, err
		}
		n, failure = failed, err
	}
	if failure != nil {
		return cursor.Continue, cursor.FailedAt(n, failure)
	}
	return cursor.Continue, nil
}

// apply has events handled in one transaction. It returns the index of the event whose handler
// failed, -1 where none did.
func (l *ledger) apply(ctx context.Context, b *cursor.Batch, events []store.Event) (failed int, err error) {
	r, err := l.take(ctx)
	if err != nil {
		return -1, directed(err)
	}
	c := r.change(events, b.Parked(), b.PassedOver(r.position))
	if c.anchor.Position > r.anchor.Position {
		if c.anchor, err = l.log.AnchorAt(ctx, c.anchor.Position); err != nil {
			return -1, directed(err)
		}
	}
	failed, err = l.write(ctx, r, c, events)
	var end *commitError
	switch {
	case err == nil:
		r.apply(c)
		l.rows, l.low = r, r.position
		return -1, nil
	case failed < 0 && (final(err) || !errors.As(err, &end)), ctx.Err() == nil && l.unreachable(ctx):
		return -1, directed(err)
	case failed < 0 && ctx.Err() == nil:
		return -1, l.settle(ctx, c, events, err)
	}
	return failed, err
}

// write is the transaction. The position is written last, so that no handler can commit it before
// its time.
func (l *ledger) write(ctx context.Context, r *rows, c change, events []store.Event) (failed int, err error) {
	last := -1        // the event that was handled last
	var failure error // of its handler
	err = l.within(ctx, func(tx *sql.Tx) error {
		if err := l.open(ctx, tx, r); err != nil {
			return err
		}
		for _, last = range c.due {
			if failure = l.call(ctx, tx, events[last]); failure != nil {
				return failure
			}
		}
		if err := l.move(ctx, tx, r, c); err != nil {
			return &commitError{err}
		}
		return nil
	})
	switch ended := errors.Is(err, ErrTransactionEnded) && !errors.Is(failure, ErrTransactionEnded); {
	case ended && last >= 0:
		first := events[c.due[0]].Position
		return -1, fmt.Errorf("at one of the events %d to %d: %w", first, events[last].Position, err)
	case failure != nil:
		return last, err
	}
	return -1, err
}

// settle finds out whether a transaction was committed whose end failed. If not, the error is that
// of its events.
func (l *ledger) settle(ctx context.Context, c change, events []store.Event, failure error) error {
	r, err := l.take(ctx)
	if err != nil {
		return directed(err)
	}
	l.rows, l.low = r, r.position
	missing := func(i int) bool { return !r.handled(events[i].Position) }
	if r.position != c.to || slices.ContainsFunc(c.due, missing) {
		return failure
	}
	return nil
}

// take returns the rows, read again where they are not known. They are not known until they are put
// back: whatever happens to the transaction, the next one reads them.
func (l *ledger) take(ctx context.Context) (*rows, error) {
	r := l.rows
	l.rows = nil
	if r != nil {
		return r, nil
	}
	err := l.within(ctx, func(tx *sql.Tx) (err error) {
		r, err = l.read(ctx, tx)
		return err
	})
	if err == nil && r.position < l.low {
		err = ErrForgotten
	}
	return r, err
}

// call runs the handler of an event; of one that was erased there may be none, and it is passed
// over. There may be none either for one that was parked by an earlier version of the program.
func (l *ledger) call(ctx context.Context, tx *sql.Tx, e store.Event) error {
	route, ok := l.routes[e.Kind]
	handle := route.apply
	if _, erased := e.Erased(); erased {
		if handle = route.erased; handle == nil {
			return nil
		}
	}
	if !ok {
		reads := slices.Sorted(maps.Keys(l.routes))
		return fmt.Errorf("%w: %d (%s at %s) is not among %q", reactor.ErrUnseen, e.Position, e.Kind, e.Coordinate, reads)
	}
	return handle(ctx, tx, call{worker: string(l.owner.FirstName), event: e})
}

// unreachable reports whether the database cannot be reached: then a failure says nothing about
// what was written.
func (l *ledger) unreachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return l.db.PingContext(ctx) != nil
}

// errFenced is the error of an owner that another one replaced.
func errFenced(w cursor.Ownership) error {
	return fmt.Errorf("checkpoint %q: owner of epoch %d: %w", w.ID, w.Epoch, checkpoint.ErrFenced)
}

// directed says what a failure of the database means: what is final ends the worker, and everything
// else is waited for. Nothing is held against an event.
func directed(err error) error {
	if final(err) {
		return supervision.Halt(err)
	}
	return supervision.Wait(err)
}

// final reports whether the row is not ours any more, or cannot be trusted, or continued from.
func final(err error) bool {
	for _, target := range []error{
		checkpoint.ErrFenced, store.ErrForeignHistory, store.ErrDropped, ErrForgotten, ErrTransactionEnded,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
