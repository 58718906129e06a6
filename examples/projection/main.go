// Command projection keeps the balances of accounts in SQLite up to date with a log of transfers.
// Each batch of events and the position after it are one transaction of the database, so whenever
// the program is killed, each transfer is in the tables once.
//
//	go run -C examples/projection .                   # 100,000 entries and their balances
//	go run -C examples/projection . -entries 200000   # continues; kill it at any time
//
// The log and the database lie in the folder projection.data; -data names another.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func main() {
	data := flag.String("data", "projection.data", "the `directory` of the log and the database")
	entries := flag.Uint64("entries", 100_000, "how many `entries` the log is to have at least")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *data, store.Position(*entries), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "projection:", err)
		os.Exit(1)
	}
}

// run fills the log, lets the tables catch up with it, and prints the balances to out. Progress
// goes to status.
func run(ctx context.Context, data string, entries store.Position, out io.Writer, status *os.File) (err error) {
	st, err := store.Open(filepath.Join(data, "log"), store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	db, err := openDatabase(ctx, filepath.Join(data, "balances.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fmt.Fprintln(status, "up")
	if err := transfer(ctx, st, entries); err != nil {
		return err
	}
	if err := project(ctx, st, db, status); err != nil {
		return err
	}
	return printBalances(ctx, db, out)
}

// project runs the projector until the tables have caught up with the log.
func project(ctx context.Context, st *store.Store, db *sql.DB, status *os.File) (err error) {
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{
		Name: "projection", Children: []supervision.Child{balances(db)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx))) }()
	first := sys.Status().Workers[0].Position
	fmt.Fprintf(status, "%d entries, the tables have those up to %d\n", st.Head(), first)
	bar := progressbar.NewOptions64(int64(st.Head()),
		progressbar.OptionSetWriter(status), progressbar.OptionSetVisibility(term.IsTerminal(int(status.Fd()))),
		progressbar.OptionSetDescription("entries"), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetWidth(30))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		w := sys.Status().Workers[0]
		_ = bar.Set64(int64(w.Position))
		if w.Lag == 0 {
			fmt.Fprintln(status)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sys.Done():
			return sys.Err()
		case <-tick.C:
		}
		if err := sys.Err(); err != nil {
			return err
		}
	}
}
