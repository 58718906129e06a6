package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// errBooks is the error of books that do not balance.
var errBooks = errors.New("the books do not balance")

// page is what the services have booked of an action.
type page struct {
	done, undone int   // entries
	given, back  int64 // pieces or cents
}

// books are the pages of all services, by order and action.
type books map[string]map[string]page

func (t *town) books(ctx context.Context) (books, error) {
	b := make(books)
	for _, s := range t.services {
		if err := s.addTo(ctx, b); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b, nil
}

func (s *service) addTo(ctx context.Context, b books) error {
	rows, err := s.db.QueryContext(ctx, `SELECT customer_order, action,
		sum(amount > 0), sum(amount < 0), sum(max(amount, 0)), sum(max(-amount, 0))
		FROM entry GROUP BY customer_order, action`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, action string
		var p page
		if err := rows.Scan(&id, &action, &p.done, &p.undone, &p.given, &p.back); err != nil {
			return err
		}
		if b[id] == nil {
			b[id] = make(map[string]page)
		}
		b[id][action] = p
	}
	return rows.Err()
}

// total is the page of an action for all orders.
func (b books) total(action string) (sum page) {
	for _, pages := range b {
		p := pages[action]
		sum.done, sum.undone = sum.done+p.done, sum.undone+p.undone
		sum.given, sum.back = sum.given+p.given, sum.back+p.back
	}
	return sum
}

// audit compares what the services have booked with the outcome of each order, and returns what is
// wrong. It does not look at effect keys, so it would find out if one did not do its work.
func (b books) audit(orders map[string]saga.Instance[order]) (wrong []string) {
	for _, id := range slices.Sorted(maps.Keys(orders)) {
		o := orders[id]
		if !o.Life.Ended() {
			wrong = append(wrong, fmt.Sprintf("%s: it has not ended, it is %v", id, o.Life))
			continue
		}
		due := due(&o)
		for _, action := range steps() {
			switch p := b[id][action]; {
			case p.done > 1 || p.undone > 1:
				wrong = append(wrong, fmt.Sprintf("%s: %s was done %d times, and undone %d times", id, action, p.done, p.undone))
			case p.given-p.back != due[action]:
				wrong = append(wrong, fmt.Sprintf("%s is %v, and has %d of %s in place of %d", id, o.Life, p.given-p.back, action, due[action]))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b)) {
		if _, known := orders[id]; !known {
			wrong = append(wrong, id+": the services know an order that was never placed")
		}
	}
	return wrong
}

// due is what is to be booked of each action for an order that has ended.
func due(o *saga.Instance[order]) map[string]int64 {
	if o.Life != saga.Completed {
		return nil // nothing of any
	}
	due := map[string]int64{
		reserve: o.State.Pieces, charge: o.State.Cents, label: o.State.Pieces, invoice: o.State.Cents, ship: o.State.Pieces,
	}
	if o.Version > 1 {
		due[pack] = o.State.Pieces
	}
	return due
}

// readOrders returns the instance of each order that was placed; the life of one that has none is
// None.
func readOrders(ctx context.Context, st *store.Store, h *saga.Instances[order]) (map[string]saga.Instance[order], error) {
	orders := make(map[string]saga.Instance[order])
	placed := store.Region{Scope: scope, Kinds: []string{orderPlaced{}.Kind()}}
	for e, err := range st.Read(ctx, placed, store.Beginning()) {
		if err != nil {
			return nil, err
		}
		var body orderPlaced
		if err := e.Decode(&body); err != nil {
			return nil, err
		}
		o, err := h.Get(body.Order)
		if err != nil && !errors.Is(err, saga.ErrNotFound) {
			return nil, err
		}
		orders[body.Order] = o
	}
	return orders, nil
}

// balance prints what was ordered, shipped and paid. It returns errBooks where that does
// not agree.
func balance(ctx context.Context, st *store.Store, h *saga.Instances[order], town *town, out io.Writer) error {
	orders, err := readOrders(ctx, st, h)
	if err != nil {
		return err
	}
	b, err := town.books(ctx)
	if err != nil {
		return err
	}
	lives := make(map[saga.Life]int)
	for _, o := range orders {
		lives[o.Life]++
	}
	stock, goods, paid, invoiced := b.total(reserve), b.total(ship), b.total(charge), b.total(invoice)
	fmt.Fprintf(out, "orders  %d: %s\n", len(orders), describe(lives))
	fmt.Fprintf(out, "stock   %d pieces reserved, %d put back, %d shipped\n", stock.given, stock.back, goods.given)
	fmt.Fprintf(out, "money   %s charged, %s refunded, %s invoiced, %s credited\n",
		amount(paid.given), amount(paid.back), amount(invoiced.given), amount(invoiced.back))
	wrong := b.audit(orders)
	for _, line := range wrong {
		fmt.Fprintln(out, line)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %d findings", errBooks, len(wrong))
	}
	_, err = fmt.Fprintln(out, "the books balance")
	return err
}

func amount(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
