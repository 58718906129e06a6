package projector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Schema creates the two tables that a projector keeps for itself, where they do not exist yet. A projector executes it when it
// starts; it is public for databases whose program may not create tables.
const Schema = `CREATE TABLE IF NOT EXISTS penstock_position (
	worker      TEXT   NOT NULL PRIMARY KEY,
	store       TEXT   NOT NULL,
	incarnation BIGINT NOT NULL,
	epoch       BIGINT NOT NULL,
	position    BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS penstock_done (
	worker   TEXT   NOT NULL,
	position BIGINT NOT NULL,
	PRIMARY KEY (worker, position)
)`

// ErrForgotten says that the row of the projector was removed while it ran.
var ErrForgotten = errors.New("projector: its row in the database is gone")

// ledger is what one worker knows of its rows. It is used by the handler alone, and by locate, which runs while no handler
// does.
type ledger struct {
	db     *sql.DB
	worker string
	routes map[string]Route

	owner    cursor.Witness
	position store.Position          // of the row, as far as known
	unsure   bool                    // whether the row is what it was: it is read again before anything else
	done     map[store.Position]bool // rows of penstock_done; true: needed no more once position is behind it
	fresh    []store.Position        // of these, those of the batch before
}

// locate makes the row ours, and says how far it is. An older owner finds that out with its next transaction.
func (l *ledger) locate(ctx context.Context, w cursor.Witness, start store.Position) (store.Position, error) {
	l.owner = w
	_, create := l.db.ExecContext(ctx, Schema) // it may be forbidden where the tables are there
	err := l.within(ctx, func(tx *sql.Tx) error {
		n, err := changed(tx.ExecContext(ctx, `UPDATE penstock_position SET epoch = $1
			WHERE worker = $2 AND store = $3 AND incarnation = $4 AND epoch < $5`,
			int64(w.Epoch), l.worker, w.History.Store.String(), int64(w.History.Incarnation), int64(w.Epoch)))
		if err != nil || n > 0 {
			return err
		}
		err = l.checkOwner(ctx, tx)
		if errors.Is(err, ErrForgotten) {
			_, err = tx.ExecContext(ctx, `INSERT INTO penstock_position (worker, store, incarnation, epoch, position)
				VALUES ($1, $2, $3, $4, $5)`,
				l.worker, w.History.Store.String(), int64(w.History.Incarnation), int64(w.Epoch), int64(start))
		}
		return err
	})
	if err == nil {
		err = l.reload(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("projector %q: %w", l.worker, errors.Join(err, create))
	}
	return l.position, nil
}

// checkOwner reads the row and says whose it is: nil for ours, ErrForgotten where there is none.
func (l *ledger) checkOwner(ctx context.Context, tx *sql.Tx) error {
	var id string
	var incarnation, epoch, position int64
	err := tx.QueryRowContext(ctx, "SELECT store, incarnation, epoch, position FROM penstock_position WHERE worker = $1", l.worker).
		Scan(&id, &incarnation, &epoch, &position)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrForgotten
	}
	if err != nil {
		return err
	}
	known, err := uuid.Parse(id)
	if history := (store.History{Store: known, Incarnation: uint32(incarnation)}); err != nil || history != l.owner.History {
		return fmt.Errorf("the row is of history %s/%d, this is %s: %w", id, incarnation, l.owner.History, store.ErrForeignHistory)
	}
	if uint64(epoch) != l.owner.Epoch {
		// An epoch that is less belongs to a checkpoint that was deleted: who is newer cannot be told any more.
		return fmt.Errorf("the row is of epoch %d: %w", epoch, &checkpoint.FencedError{ID: l.owner.ID, Epoch: l.owner.Epoch})
	}
	l.position = store.Position(position)
	return nil
}

// reload reads the rows.
func (l *ledger) reload(ctx context.Context) error {
	done := make(map[store.Position]bool)
	err := l.within(ctx, func(tx *sql.Tx) error {
		if err := l.checkOwner(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT position FROM penstock_done WHERE worker = $1", l.worker)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p int64
			if err := rows.Scan(&p); err != nil {
				return err
			}
			done[store.Position(p)] = l.done[store.Position(p)]
		}
		return rows.Err()
	})
	if err == nil {
		l.done, l.unsure = done, false
	}
	return err
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
	return tx.Commit()
}

// changed is the number of rows that a statement has changed.
func changed(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// handle is what the worker calls with each batch. It does not tell the batch where it works: after a panic nothing is
// committed, so nothing may count as done, and the worker finds the event by halving.
func (l *ledger) handle(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	for _, p := range l.fresh { // the log has committed the batch before this one, and knows of these
		l.done[p] = true
	}
	l.fresh = nil
	failed, err := l.apply(ctx, b, b.Events)
	switch {
	case err == nil:
		return cursor.Continue, nil
	case failed < 0, failed > 0 && ctx.Err() != nil: // nothing can be committed any more
		return cursor.Continue, err
	case failed > 0:
		if _, err := l.apply(ctx, b, b.Events[:failed]); err != nil {
			return cursor.Continue, err
		}
	}
	return cursor.Continue, cursor.Failed(failed, err)
}

// apply has events handled in one transaction. It gives the index of the event whose handler failed, -1 where none did and the
// database is the reason.
func (l *ledger) apply(ctx context.Context, b *cursor.Batch, events []store.Event) (failed int, err error) {
	if l.unsure {
		if err := l.reload(ctx); err != nil {
			return -1, directed(err)
		}
	}
	to := max(l.position, events[len(events)-1].Position)
	if b.Parked() {
		to = l.position // what lies before them may not be done
	}
	failed = -1
	var fresh []store.Position
	err = l.within(ctx, func(tx *sql.Tx) error {
		if err := l.move(ctx, tx, to); err != nil {
			return err
		}
		for i := range events {
			if !l.due(&events[i], b.Parked()) {
				continue
			}
			if b.Parked() {
				if err := l.note(ctx, tx, events[i].Position); err != nil {
					return err
				}
				fresh = append(fresh, events[i].Position)
			}
			if err := l.call(ctx, tx, events[i]); err != nil {
				failed = i
				return err
			}
		}
		return nil
	})
	if err == nil {
		l.committed(events, to, fresh, b.Parked())
		return -1, nil
	}
	l.unsure = true
	if failed < 0 || ctx.Err() == nil && l.db.PingContext(ctx) != nil {
		return -1, directed(err)
	}
	return failed, err
}

// due reports whether an event was not handled yet.
func (l *ledger) due(e *store.Event, parked bool) bool {
	_, done := l.done[e.Position]
	return !done && (parked || e.Position > l.position)
}

func (l *ledger) call(ctx context.Context, tx *sql.Tx, e store.Event) error {
	return l.routes[e.Kind].apply(ctx, tx, call{worker: l.worker, event: e})
}

// errMoved: the row is not what it was taken for.
var errMoved = errors.New("projector: its row in the database was changed")

// move writes the position, if the row is still ours and where we left it. It is the first statement of every transaction,
// and holds the row until the end of it.
func (l *ledger) move(ctx context.Context, tx *sql.Tx, to store.Position) error {
	n, err := changed(tx.ExecContext(ctx, `UPDATE penstock_position SET position = $1
		WHERE worker = $2 AND store = $3 AND incarnation = $4 AND epoch = $5 AND position = $6`,
		int64(to), l.worker, l.owner.History.Store.String(), int64(l.owner.History.Incarnation), int64(l.owner.Epoch), int64(l.position)))
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.Join(errMoved, l.checkOwner(ctx, tx))
	}
	return l.clean(ctx, tx)
}

// clean removes the rows of events that can come no more: the log knows that they are done, and the position is behind them.
func (l *ledger) clean(ctx context.Context, tx *sql.Tx) error {
	for p, settled := range l.done {
		if !settled || p > l.position {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM penstock_done WHERE worker = $1 AND position = $2", l.worker, int64(p)); err != nil {
			return err
		}
	}
	return nil
}

// note keeps that an event which was set aside is done.
func (l *ledger) note(ctx context.Context, tx *sql.Tx, p store.Position) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO penstock_done (worker, position) VALUES ($1, $2)", l.worker, int64(p))
	return err
}

// committed takes over what a transaction has done.
func (l *ledger) committed(events []store.Event, to store.Position, fresh []store.Position, parked bool) {
	for p, settled := range l.done {
		if settled && p <= l.position {
			delete(l.done, p) // by clean
		}
	}
	for i := range events {
		p := events[i].Position
		if _, noted := l.done[p]; noted {
			l.fresh = append(l.fresh, p) // handled before a crash; this time the log will know
		}
	}
	if parked {
		for _, p := range fresh {
			l.done[p] = false
		}
		l.fresh = append(l.fresh, fresh...)
	}
	l.position = to
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
