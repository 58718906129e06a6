package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// service carries out actions once for each effect key, however often it is asked:
//
//	PUT    /ACTION/KEY   {"Order":"00042","Amount":1996}
//	DELETE /ACTION/KEY   takes it back; where it has not come yet it is refused from now on
//
// It answers 200 with a reference, 409 where it refuses, and 503 where it has failed, or says so.
// Everything about a request is one transaction.
type service struct {
	name   string
	db     *sql.DB
	faults faults
}

// entry is what an action is about: how many pieces or cents of which order.
type entry struct {
	Order  string
	Amount int64
}

// tables: the tries at each request, the outcome of each action, and the books, in which nothing is
// ever changed. What is taken back is an entry of its own, with the opposite amount.
const tables = `
CREATE TABLE IF NOT EXISTS request (name TEXT PRIMARY KEY, tries INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outcome (key TEXT PRIMARY KEY, life TEXT NOT NULL, said TEXT NOT NULL,
	customer_order TEXT NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entry (n INTEGER PRIMARY KEY, action TEXT NOT NULL,
	customer_order TEXT NOT NULL, amount INTEGER NOT NULL)`

// Lives of an action.
const (
	done    = "done"
	refused = "refused"
	undone  = "undone"
)

func openService(ctx context.Context, dir, name string, f faults) (*service, error) {
	path := filepath.Join(dir, name+".db")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // for its owner alone, as the log is
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	uri := url.URL{Scheme: "file", Opaque: filepath.ToSlash(path), RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)"}
	db, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite writes one after the other anyway
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &service{name: name, db: db, faults: f}, nil
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /{action}/{key}", func(w http.ResponseWriter, r *http.Request) {
		var e entry
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.answer(w, r, func(ctx context.Context, tx *sql.Tx) (life, said string, err error) {
			return s.put(ctx, tx, r.PathValue("action"), r.PathValue("key"), e)
		})
	})
	mux.HandleFunc("DELETE /{action}/{key}", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, func(ctx context.Context, tx *sql.Tx) (life, said string, err error) {
			return done, "", s.takeBack(ctx, tx, r.PathValue("action"), r.PathValue("key"))
		})
	})
	return mux
}

// answer does what is requested, and answers, as the fault of this try allows.
func (s *service) answer(w http.ResponseWriter, r *http.Request, do func(context.Context, *sql.Tx) (string, string, error)) {
	ctx := r.Context()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	request := r.Method + " " + r.URL.Path
	try := 0
	err = tx.QueryRowContext(ctx, `INSERT INTO request (name, tries) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET tries = tries + 1 RETURNING tries`, request).Scan(&try)
	fault := s.faults.of(request, try)
	var life, said string
	if err == nil && fault != flaky {
		life, said, err = do(ctx, tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case fault == slow:
		<-ctx.Done() // the caller has not waited for it
	case fault != fine:
		http.Error(w, s.name+" has a bad moment", http.StatusServiceUnavailable)
	case life != done:
		http.Error(w, said, http.StatusConflict)
	default:
		fmt.Fprint(w, said)
	}
}

// no is what the services say where they refuse.
func no(action string) string {
	return map[string]string{reserve: "sold out", charge: "card declined", label: "no parcels go there"}[action]
}

// put carries out an action, unless its outcome is known already.
func (s *service) put(ctx context.Context, tx *sql.Tx, action, key string, e entry) (life, said string, err error) {
	err = tx.QueryRowContext(ctx, "SELECT life, said FROM outcome WHERE key = $1", key).Scan(&life, &said)
	if !errors.Is(err, sql.ErrNoRows) {
		return life, said, err
	}
	if s.faults.refuses(action, e.Order) {
		life, said = refused, no(action)
	} else {
		life, said = done, action+" of "+e.Order
		err = s.book(ctx, tx, action, e)
		if err != nil {
			return "", "", err
		}
	}
	return life, said, s.remember(ctx, tx, key, life, said, e)
}

// takeBack takes back an action that was done, and keeps one from being done that was not.
func (s *service) takeBack(ctx context.Context, tx *sql.Tx, action, key string) error {
	var life string
	var e entry
	err := tx.QueryRowContext(ctx, "SELECT life, customer_order, amount FROM outcome WHERE key = $1", key).Scan(&life, &e.Order, &e.Amount)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s.remember(ctx, tx, key, undone, "it was taken back before it came", e)
	case err != nil || life != done:
		return err
	}
	if err := s.book(ctx, tx, action, entry{Order: e.Order, Amount: -e.Amount}); err != nil {
		return err
	}
	return s.remember(ctx, tx, key, undone, "it was taken back", e)
}

func (s *service) book(ctx context.Context, tx *sql.Tx, action string, e entry) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO entry (action, customer_order, amount) VALUES ($1, $2, $3)", action, e.Order, e.Amount)
	return err
}

func (s *service) remember(ctx context.Context, tx *sql.Tx, key, life, said string, e entry) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO outcome (key, life, said, customer_order, amount) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (key) DO UPDATE SET life = excluded.life, said = excluded.said`, key, life, said, e.Order, e.Amount)
	return err
}
