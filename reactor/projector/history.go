package projector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// addEvent is what tables of an older version lack.
const addEvent = "ALTER TABLE penstock_position ADD COLUMN event TEXT NOT NULL DEFAULT ''"

// prepare makes the tables, and adds what those of an older version lack. Either may be forbidden
// where nothing is missing, so the errors only explain one that follows. It uses no transaction,
// which PostgreSQL would end with the first statement that fails.
func prepare(ctx context.Context, db *sql.DB) error {
	_, created := db.ExecContext(ctx, Schema)
	var event string
	err := db.QueryRowContext(ctx, "SELECT event FROM penstock_position WHERE worker IS NULL").Scan(&event)
	if errors.Is(err, sql.ErrNoRows) {
		return created
	}
	_, added := db.ExecContext(ctx, addEvent)
	return errors.Join(created, added)
}

// anchorOf returns all of an anchor but the position, of the columns store and event.
func anchorOf(id, end string) (a store.Anchor, err error) {
	a.Store, err = uuid.Parse(id)
	event, hidden, _ := strings.Cut(end, "/")
	if err == nil && end != "" {
		a.Event, err = uuid.Parse(event)
		a.Hidden = hidden
	}
	if err != nil {
		return a, fmt.Errorf("the row is of store %q and event %q: %w", id, end, store.ErrForeignHistory)
	}
	return a, nil
}

// endOf is the column event: the event of an anchor and, where that is known, what is hidden.
func endOf(a store.Anchor) string {
	if a.Hidden == "" {
		return a.Event.String()
	}
	return a.Event.String() + "/" + a.Hidden
}

// judge says why rows are not the owner's, or not of this log.
func (t table) judge(ctx context.Context, r *rows) error {
	if err := t.log.CheckAnchor(ctx, r.anchor); err != nil {
		return fmt.Errorf("its rows in the database: %w", err)
	}
	if r.epoch != t.owner.Epoch { // newer; or the checkpoint was deleted, and which is newer is not known any more
		return fmt.Errorf("the row is of epoch %d: %w", r.epoch, errFenced(t.owner))
	}
	if r.open {
		return fmt.Errorf("%w: it was committed with some of what comes after position %d", ErrTransactionEnded, r.position)
	}
	return nil
}

// Adopt says what to do with the tables of a projector over a log that was put in the place of
// another, as by store.Restore. It is called before the projector is started.
//
//   - nil: start it. The log has the event that the rows name, so it has the past that the tables
//     are made of, and the projector continues after it. Without rows it begins at Start.
//   - [store.ErrForeignHistory]: in the tables is what this log does not have. Remove that, and
//     [Projector.Forget] the rows in the same transaction. Or put a copy of the database in its
//     place that is not newer than that of the log.
//
// It makes the rows those of no owner, in a transaction of its own: the log may count fewer owners
// than it did when they were written, and the projector would take its own rows for those of a
// newer one. So one that runs meanwhile halts as if it had been replaced. After an error the rows
// are as they were. Other errors are those of the database and of [store.Store.CheckAnchor].
func (p *Projector) Adopt(ctx context.Context, st *store.Store) error {
	if p.db == nil {
		return fmt.Errorf("projector %q: %w", p.name, ErrNoDatabase)
	}
	var formerly []checkpoint.ID
	for _, name := range p.Formerly {
		formerly = append(formerly, checkpoint.ID(name))
	}
	l := &ledger{db: p.db, table: table{worker: p.name, log: st}}
	prepared := prepare(ctx, p.db)
	err := l.within(ctx, func(tx *sql.Tx) error { return l.adopt(ctx, tx, formerly) })
	if err != nil {
		return fmt.Errorf("projector %q: adopt: %w", p.name, errors.Join(err, prepared))
	}
	return nil
}

// adopt writes first, as all transactions do.
func (t table) adopt(ctx context.Context, tx *sql.Tx, formerly []checkpoint.ID) error {
	if err := t.rename(ctx, tx, formerly); err != nil {
		return err
	}
	n, err := changed(tx.ExecContext(ctx, "UPDATE penstock_position SET epoch = 0 WHERE worker = $1", t.worker))
	if err != nil || n == 0 {
		return err
	}
	r, err := t.load(ctx, tx)
	if err != nil {
		return err
	}
	return t.log.CheckAnchor(ctx, r.anchor)
}

// knows reports whether the log itself says that the worker had come to a position, which it keeps
// there after what it has done, and not when it only tried to start.
func knows(at cursor.ResumeState, p store.Position) bool { return p <= at.Scanned }

// raise names the event in rows of an older version. The caller has made sure that the log knows
// that this worker, under an owner not older than that of the rows, had come as far as they say: so
// they are of its past. Nothing else proves that.
func (t table) raise(ctx context.Context, tx *sql.Tx, r *rows) error {
	anchor, err := t.log.AnchorAt(ctx, r.anchor.Position)
	if err != nil {
		return err
	}
	r.anchor, r.unnamed = anchor, false
	_, err = tx.ExecContext(ctx, "UPDATE penstock_position SET event = $1 WHERE worker = $2", endOf(anchor), t.worker)
	return err
}
