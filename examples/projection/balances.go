package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

const tables = `
CREATE TABLE IF NOT EXISTS entry (position INTEGER PRIMARY KEY, account TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS balance (account TEXT PRIMARY KEY, entries INTEGER NOT NULL, cents INTEGER NOT NULL)`

// openDatabase makes the file for its owner alone, as the log is: the driver would let all users
// read it. What SQLite keeps beside it gets the permissions that it has.
func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", Opaque: filepath.ToSlash(path), RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, tables)
	return db, err
}

// balances writes each entry of an account into the tables.
func balances(db *sql.DB) *projector.Projector {
	p := projector.New("balances", db,
		projector.On(func(ctx context.Context, tx *sql.Tx, e reactor.Event[credited]) error {
			return book(ctx, tx, e.Event, e.Body.Cents)
		}),
		projector.On(func(ctx context.Context, tx *sql.Tx, e reactor.Event[debited]) error {
			return book(ctx, tx, e.Event, -e.Body.Cents)
		}))
	p.Region = store.Region{Entity: "account", Scope: "bank"}
	p.Policy.Exhausted = supervision.ActionHalt // without one entry every balance of its account would be wrong
	return p
}

// book needs no check of its own: were an entry booked twice, the first statement would
// fail.
func book(ctx context.Context, tx *sql.Tx, e store.Event, cents int64) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO entry (position, account, cents) VALUES ($1, $2, $3)",
		int64(e.Position), e.Coordinate.Entity, cents)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO balance (account, entries, cents) VALUES ($1, 1, $2)
		ON CONFLICT (account) DO UPDATE SET entries = entries + 1, cents = cents + excluded.cents`, e.Coordinate.Entity, cents)
	return err
}

// printBalances prints each account, and the sum of all, which is 0.
func printBalances(ctx context.Context, db *sql.DB, out io.Writer) error {
	rows, err := db.QueryContext(ctx, "SELECT account, entries, cents FROM balance ORDER BY account")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var entries, sum int64
	for rows.Next() {
		var account string
		var n, cents int64
		if err := rows.Scan(&account, &n, &cents); err != nil {
			return err
		}
		entries, sum = entries+n, sum+cents
		fmt.Fprintf(out, "%s %8d entries %12.2f\n", account, n, float64(cents)/100)
	}
	fmt.Fprintf(out, "%-10s %8d entries %12.2f\n", "all", entries, float64(sum)/100)
	return rows.Err()
}
