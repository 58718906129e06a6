package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// What customers do.

type orderPlaced struct {
	Order  string
	Pieces int64
	Cents  int64
}

func (orderPlaced) Kind() string { return "order.placed" }

type orderCancelled struct{ Order string }

func (orderCancelled) Kind() string { return "order.cancelled" }

// order is what the saga knows of an order.
type order struct {
	ID            string
	Pieces, Cents int64
	Payment       string `json:",omitempty"`
	Label         string `json:",omitempty"`
}

const scope = "shop"

func at(order string) store.Coordinate { return store.At("order:"+order, scope) }

// The steps, which have the names of what the services do.
const (
	reserve = "reserve"
	charge  = "charge"
	label   = "label"
	invoice = "invoice"
	pack    = "pack"
	ship    = "ship"
)

// steps are in the order in which they stand in the table.
func steps() []string { return []string{reserve, charge, label, invoice, pack, ship} }

// fulfilment is the saga of an order, in its present version. Orders that began under the first one
// continue by that.
func fulfilment(town *town, timeout time.Duration) *saga.Saga[order] {
	return checkout(town, timeout, 2).With(checkout(town, timeout, 1))
}

// checkout is a version of the saga. Before Pivot everything can be taken back; a parcel that was
// handed over cannot, so from there it only goes forward.
func checkout(town *town, timeout time.Duration, version uint32) *saga.Saga[order] {
	dispatch := []saga.Branch[order]{
		saga.Do(label, town.do(label, pieces), town.undo(label)).Keep(func(o *order, ref string) { o.Label = ref }),
		saga.Do(invoice, town.do(invoice, cents), town.undo(invoice)),
	}
	if version > 1 { // the first one had parcels packed by chance
		dispatch = append(dispatch, saga.Do(pack, town.do(pack, pieces), town.undo(pack)))
	}
	s := saga.Steps("checkout",
		saga.Starts(func(e orderPlaced) string { return e.Order }, func(o *order, e orderPlaced) {
			*o = order{ID: e.Order, Pieces: e.Pieces, Cents: e.Cents}
		}),
		saga.Do(reserve, town.do(reserve, pieces), town.undo(reserve)),
		saga.Do(charge, town.do(charge, cents), town.undo(charge)).Keep(func(o *order, ref string) { o.Payment = ref }),
		saga.All("dispatch", dispatch...),
		saga.Pivot[order](),
		saga.Do(ship, town.do(ship, pieces), nil),
		saga.CancelOn[order](func(e orderCancelled) string { return e.Order }),
	)
	s.Version, s.Deadline = version, 10*time.Minute
	s.Effects.Timeout = timeout
	s.Effects.Policy.Attempts = 3 // after that it is not known whether it was done, and it is undone, too
	s.Effects.Policy.Backoff.Initial, s.Effects.Policy.Backoff.Max = 20*time.Millisecond, time.Second
	return s
}

func pieces(o order) int64 { return o.Pieces }
func cents(o order) int64  { return o.Cents }

// do asks the service of an action to carry it out. The effect key makes it safe to ask again.
func (t *town) do(action string, amount func(order) int64) func(context.Context, saga.Step[order]) (string, error) {
	return func(ctx context.Context, s saga.Step[order]) (string, error) {
		answer, err := t.put(ctx, action, s.Key, entry{Order: s.State.ID, Amount: amount(s.State)})
		if errors.Is(err, errRefused) {
			return "", saga.Refuse(err) // it is not tried again
		}
		return answer, err // tried again: no one knows whether it was done
	}
}

// undo has an action taken back, or never done, where it has not arrived yet.
func (t *town) undo(action string) func(context.Context, saga.Step[order], saga.Done[string]) error {
	return func(ctx context.Context, _ saga.Step[order], d saga.Done[string]) error {
		return t.delete(ctx, action, d.Key)
	}
}

// place is the customers: it appends the orders that are not in the log yet, and then takes some
// back, however far they are by then.
func place(ctx context.Context, st *store.Store, o options) error {
	for n := 1; n <= o.orders; n++ {
		placed := orderPlaced{Order: name(n), Pieces: int64(1 + n%3), Cents: int64(499 * (1 + n%7))}
		_, err := st.Append(ctx, at(placed.Order), store.Absent, placed)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	for n := 1; n <= o.orders; n++ {
		if !o.faults.cancels(name(n)) {
			continue
		}
		_, err := st.Commit(ctx, store.Batch{
			IdempotencyKey: "cancel " + name(n), // taken back once, whatever crashes
			Events:         []store.Proposal{{At: at(name(n)), Payload: orderCancelled{Order: name(n)}}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// name is that of the nth order.
func name(n int) string { return fmt.Sprintf("%05d", n) }
