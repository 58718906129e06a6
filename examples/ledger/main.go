// Command ledger keeps accounts in a log: none can be overdrawn, months are closed as a whole, a
// customer can be erased, and there are backups that are known to be good.
//
//	go run ./examples/ledger -open alice=Alice -transfer bank:alice:10000 # cents
//	go run ./examples/ledger -open bob=Bob -transfer alice:bob:2500
//	go run ./examples/ledger -traffic 1000 -close 2026-11 # close it while money moves
//	go run ./examples/ledger -erase Alice -reason "asked to be forgotten" -by me
//	go run ./examples/ledger -backup ledger.backup -verify
//	go run ./examples/ledger -data ledger.new -restore ledger.backup # a store of its own
//
// Kill it at any time, and run it again. The log lies in the folder ledger.data; -data names
// another. Flags that stand together are obeyed in the order above.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-io/penstock/store"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(1)
	}
}

// order is what the flags say.
type order struct {
	data            string
	restore, backup string
	open, transfer  string
	traffic         int
	month           string
	erase           string
	reason, by      string
	verify          bool
}

func parse(args []string, stderr io.Writer) (o order, err error) {
	flags := flag.NewFlagSet("ledger", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.data, "data", "ledger.data", "the `directory` of the log")
	flags.StringVar(&o.restore, "restore", "", "the `directory` of a backup of which -data is made first")
	flags.StringVar(&o.open, "open", "", "open an account for a customer: `ACCOUNT=NAME`")
	flags.StringVar(&o.transfer, "transfer", "", "move money: `FROM:TO:CENTS`")
	flags.IntVar(&o.traffic, "traffic", 0, "move money at random, so many `times` in all: those of a run before count")
	flags.StringVar(&o.month, "close", "", "close a `month`, beside the traffic")
	flags.StringVar(&o.erase, "erase", "", "erase what is known of a customer, by `NAME`")
	flags.StringVar(&o.reason, "reason", "", "why a customer is erased")
	flags.StringVar(&o.by, "by", "", "who decided that")
	flags.StringVar(&o.backup, "backup", "", "back the log up to a `directory`, or bring the backup there up to date")
	flags.BoolVar(&o.verify, "verify", false, "read all of the log and check it")
	err = flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("what is %q?", flags.Arg(0))
		fmt.Fprintln(stderr, "ledger:", err)
	}
	return o, err
}

// run does what was ordered and prints the balances.
func run(ctx context.Context, o order, out io.Writer) (err error) {
	if o.restore != "" {
		report, err := store.Restore(ctx, o.restore, o.data, store.RestoreOptions{})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "restored up to event %d\n", report.Anchor.Position)
	}
	st, err := store.Open(o.data, store.Options{Gates: []store.Gate{noOverdrafts()}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := book(ctx, st, o); err != nil {
		return err
	}
	if err := keep(ctx, st, o, out); err != nil {
		return err
	}
	return printBalances(ctx, st, out)
}

// book does what changes accounts.
func book(ctx context.Context, st *store.Store, o order) error {
	if o.open != "" {
		name, holder, _ := strings.Cut(o.open, "=")
		if err := openAccount(ctx, st, name, holder); err != nil {
			return err
		}
	}
	if o.transfer != "" {
		parts := strings.Split(o.transfer+"::", ":")
		cents, err := strconv.ParseInt(parts[2], 10, 64)
		if err == nil {
			err = transfer(ctx, st, parts[0], parts[1], cents, "")
		}
		if err != nil {
			return err
		}
	}
	var traffic sync.WaitGroup
	failed := make([]error, tellers+1)
	for i := range tellers {
		traffic.Go(func() { failed[i] = serve(ctx, st, i, o.traffic) })
	}
	if o.month != "" {
		failed[tellers] = closeMonth(ctx, st, o.month)
	}
	traffic.Wait()
	return errors.Join(failed...)
}

const (
	tellers = 4 // goroutines that move money
	busy    = 4 // accounts between which they move it
)

// serve makes every fourth of the transfers, between the accounts that come first by name. Each has
// a key, so that those which were made before the process was killed are not made again; one that
// the balance does not cover is not made.
func serve(ctx context.Context, st *store.Store, first, transfers int) error {
	all, err := balances(ctx, st)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(all))
	names = names[:min(busy, len(names))]
	for n := first; n < transfers && len(names) > 1; n += tellers {
		from, to := n*7919%len(names), n*31%(len(names)-1)
		if to >= from {
			to++
		}
		err := transfer(ctx, st, nameOf(names[from]), nameOf(names[to]), int64(n%97)*100+1, fmt.Sprint("traffic ", n))
		if err != nil && !errors.Is(err, store.ErrDenied) {
			return err
		}
	}
	return nil
}

func nameOf(entity string) string { return strings.TrimPrefix(entity, "account:") }

// keep does what keeps the log.
func keep(ctx context.Context, st *store.Store, o order, out io.Writer) error {
	if o.erase != "" {
		report, err := store.Erase(ctx, st, store.Erasure{Entity: customer(o.erase).Entity, Reason: o.reason, By: o.by})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "erased %d events of %s, in %d segments\n", len(report.Events), o.erase, report.Segments)
	}
	if o.backup != "" {
		report, err := store.Backup(ctx, st, o.backup, store.BackupOptions{})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "backed up to event %d\n", report.Anchor.Position)
	}
	if o.verify {
		report, err := store.Verify(ctx, st, store.VerifyOptions{})
		if err == nil {
			err = report.Err()
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "verified %d events, %d of them erased\n", report.Events, report.Erased)
	}
	return nil
}

func printBalances(ctx context.Context, st *store.Store, out io.Writer) error {
	all, err := balances(ctx, st)
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, entity := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(out, "%-20s %12s\n", nameOf(entity), amount(all[entity].cents))
		sum += all[entity].cents
	}
	fmt.Fprintf(out, "%-20s %12s\n", "sum", amount(sum))
	return nil
}
