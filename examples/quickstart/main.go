// Command quickstart takes an order, lets a reactor reserve stock for it, and shows what is
// reserved and why.
//
//	go run ./examples/quickstart [directory]
//
// Run it twice: the second run continues where the first one stopped. The log lies in the
// directory, or in penstock-quickstart where the system keeps caches of the user.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type Placed struct{ SKU string }

func (Placed) Kind() string { return "order.placed" }

type Reserved struct{ Order string }

func (Reserved) Kind() string { return "stock.reserved" }

func reserve(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, "shop"), Reserved{Order: e.Coordinate.Entity})
	return nil // the reaction and the checkpoint are written together, or not at all
}

func run(ctx context.Context, dir string) (err error) {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()

	stock := reactor.New("reserve-stock", reactor.On(reserve))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{stock}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx))) }()

	fmt.Printf("%s holds %d events, reserve-stock continues after %d\n", dir, st.Head(), sys.Status().Workers[0].Position)
	order := fmt.Sprintf("order:%d", st.Head()+1) // the head only grows, so no other order has this number
	receipt, err := st.Append(ctx, store.At(order, "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		return err
	}
	if err := sys.WaitApplied(ctx, "reserve-stock", receipt); err != nil {
		return err
	}
	return show(ctx, st)
}

// show prints what is reserved, and for which order.
func show(ctx context.Context, st *store.Store) error {
	for e, err := range st.Read(ctx, store.Region{Entity: "stock"}, store.Beginning()) {
		if err != nil {
			return err
		}
		cause, err := st.Get(ctx, e.Cause)
		if err != nil {
			return err
		}
		fmt.Println(e.Position, e.Coordinate, e.Kind, "because of", cause.Position, cause.Coordinate, cause.Kind)
	}
	return nil
}

// directory is the one that is given, or one of the user: the next run has to find it.
func directory() (string, error) {
	if dir := flag.Arg(0); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "penstock-quickstart"), err
}

func main() {
	flag.Parse()
	dir, err := directory()
	if err == nil {
		err = run(context.Background(), dir)
	}
	if err != nil {
		log.Fatal(err)
	}
}
