package projector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Schema creates the two tables that a projector keeps for itself, where they do not exist yet. A
// projector executes it when it starts; it is public for databases whose program may not create
// tables.
//
// Up to the position everything is in the tables of the user, but for the exceptions; after it
// nothing is, but for the exceptions. The event is that at the highest of these positions, after a
// slash with what the log hides up to there, see [store.Anchor]: it shows whether the log that the
// rows speak of is this one. The incarnation is for people.
//
// A table of an older version has no column for the event, and the projector adds it when it
// starts. A program that may not do that needs, once,
//
//	ALTER TABLE penstock_position ADD COLUMN event TEXT NOT NULL DEFAULT ''
const Schema = `CREATE TABLE IF NOT EXISTS penstock_position (
	worker      TEXT   NOT NULL PRIMARY KEY,
	store       TEXT   NOT NULL,
	incarnation BIGINT NOT NULL,
	epoch       BIGINT NOT NULL,
	position    BIGINT NOT NULL,
	event       TEXT   NOT NULL DEFAULT ''
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
	// [Projector.Forget], or set position and event of penstock_position to those of the last event
	// that is in them.
	ErrTransactionEnded = errors.New("projector: a handler has ended the transaction")

	// errMoved: the row is not what it was taken for.
	errMoved = errors.New("projector: its row in the database was changed")

	errRolledBack = fmt.Errorf("%w: it was rolled back", ErrTransactionEnded)
)

// rows is what the database says about a worker.
type rows struct {
	position store.Position
	except   map[store.Position]bool // which events differ from what position says of them
	anchor   store.Anchor            // of the highest of these positions
	unnamed  bool                    // an older version wrote them, and the anchor has no event
	open     bool                    // a handler has committed them in the middle of a transaction
	epoch    uint64                  // of the owner
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
	to     store.Position
	anchor store.Anchor
	due    []int            // indexes of the events to handle
	flip   []store.Position // become exceptions, or are none any more
}

// change says what is to be done for events. Parked events that are handled again leave the
// position alone: what comes before it may not be handled yet. Of the anchor it says the position.
func (r *rows) change(events []store.Event, parked bool, passedOver []store.Position) change {
	c := change{to: r.position, anchor: r.anchor}
	last := &events[len(events)-1]
	if !parked {
		c.to = max(c.to, last.Position)
	}
	c.anchor.Position = max(c.anchor.Position, last.Position)
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
	r.position, r.anchor = c.to, c.anchor
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
	log    *store.Store
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

// acquire makes the row the owner's, or one for it that begins at its start, and returns what the
// rows say. It writes first, so that it has the lock.
func (t table) acquire(ctx context.Context, tx *sql.Tx, at cursor.ResumeState) (*rows, error) {
	begin, err := t.log.AnchorAt(ctx, at.Start)
	if err != nil {
		return nil, fmt.Errorf("find the start: %w", err)
	}
	id, incarnation, epoch := begin.Store.String(), int64(t.owner.Origin.Incarnation), int64(t.owner.Epoch)
	n, err := changed(tx.ExecContext(ctx, `INSERT INTO penstock_position (worker, store, incarnation, epoch, position, event)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (worker) DO NOTHING`,
		t.worker, id, incarnation, epoch, int64(at.Start), endOf(begin)))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		n, err = changed(tx.ExecContext(ctx, `UPDATE penstock_position SET epoch = $1, incarnation = $2
			WHERE worker = $3 AND store = $4 AND epoch < $1`, epoch, incarnation, t.worker, id))
	}
	if err != nil {
		return nil, err
	}
	r, err := t.load(ctx, tx)
	if err == nil && r.unnamed && n > 0 && knows(at, r.anchor.Position) {
		err = t.raise(ctx, tx, r)
	}
	if err != nil {
		return nil, err
	}
	return r, t.judge(ctx, r)
}

// read reads the rows, if they are the owner's and of this log.
func (t table) read(ctx context.Context, tx *sql.Tx) (*rows, error) {
	r, err := t.load(ctx, tx)
	if err != nil {
		return nil, err
	}
	return r, t.judge(ctx, r)
}

// load reads the rows, whatever they say.
func (t table) load(ctx context.Context, tx *sql.Tx) (*rows, error) {
	var id, event string
	var epoch, position int64
	err := tx.QueryRowContext(ctx, "SELECT store, event, epoch, position FROM penstock_position WHERE worker = $1", t.worker).
		Scan(&id, &event, &epoch, &position)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrForgotten
	}
	if err != nil {
		return nil, err
	}
	r := &rows{
		position: store.Position(position), except: make(map[store.Position]bool), unnamed: event == "", epoch: uint64(epoch),
	}
	if position < 0 {
		r.open, r.position = true, openedAt(position)
	}
	if r.anchor, err = anchorOf(id, event); err != nil {
		return nil, err
	}
	if err := t.loadExceptions(ctx, tx, r); err != nil {
		return nil, err
	}
	r.anchor.Position = r.position
	for p := range r.except {
		r.anchor.Position = max(r.anchor.Position, p)
	}
	return r, nil
}

func (t table) loadExceptions(ctx context.Context, tx *sql.Tx, r *rows) error {
	list, err := tx.QueryContext(ctx, "SELECT position FROM penstock_exception WHERE worker = $1", t.worker)
	if err != nil {
		return err
	}
	defer func() { _ = list.Close() }()
	for list.Next() {
		var p int64
		if err := list.Scan(&p); err != nil {
			return err
		}
		r.except[store.Position(p)] = true
	}
	return list.Err()
}

// While a transaction is open its position is negative, and tells by its value where it was. So a
// handler that commits leaves a row that says so, rather than one that has passed what was not
// handled.
func opened(at store.Position) int64         { return -1 - int64(at) }
func openedAt(position int64) store.Position { return store.Position(-1 - position) }

// open is the first statement of a transaction. It holds the row until the end of that, if the row
// is still the owner's and where it left it.
func (t table) open(ctx context.Context, tx *sql.Tx, r *rows) error {
	n, err := t.set(ctx, tx, r.anchor, int64(r.position), r.anchor, opened(r.position))
	if err == nil && n == 0 {
		_, err = t.read(ctx, tx)
		err = errors.Join(errMoved, err)
	}
	return err
}

// move ends what open began: it writes the position and the exceptions to it. A row that is not
// open any more was rolled back.
func (t table) move(ctx context.Context, tx *sql.Tx, r *rows, c change) error {
	if len(c.flip) > 0 { // which no condition guards
		if err := t.stillOpen(ctx, tx, r); err != nil {
			return err
		}
	}
	if err := t.flip(ctx, tx, r, c.flip); err != nil {
		return err
	}
	n, err := t.set(ctx, tx, r.anchor, opened(r.position), c.anchor, int64(c.to))
	if err == nil && n == 0 {
		if _, err = t.read(ctx, tx); err == nil {
			err = errRolledBack
		}
	}
	return err
}

// stillOpen makes sure that the transaction is the one that open began, or that a handler has
// committed it: then the row is open still, and says so to the next owner.
func (t table) stillOpen(ctx context.Context, tx *sql.Tx, r *rows) error {
	now, err := t.load(ctx, tx)
	if err == nil && (!now.open || now.position != r.position || now.epoch != t.owner.Epoch) {
		if err = t.judge(ctx, now); err == nil {
			err = errRolledBack
		}
	}
	return err
}

// set moves the row of the owner, and returns how many rows that are.
func (t table) set(
	ctx context.Context, tx *sql.Tx, at store.Anchor, from int64, next store.Anchor, to int64,
) (int64, error) {
	return changed(tx.ExecContext(ctx, `UPDATE penstock_position SET position = $1, event = $2
		WHERE worker = $3 AND store = $4 AND event = $5 AND epoch = $6 AND position = $7`,
		to, endOf(next), t.worker, at.Store.String(), endOf(at), int64(t.owner.Epoch), from))
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
