package reactor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

type Arrived struct {
	SKU    string
	Pieces int
}

func (Arrived) Kind() string { return "stock.arrived" }

type SoldOut struct{ Order string }

func (SoldOut) Kind() string { return "stock.sold-out" }

// Shelf is what a reactor keeps for each SKU. Its kind names it in the log.
type Shelf struct{ Left int }

func (Shelf) Kind() string { return "shop.shelf" }

func arrivedSKU(a Arrived) string { return a.SKU }
func placedSKU(p Placed) string   { return p.SKU }

type Shop struct{}

func (Shop) arrived(_ context.Context, e reactor.Event[Arrived], shelf *Shelf, _ *reactor.Reactions) error {
	shelf.Left += e.Body.Pieces
	return nil
}

// placed sees what all events of the SKU before this one have left, however many of them are
// handled in one batch, and on however many lanes.
func (Shop) placed(_ context.Context, e reactor.Event[Placed], shelf *Shelf, out *reactor.Reactions) error {
	at := store.At("stock:"+e.Body.SKU, "shop")
	if shelf.Left == 0 {
		out.Append(at, SoldOut{Order: e.Body.Order})
		return nil
	}
	shelf.Left-- // written together with the reaction, or not at all
	out.Append(at, Reserved{Order: e.Body.Order})
	return nil
}

// A reactor with state: ten lamps, and a hundred orders that wait for them.
func ExampleOnState() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	var shop Shop
	r := reactor.New("reserve", reactor.OnState(arrivedSKU, shop.arrived), reactor.OnState(placedSKU, shop.placed))

	waiting := []store.Proposal{{At: store.At("stock:lamp", "shop"), Payload: Arrived{SKU: "lamp", Pieces: 10}}}
	for n := range 100 {
		order := fmt.Sprint(n)
		waiting = append(waiting, store.Proposal{At: store.At("order:"+order, "shop"), Payload: Placed{Order: order, SKU: "lamp"}})
	}
	if _, err := st.Commit(ctx, store.Batch{Events: waiting}); err != nil {
		log.Fatal(err)
	}
	if err := catchUp(ctx, st, r); err != nil {
		log.Fatal(err)
	}

	answers := make(map[string]int)
	for e, err := range st.Read(ctx, store.Region{Entity: "stock:lamp"}, store.Beginning()) {
		if err != nil {
			log.Fatal(err)
		}
		answers[e.Kind]++
	}
	shelf, err := reactor.State[Shelf](st, nil, "reserve", "lamp")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answers["stock.reserved"], "reserved,", answers["stock.sold-out"], "sold out,", shelf.Left, "left")
	// Output: 10 reserved, 90 sold out, 0 left
}
