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
)

// Schema creates the two tables that a projector keeps for itself, where they do not exist yet. A
// projector executes it when it starts; it is public for databases whose program may not create
// tables.
//
// Up to the position everything is in the tables of the user, but for the exceptions; after it
// nothing is, but for the exceptions.
const Schema = `CREATE TABLE IF NOT EXISTS penstock_position (
	worker      TEXT   NOT NULL PRIMARY KEY,
	store       TEXT   NOT NULL,
	incarnation BIGINT NOT NULL,
	epoch       BIGINT NOT NULL,
	position    BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS penstock_exception (
	worker   TEXT   NOT NULL,
	position BIGINT NOT NULL,
	PRIMARY KEY (worker, position)
)`

var (
	// ErrForgotten says that the rows of the projector were removed while it ran, or replaced by
	// older ones.
	ErrForgotten = errors.New("projector: its rows in the database are gone, or older than what it has written")

	// ErrTransactionEnded says that a handler has committed or rolled back the transaction that it
	// was given. The projector halts, and what had not been handled comes again once it is resumed.
	// Where the handler has committed, the row says so and the projector does not start: what comes
	// after its position is in the tables in part. Then build the tables again, see
	// [Projector.Forget], or set penstock_position.position to the last event that is in them.
	ErrTransactionEnded = errors.New("projector: a handler has ended the transaction")

	// errMoved: the row is not what it was taken for.
	errMoved = errors.New("projector: its row in the database was changed")
)

// rows is what the database says about a worker.
type rows struct {
	position store.Position
	except   map[store.Position]bool // which events differ from what position says of them
}

// handled reports whether the event at p is in the tables of the user.
func (r *rows) handled(p store.Position) bool { return (p <= r.position) != r.except[p] }

// pending returns what comes before the position and is not handled, ascending.
func (r *rows) pending() (pending []store.Position) {
	for p := range r.except {
		if p <= r.position {
			pending = append(pending, p)
		}
	}
	slices.Sort(pending)
	return pending
}

// change is what a transaction does to the rows.
type change struct {
	to   store.Position
	due  []int            // indexes of the events to handle
	flip []store.Position // become exceptions, or are none any more
}

// change says what is to be done for events. Parked events that are handled again leave the
// position alone: what comes before it may not be handled yet.
func (r *rows) change(events []store.Event, parked bool, passedOver []store.Position) change {
	c := change{to: r.position}
	if !parked {
		c.to = max(c.to, events[len(events)-1].Position)
	}
	for i := range events {
		p := events[i].Position
		if r.handled(p) {
			continue
		}
		c.due = append(c.due, i)
		if parked || p <= r.position {
			c.flip = append(c.flip, p)
		}
	}
	passed := func(p store.Position) bool { return r.position < p && p <= c.to }
	for p := range r.except {
		if passed(p) {
			c.flip = append(c.flip, p) // handled before: now the position says so
		}
	}
	for _, p := range passedOver {
		if passed(p) && !r.except[p] {
			c.flip = append(c.flip, p) // not handled, though the position will say that it is
		}
	}
	return c
}

// apply takes over what a transaction has done.
func (r *rows) apply(c change) {
	r.position = c.to
	for _, p := range c.flip {
		if r.except[p] {
			delete(r.except, p)
		} else {
			r.except[p] = true
		}
	}
}

// table is the access to the rows of one worker, for one owner.
type table struct {
	worker string
	owner  cursor.Ownership
}

// rename takes over the rows that are kept under a former name of the worker, the latest first,
// unless there are some under its present one. The log has renamed the checkpoint before: if the
// program ends in between, or the database is replaced by an older copy, the next start does it. An
// owner under the former name finds its row gone.
func (t table) rename(ctx context.Context, tx *sql.Tx, formerly []checkpoint.ID) error {
	for _, former := range slices.Backward(formerly) {
		n, err := changed(tx.ExecContext(ctx, `UPDATE penstock_position SET worker = $1
			WHERE worker = $2 AND NOT EXISTS (SELECT 1 FROM penstock_position WHERE worker = $1)`, t.worker, string(former)))
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		_, err = tx.ExecContext(ctx, "UPDATE penstock_exception SET worker = $1 WHERE worker = $2", t.worker, former)
		return err
	}
	return nil
}

// acquire makes the row the owner's, or one for it that begins at start. It writes first, so that
// it has the lock.
func (t table) acquire(ctx context.Context, tx *sql.Tx, start store.Position) error {
	id, incarnation, epoch := t.owner.Origin.Store.String(), int64(t.owner.Origin.Incarnation), int64(t.owner.Epoch)
	n, err := changed(tx.ExecContext(ctx, `INSERT INTO penstock_position (worker, store, incarnation, epoch, position)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (worker) DO NOTHING`, t.worker, id, incarnation, epoch, int64(start)))
	if err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE penstock_position SET epoch = $1
		WHERE worker = $2 AND store = $3 AND incarnation = $4 AND epoch < $5`, epoch, t.worker, id, incarnation, epoch)
	return err
}

// read reads the rows, if they are the owner's.
func (t table) read(ctx context.Context, tx *sql.Tx) (*rows, error) {
	position, err := t.check(ctx, tx)
	if err != nil {
		return nil, err
	}
	r := &rows{position: position, except: make(map[store.Position]bool)}
	list, err := tx.QueryContext(ctx, "SELECT position FROM penstock_exception WHERE worker = $1", t.worker)
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }()
	for list.Next() {
		var p int64
		if err := list.Scan(&p); err != nil {
			return nil, err
		}
		r.except[store.Position(p)] = true
	}
	return r, list.Err()
}

// check reads the position, or says why the row is not the owner's.
func (t table) check(ctx context.Context, tx *sql.Tx) (store.Position, error) {
	var id string
	var incarnation, epoch, position int64
	err := tx.QueryRowContext(ctx, "SELECT store, incarnation, epoch, position FROM penstock_position WHERE worker = $1", t.worker).
		Scan(&id, &incarnation, &epoch, &position)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, ErrForgotten
	case err != nil:
		return 0, err
	}
	known, err := uuid.Parse(id)
	if history := (store.Origin{Store: known, Incarnation: uint32(incarnation)}); err != nil || history != t.owner.Origin {
		return 0, fmt.Errorf("the row is of history %s/%d, this is %s: %w", id, incarnation, t.owner.Origin, store.ErrForeignHistory)
	}
	if uint64(epoch) != t.owner.Epoch { // newer; or the checkpoint was deleted, and which is newer is not known any more
		return 0, fmt.Errorf("the row is of epoch %d: %w", epoch, errFenced(t.owner))
	}
	if position < 0 {
		return 0, fmt.Errorf("%w: it was committed with some of what comes after position %d", ErrTransactionEnded, openedAt(position))
	}
	return store.Position(position), nil
}

// While a transaction is open its position is negative, and tells by its value where it was. So a
// handler that commits leaves a row that says so, rather than one that has passed what was not
// handled.
func opened(at store.Position) int64         { return -1 - int64(at) }
func openedAt(position int64) store.Position { return store.Position(-1 - position) }

// open is the first statement of a transaction. It holds the row until the end of that, if the row
// is still the owner's and where it left it.
func (t table) open(ctx context.Context, tx *sql.Tx, r *rows) error {
	n, err := t.set(ctx, tx, int64(r.position), opened(r.position))
	if err == nil && n == 0 {
		_, err = t.check(ctx, tx)
		err = errors.Join(errMoved, err)
	}
	return err
}

// move ends what open began: it writes the position and the exceptions to it. A row that is not
// open any more was rolled back.
func (t table) move(ctx context.Context, tx *sql.Tx, r *rows, c change) error {
	if err := t.flip(ctx, tx, r, c.flip); err != nil {
		return err
	}
	n, err := t.set(ctx, tx, opened(r.position), int64(c.to))
	if err == nil && n == 0 {
		if _, err = t.check(ctx, tx); err == nil {
			err = fmt.Errorf("%w: it was rolled back", ErrTransactionEnded)
		}
	}
	return err
}

// set moves the row of the owner from one position to another, and returns how many rows that are.
func (t table) set(ctx context.Context, tx *sql.Tx, from, to int64) (int64, error) {
	return changed(tx.ExecContext(ctx, `UPDATE penstock_position SET position = $1
		WHERE worker = $2 AND store = $3 AND incarnation = $4 AND epoch = $5 AND position = $6`,
		to, t.worker, t.owner.Origin.Store.String(), int64(t.owner.Origin.Incarnation), int64(t.owner.Epoch), from))
}

func (t table) flip(ctx context.Context, tx *sql.Tx, r *rows, positions []store.Position) error {
	for _, p := range positions {
		statement := "INSERT INTO penstock_exception (worker, position) VALUES ($1, $2)"
		if r.except[p] {
			statement = "DELETE FROM penstock_exception WHERE worker = $1 AND position = $2"
		}
		if _, err := tx.ExecContext(ctx, statement, t.worker, int64(p)); err != nil {
			return err
		}
	}
	return nil
}

// changed is the number of rows that a statement has changed.
func changed(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
