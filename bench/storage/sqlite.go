package storage

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"github.com/penstock-io/penstock/bench/workload"
)

// sqliteStore is a table in a database with a write-ahead log. It has one connection, since SQLite
// lets one write at a time.
type sqliteStore struct {
	ctx    context.Context
	db     *sql.DB
	insert *sql.Stmt
}

func openSQLite(ctx context.Context, dir string, s settings) (records, error) {
	synchronous := "OFF"
	if s.synced {
		synchronous = "FULL"
	}
	err := os.MkdirAll(dir, 0o755)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "events.db")+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous("+synchronous+")&_pragma=cache_size(-65536)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, entity INTEGER NOT NULL, data BLOB NOT NULL)")
	if err == nil && s.indexed {
		_, err = db.ExecContext(ctx, "CREATE INDEX IF NOT EXISTS of_entity ON events (entity)")
	}
	r := &sqliteStore{ctx: ctx, db: db}
	if err == nil {
		r.insert, err = db.PrepareContext(ctx, "INSERT INTO events VALUES (?, ?, ?)")
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (s *sqliteStore) append(_, i, n int) error {
	if n == 1 {
		_, err := s.insert.ExecContext(s.ctx, i, i%workload.Entities, record(i))
		return err
	}
	tx, err := s.db.BeginTx(s.ctx, nil)
	if err != nil {
		return err
	}
	insert := tx.StmtContext(s.ctx, s.insert)
	for k := i; k < i+n; k++ {
		if _, err := insert.ExecContext(s.ctx, k, k%workload.Entities, record(k)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (s *sqliteStore) readAll() (int, error) { return s.count("SELECT data FROM events ORDER BY id") }

func (s *sqliteStore) readMatching(entity int) (int, error) {
	return s.count("SELECT data FROM events WHERE entity = ? ORDER BY id", entity)
}

func (s *sqliteStore) count(query string, args ...any) (n int, err error) {
	rows, err := s.db.QueryContext(s.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var rec sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&rec); err != nil {
			return n, err
		}
		if i, _ := workload.DecodeRecord(rec); i >= n {
			n++
		}
	}
	return n, rows.Err()
}

func (s *sqliteStore) close() error { return errors.Join(s.insert.Close(), s.db.Close()) }
