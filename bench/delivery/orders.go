package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// Placed and Reserved are some 250 bytes of JSON each: what a reactor gets, and what it answers.
type Placed struct {
	Order    string
	Customer string
	SKU      string
	Quantity int
	Note     string
}

// Kind of the event.
func (Placed) Kind() string { return "order.placed" }

// Reserved answers a Placed.
type Reserved struct {
	Order    string
	SKU      string
	Quantity int
	Note     string
}

// Kind of the event.
func (Reserved) Kind() string { return "stock.reserved" }

// Scope of all events.
const Scope = "bench"

// entities is how many there are of each sort.
const entities = 1000

var note = strings.Repeat("leave it at the door ", 7) //nolint:gochecknoglobals // a constant that has to be computed

// Order gives the i-th order.
func Order(i int) Placed {
	return Placed{
		Order: fmt.Sprintf("order-%08d", i), Customer: fmt.Sprintf("customer-%d", i%entities),
		SKU: fmt.Sprintf("sku-%d", i%100), Quantity: 1 + i%9, Note: note,
	}
}

// OrderAt is where the i-th order lies.
func OrderAt(i int) store.Coordinate { return store.At(fmt.Sprintf("order:%d", i%entities), Scope) }

// Answer is what every contestant does with an order.
func Answer(in Placed) Reserved {
	return Reserved{Order: in.Order, SKU: in.SKU, Quantity: in.Quantity, Note: in.Note}
}

// orderJSON gives the i-th order as a peer gets it.
func orderJSON(i int) []byte {
	data, err := json.Marshal(Order(i))
	if err != nil {
		panic(err) // no order cannot be encoded
	}
	return data
}

// answerJSON decodes an order and encodes the answer.
func answerJSON(data []byte) ([]byte, error) {
	var in Placed
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	return json.Marshal(Answer(in))
}

// spacing between two events in an idle process.
func spacing() time.Duration { return time.Duration(200+rand.IntN(3800)) * time.Microsecond }

// samples is how many events a row about times takes.
func samples(env Env) int { return max(20, int(env.Turn.Milliseconds()/2)) }

// loadBatch is how many events are written at once where writing is not what is measured.
const loadBatch = 1000
