package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

type Placed struct{ Order, SKU string }

func (Placed) Kind() string { return "order.placed" }

type Cancelled struct{ Order, SKU string }

func (Cancelled) Kind() string { return "order.cancelled" }

type Reserved struct{ Order string }

func (Reserved) Kind() string { return "stock.reserved" }

type Released struct{ Order string }

func (Released) Kind() string { return "stock.released" }

var (
	ErrUnreachable = errors.New("warehouse cannot be reached")
	ErrUnknownSKU  = errors.New("unknown SKU")
)

// Warehouse is a system outside the store. It recognises a repeated request by its key.
type Warehouse map[string]string

func (w Warehouse) Reserve(_ context.Context, sku, key string) error {
	switch {
	case w == nil:
		return ErrUnreachable
	case sku == "":
		return ErrUnknownSKU
	}
	w[key] = sku
	return nil
}

// Stock has dependencies as fields and handlers as methods.
type Stock struct{ warehouse Warehouse }

func (s *Stock) placed(ctx context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
	err := s.warehouse.Reserve(ctx, e.Body.SKU, e.EffectKey()) // the key is the same on each retry
	switch {
	case errors.Is(err, ErrUnreachable):
		return reactor.Wait(err) // tried again until it can be reached, and no attempt is counted
	case errors.Is(err, ErrUnknownSKU):
		return reactor.Park(err) // another try would not help: kept for a person, and others continue
	case err != nil:
		return err // may pass: retried with backoff
	}
	out.Append(store.At("stock:"+e.Body.SKU, "shop"), Reserved{Order: e.Body.Order})
	return nil // reactions and checkpoint are written together, or not at all
}

func (s *Stock) cancelled(_ context.Context, e reactor.Event[Cancelled], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, "shop"), Released{Order: e.Body.Order})
	return nil
}

// A reactor reserves stock for orders. Package actors would run it in the background; here it is
// run by hand.
func Example() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	stock := &Stock{warehouse: Warehouse{}}
	r := reactor.New("reserve-stock", reactor.On(stock.placed), reactor.On(stock.cancelled))

	for _, p := range []store.Payload{Placed{Order: "42", SKU: "lamp"}, Cancelled{Order: "42", SKU: "lamp"}} {
		if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Any, p); err != nil {
			log.Fatal(err)
		}
	}
	if err := catchUp(ctx, st, r); err != nil {
		log.Fatal(err)
	}
	for e, err := range st.Read(ctx, store.Region{Entity: "stock"}, store.Beginning()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Position, e.Coordinate, e.Kind, string(e.Payload))
	}
	// Output:
	// 3 stock:lamp@shop stock.reserved {"Order":"42"}
	// 4 stock:lamp@shop stock.released {"Order":"42"}
}

func catchUp(ctx context.Context, st *store.Store, r *reactor.Reactor) error {
	worker, err := r.CursorWorker()
	if err != nil {
		return err
	}
	runner, err := cursor.NewRunner(ctx, st, worker)
	if err != nil {
		return err
	}
	_, err = runner.Step(ctx, 0, 0)
	return err
}
