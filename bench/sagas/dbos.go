package sagas

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the driver
)

// silent is a logger that says nothing.
func silent() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
}

// systemOfDBOS is a system of DBOS with its database.
type systemOfDBOS struct {
	dbos.Context
	db *sql.DB // a handle of our own, or nil
}

// newDBOS makes a system over a database, to be launched once its workflows are registered. "" is
// the handle that DBOS makes itself, whose commits are not synced (NORMAL); any other is one like
// it, with that synchronous mode.
func newDBOS(ctx context.Context, dir, synchronous string) (d *systemOfDBOS, err error) {
	path := filepath.Join(dir, "dbos.db")
	config := dbos.Config{AppName: "bench", ApplicationVersion: "1", ExecutorID: "bench", Logger: silent()}
	d = new(systemOfDBOS)
	if synchronous == "" {
		config.DatabaseURL = "sqlite:" + path
	} else if d.db, err = openLikeDBOS(path, synchronous); err != nil {
		return nil, err
	}
	config.SQLiteSystemDB = d.db
	d.Context, err = dbos.NewContext(ctx, config)
	return d, err
}

// openLikeDBOS opens a database as DBOS does, but for its synchronous mode.
func openLikeDBOS(path, synchronous string) (*sql.DB, error) {
	pragmas := []string{"journal_mode(WAL)", "busy_timeout(5000)", "foreign_keys(ON)", "synchronous(" + synchronous + ")"}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma="+strings.Join(pragmas, "&_pragma="))
	if err == nil {
		db.SetMaxOpenConns(8)
		db.SetMaxIdleConns(4)
	}
	return db, err
}

// close shuts it down. What waits stays pending.
func (d *systemOfDBOS) close(context.Context) error {
	err := dbos.Shutdown(d.Context, 10*time.Second)
	if d.db != nil {
		err = errors.Join(err, d.db.Close())
	}
	return err
}

// engineOfDBOS runs workflows.
type engineOfDBOS struct {
	*systemOfDBOS
	flow dbos.Workflow[string, int]
}

// openDBOS runs workflows over a database with a synchronous mode; see newDBOS.
func openDBOS(synchronous string) opener {
	return func(ctx context.Context, dir string, acted func(step int)) (engine, error) {
		d, err := newDBOS(ctx, dir, synchronous)
		if err != nil {
			return nil, err
		}
		flow := func(ctx dbos.Context, _ string) (sum int, err error) {
			for k, name := range []string{"reserve", "charge", "ship"} {
				one, err := dbos.RunAsStep(ctx, func(context.Context) (int, error) {
					acted(k)
					return 1, nil
				}, dbos.WithStepName(name))
				if err != nil {
					return 0, err
				}
				sum += one
			}
			return sum, nil
		}
		dbos.RegisterWorkflow(d.Context, flow, dbos.WithWorkflowName("bench"))
		if err := dbos.Launch(d.Context); err != nil {
			return nil, errors.Join(err, d.close(ctx))
		}
		return engineOfDBOS{d, flow}, nil
	}
}

func (e engineOfDBOS) run(_ context.Context, id string) error {
	h, err := dbos.RunWorkflow(e.Context, e.flow, id, dbos.WithWorkflowID(id))
	if err != nil {
		return err
	}
	sum, err := h.GetResult()
	if err == nil && sum != steps {
		err = fmt.Errorf("%s: %d steps", id, sum)
	}
	return err
}
