// Command orders fulfils orders: each is a saga that reserves stock, charges, prints a label and
// writes an invoice side by side, and ships. Stock, payment and shipping are services of their own,
// reached by HTTP, that refuse, fail, hang and lie as the flags say. It ends with the books
// balanced: no money is kept without goods, and no stock is reserved for nothing.
//
//	go run -C examples/orders .                    # 100 orders, and their balance
//	go run -C examples/orders . -orders 200        # 100 more
//	go run -C examples/orders . -orders 300 -refuse 0.4 -flaky 0.2 -lie 0.2
//
// Kill it at any time, and run it again. The log and the databases of the services lie in the
// folder orders.data; -dir names another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err = run(ctx, o, os.Stdout, os.Stderr)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; run it again to continue")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	dir     string
	orders  int
	version uint
	timeout time.Duration
	faults  faults
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.dir, "dir", "orders.data", "the `directory` of the log and of the services' databases")
	flags.IntVar(&o.orders, "orders", 100, "how many `orders` there are to be at least: those of a run before count")
	flags.UintVar(&o.version, "version", 2, "the `version` of the saga that runs: 1 does not pack")
	flags.DurationVar(&o.timeout, "timeout", time.Second, "how long an answer of a service is waited for")
	flags.Float64Var(&o.faults.refuse, "refuse", 0.1, "the `share` of orders that a service refuses: sold out, declined")
	flags.Float64Var(&o.faults.cancel, "cancel", 0.05, "the `share` of orders that their customers cancel")
	flags.Float64Var(&o.faults.flaky, "flaky", 0.1, "the `share` of requests that fail, with nothing done")
	flags.Float64Var(&o.faults.slow, "slow", 0.02, "the `share` of requests that are done, and not answered in time")
	flags.Float64Var(&o.faults.lie, "lie", 0.1, "the `share` of requests that are done, and answered as if they had failed")
	flags.Uint64Var(&o.faults.seed, "seed", 1, "chooses which")
	if err = flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("what is %q?", flags.Arg(0))
	case o.version != 1 && o.version != 2:
		err = errors.New("-version is 1 or 2")
	case o.orders < 0, o.timeout <= 0:
		err = errors.New("-orders and -timeout are positive")
	default:
		err = o.faults.check()
	}
	if err != nil {
		fmt.Fprintln(stderr, "orders:", err)
	}
	return o, err
}

// run places the orders, waits until all have ended, and prints the balance to out. How far they
// are goes to status. It is an error where the books do not balance.
func run(ctx context.Context, o options, out io.Writer, status *os.File) (err error) {
	st, err := store.Open(filepath.Join(o.dir, "log"), store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	town, err := openTown(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, town.close()) }()
	orders := fulfilment(town, o.timeout)
	if o.version == 1 {
		orders = checkout(town, o.timeout, 1)
	}
	if err := fulfil(ctx, o, st, orders, status); err != nil {
		return err
	}
	return balance(ctx, st, orders.In(st), town, out)
}

// fulfil runs the saga until every order has ended.
func fulfil(ctx context.Context, o options, st *store.Store, orders *saga.Saga[order], status *os.File) (err error) {
	before, err := count(orders.In(st))
	if err != nil {
		return err
	}
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{
		Name: "shop", Children: []supervision.Child{orders},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx))) }()
	fmt.Fprintf(status, "up: %d orders have ended, %d are under way\n", before.ended, before.alive)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	placed := make(chan struct{})
	go func() { // ends with ctx
		defer close(placed)
		if err := place(ctx, st, o); err != nil {
			cancel(err)
		}
	}()
	defer func() { <-placed }()
	defer cancel(nil)
	err = watch(ctx, sys, orders.In(st), o.orders, newDisplay(status))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
