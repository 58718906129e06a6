package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// Placed is an order: some 250 bytes of JSON.
type Placed struct {
	Order    string
	Customer string
	SKU      string
	Quantity int
	Note     string
}

// Kind of the event.
func (Placed) Kind() string { return "order.placed" }

// Reserved is the reaction to an order: as many bytes.
type Reserved struct {
	Order    string
	SKU      string
	Quantity int
	Note     string
}

// Kind of the event.
func (Reserved) Kind() string { return "stock.reserved" }

var note = strings.Repeat("leave it at the door ", 7)

// Order is the i-th order.
func Order(i int) Placed {
	return Placed{
		Order: fmt.Sprintf("order-%08d", i), Customer: fmt.Sprintf("customer-%d", i%1000),
		SKU: fmt.Sprintf("sku-%d", i%Entities), Quantity: 1 + i%9, Note: note,
	}
}

// OrderAt is the entity of the i-th order.
func OrderAt(i int) store.Coordinate { return store.At(fmt.Sprintf("order:%d", i%1000), Scope) }

// OrderProposal is the i-th order, with its entity.
func OrderProposal(i int) store.Proposal { return store.Proposal{At: OrderAt(i), Payload: Order(i)} }

// OrderJSON is the i-th order in JSON.
func OrderJSON(i int) []byte {
	b, err := json.Marshal(Order(i))
	if err != nil {
		panic(err) // there is nothing in it that JSON lacks
	}
	return b
}

// Reaction is what follows from an order.
func Reaction(p Placed) Reserved {
	return Reserved{Order: p.Order, SKU: p.SKU, Quantity: p.Quantity, Note: p.Note}
}

// ReactJSON answers an order in JSON with its reaction in JSON, as contestants without a codec do.
func ReactJSON(in []byte) (sku string, out []byte, err error) {
	var p Placed
	if err := json.Unmarshal(in, &p); err != nil {
		return "", nil, err
	}
	out, err = json.Marshal(Reaction(p))
	return p.SKU, out, err
}

// Reserve answers each order with one event.
func Reserve(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, Scope), Reaction(e.Body))
	return nil
}
