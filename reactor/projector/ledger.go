package projector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// pingTimeout bounds the question whether the database can be reached.
const pingTimeout = 5 * time.Second

// ledger runs the transactions of one worker. It is used by the handler alone, and by locate, which runs while no handler does.
type ledger struct {
	db     *sql.DB
	routes map[string]Route
	table

	rows *rows          // nil: not known for sure, to be read before anything else
	low  store.Position // what this owner has seen committed: the row does not go back
}

// locate makes the row ours, and says how far it is. An older owner finds that out with its next transaction.
func (l *ledger) locate(ctx context.Context, at cursor.ResumeState) (store.Position, error) {
	l.owner, l.rows = at.Ownership, nil
	_, create := l.db.ExecContext(ctx, Schema) // it may be forbidden where the tables are there
	var from store.Position
	var found *rows
	err := l.within(ctx, func(tx *sql.Tx) (err error) {
		if err = l.rename(ctx, tx, at.Formerly); err != nil {
			return err
		}
		if err = l.acquire(ctx, tx, at.Start); err != nil {
			return err
		}
		if found, err = l.read(ctx, tx); err != nil {
			return err
		}
		from, err = l.settle(ctx, tx, found, at)
		return err
	})
	if err != nil {
		return 0, directed(fmt.Errorf("projector %q: %w", l.worker, errors.Join(err, create)))
	}
	l.rows, l.low = found, found.position
	return from, nil
}

// settle looks for events that the database lacks and the log will not give again by itself, because they are not set aside
// there any more. Those that were given up are no more owed; before the first of the others the reading begins: of an
// event that was replayed after the copy was made from which the database was restored, or lost from the list in the log.
func (l *ledger) settle(ctx context.Context, tx *sql.Tx, r *rows, at cursor.ResumeState) (from store.Position, err error) {
	missing := slices.DeleteFunc(r.owed(), func(p store.Position) bool {
		_, aside := slices.BinarySearch(at.Parked, p)
		return aside
	})
	given, err := at.Skipped(ctx, missing)
	if err != nil {
		return 0, err
	}
	if err := l.flip(ctx, tx, r, given); err != nil {
		return 0, err
	}
	r.apply(change{to: r.position, flip: given})
	for _, p := range missing {
		if !r.handled(p) {
			return p - 1, nil
		}
	}
	return r.position, nil
}

// within runs a transaction.
func (l *ledger) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // also when do panics; nothing after a commit
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// commitError is that of a commit: it may be the fault of what was written, and what became of it is not known.
type commitError struct{ err error }

func (e *commitError) Error() string { return "projector: commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// handle is what the worker calls with each batch. It does not tell the batch where it works: after a panic nothing is
// committed, so nothing may count as done, and the worker finds the event by halving. After an error what lies before the event
// is handled once more, in a transaction without it.
func (l *ledger) handle(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	if w, _ := b.AtLeastOnce(); w.Epoch != l.owner.Epoch {
		return cursor.Continue, directed(&checkpoint.FencedError{ID: w.ID, Epoch: w.Epoch})
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

// apply has events handled in one transaction. It gives the index of the event whose handler failed, -1 where none did.
func (l *ledger) apply(ctx context.Context, b *cursor.Batch, events []store.Event) (failed int, err error) {
	r, err := l.take(ctx)
	if err != nil {
		return -1, directed(err)
	}
	failed = -1
	c := r.change(events, b.Parked(), b.PassedOver())
	err = l.within(ctx, func(tx *sql.Tx) error {
		if err := l.move(ctx, tx, r, c); err != nil {
			return err
		}
		for _, i := range c.due {
			if err := l.call(ctx, tx, events[i]); err != nil {
				failed = i
				return err
			}
		}
		return nil
	})
	if err == nil {
		r.apply(c)
		l.rows, l.low = r, r.position
		return -1, nil
	}
	var commit *commitError
	if failed < 0 && !errors.As(err, &commit) || ctx.Err() == nil && l.away(ctx) {
		return -1, directed(err)
	}
	return failed, err
}

// take gives the rows, read anew where that is needed. Until they are put back they are not known: whatever happens to the
// transaction, the next one finds out.
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

func (l *ledger) call(ctx context.Context, tx *sql.Tx, e store.Event) error {
	return l.routes[e.Kind].apply(ctx, tx, call{worker: string(l.owner.FirstName), event: e})
}

// away reports whether the database cannot be reached: then a failure says nothing about what was written.
func (l *ledger) away(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return l.db.PingContext(ctx) != nil
}

// directed says what a failure of the database means: a row that is not ours any more ends the worker, and everything else is
// waited for. Nothing is held against an event.
func directed(err error) error {
	final := []error{checkpoint.ErrFenced, store.ErrForeignHistory, ErrForgotten}
	if slices.ContainsFunc(final, func(target error) bool { return errors.Is(err, target) }) {
		return supervision.Halt(err)
	}
	return supervision.Wait(err)
}
