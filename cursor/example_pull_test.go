package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// shopWith opens a store in memory that has n orders.
func shopWith(ctx context.Context, n int) *store.Store {
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	place(ctx, st, n)
	return st
}

func place(ctx context.Context, st *store.Store, n int) {
	for i := range n {
		if _, err := st.Append(ctx, store.At(fmt.Sprintf("order:%d", i%2), "shop"), store.Any, placed{N: i}); err != nil {
			log.Fatal(err)
		}
	}
}

// A report is written in steps: what was committed is not read again, by a later process either.
func ExampleOpen() {
	ctx := context.Background()
	st := shopWith(ctx, 5)
	defer st.Close()

	c, err := cursor.Open(ctx, st, store.Region{Entity: "order"}, cursor.Options{ID: "report"})
	if err != nil {
		log.Fatal(err)
	}
	first, _ := c.PollBatch(ctx, 2)
	fmt.Println("written", len(first), "events, error", c.Commit(ctx))
	second, _ := c.PollBatch(ctx, 2)
	fmt.Println("the printer jams at event", second[0].Position)
	c.Rollback()

	again, err := cursor.Open(ctx, st, store.Region{Entity: "order"}, cursor.Options{ID: "report"})
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range again.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("written event", e.Position)
	}
	_, _ = c.PollBatch(ctx, 2)
	fmt.Println("the first cursor was replaced:", errors.Is(c.Commit(ctx), checkpoint.ErrFenced))
	// Output:
	// written 2 events, error <nil>
	// the printer jams at event 3
	// written event 3
	// written event 4
	// written event 5
	// the first cursor was replaced: true
}

// count works with whatever events can be pulled from: a cursor, a subscription, or a fake.
func count(ctx context.Context, from cursor.Canal) (n int, err error) {
	for {
		events, err := from.PullBatch(ctx, 100, 0)
		if err != nil || len(events) == 0 {
			return n, err
		}
		n += len(events)
	}
}

// slice is a canal of events made by hand.
type slice []store.Event

func (s *slice) PullBatch(_ context.Context, limit int, _ time.Duration) ([]store.Event, error) {
	n := min(limit, len(*s))
	events := (*s)[:n]
	*s = (*s)[n:]
	return events, nil
}

// Code that only pulls takes a Canal, so that its test needs no store.
func ExampleCanal() {
	ctx := context.Background()
	fmt.Println(count(ctx, &slice{{Kind: "order.placed"}, {Kind: "order.placed"}}))

	st := shopWith(ctx, 5)
	defer st.Close()
	c, err := cursor.Open(ctx, st, store.Region{Entity: "order"}, cursor.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(count(ctx, c))
	// Output:
	// 2 <nil>
	// 5 <nil>
}

// A dashboard shows what happens now. It begins at the head, and where it is too slow it leaves out
// the oldest events and counts them.
func ExampleSubscribe() {
	ctx := context.Background()
	st := shopWith(ctx, 5)
	defer st.Close()

	s, err := cursor.Subscribe(ctx, st, store.Region{Entity: "order"}, 3)
	if err != nil {
		log.Fatal(err)
	}
	place(ctx, st, 10)
	for {
		events, err := s.PullBatch(ctx, 2, 0)
		if err != nil || len(events) == 0 {
			break
		}
		for _, e := range events {
			fmt.Println("shown", e.Position)
		}
	}
	fmt.Println("left out", s.Lost())
	// Output:
	// shown 13
	// shown 14
	// shown 15
	// left out 7
}
