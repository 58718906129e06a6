package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// steps has a runner handle what there is. In a program, package actors does that.
func steps(ctx context.Context, r *cursor.Runner) error {
	for {
		out, err := r.Step(ctx, 0, 0)
		if err != nil || out.CaughtUp {
			return err
		}
	}
}

// An event that cannot be handled is parked, what follows of its key is held, and the others
// continue. Once the reason is fixed it is handled again, with those held after it.
func ExampleRunner_Settle() {
	ctx := context.Background()
	st := shopWith(ctx, 4) // order:0 has events 1 and 3, order:1 has 2 and 4
	defer st.Close()

	broken := true
	r, err := cursor.NewRunner(ctx, st, cursor.Worker{
		Name: "ship", Region: store.Region{Entity: "order"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				if broken && e.Position == 1 {
					return cursor.Continue, cursor.FailedAt(i, errors.New("no such address"))
				}
				fmt.Println("shipped", e.Position, e.Coordinate.Entity)
			}
			return cursor.Continue, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	var failure *cursor.HandlerError
	for errors.As(steps(ctx, r), &failure) {
		fmt.Println("failed", failure.Event, failure.Err)
		v := supervision.Verdict{Action: supervision.ActionPark, Attempt: 1, Reason: failure.Err}
		if err := r.Settle(failure.First, v); err != nil {
			log.Fatal(err)
		}
	}
	p := r.Progress()
	fmt.Println(p.Parked, "parked,", p.Held, "of them held; position", p.Position)

	broken = false
	request := checkpoint.Request{Reason: "the address is corrected", By: "alice"}
	if _, err := r.Replay(ctx, cursor.ParkedFilter{Position: 1}, request); err != nil {
		log.Fatal(err)
	}
	fmt.Println(steps(ctx, r))
	// Output:
	// failed 1 no such address
	// shipped 2 order:1
	// shipped 4 order:1
	// 2 parked, 1 of them held; position 4
	// shipped 1 order:0
	// shipped 3 order:0
	// <nil>
}

// After a rewind handlers are given what they had handled, and see that.
func ExampleRunner_Apply() {
	ctx := context.Background()
	st := shopWith(ctx, 3)
	defer st.Close()

	r, err := cursor.NewRunner(ctx, st, cursor.Worker{
		Name: "search-index", Region: store.Region{Entity: "order"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				fmt.Println("indexed", e.Position, "again:", b.Replayed(i))
			}
			return cursor.Continue, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := steps(ctx, r); err != nil {
		log.Fatal(err)
	}
	request := checkpoint.Request{Reason: "the index was lost", By: "alice"}
	if _, err := r.Apply(ctx, checkpoint.Rewind{To: 1}, request); err != nil {
		log.Fatal(err)
	}
	fmt.Println(steps(ctx, r))
	// Output:
	// indexed 1 again: false
	// indexed 2 again: false
	// indexed 3 again: false
	// indexed 2 again: true
	// indexed 3 again: true
	// <nil>
}

// With lanes, events of other keys overtake one that takes long. The checkpoint names it as
// pending.
func ExampleWorker_lanes() {
	ctx := context.Background()
	st := shopWith(ctx, 4)
	defer st.Close()

	r, err := cursor.NewRunner(ctx, st, cursor.Worker{
		Name: "mail", Region: store.Region{Entity: "order"}, Lanes: 2,
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			fmt.Println("mailed", b.Events[0].Coordinate.Entity, len(b.Events))
			return cursor.Continue, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := r.Fill(ctx, 0); err != nil {
		log.Fatal(err)
	}
	slow, _ := r.Next(ctx, 0)
	quick, _ := r.Next(ctx, 0)
	quick.Run(ctx) // each task may run on a goroutine of its own
	r.Finish(quick)
	if _, err := r.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	p := r.Progress()
	fmt.Println("scanned", p.Scanned, "pending", p.Pending, "in flight", p.InFlight)
	slow.Run(ctx)
	r.Finish(slow)
	_, err = r.Commit(ctx)
	fmt.Println("scanned", r.Progress().Scanned, err)
	// Output:
	// mailed order:1 2
	// scanned 4 pending [1 3] in flight 1
	// mailed order:0 2
	// scanned 4 <nil>
}

// A projection keeps its position in the database that it writes to, in the same transaction. Where
// the two stores do not agree, the database is right.
func ExampleWorker_externalPosition() {
	ctx := context.Background()
	st := shopWith(ctx, 4)
	defer st.Close()

	var database struct { // one transaction writes both
		orders   int
		position store.Position
	}
	worker := cursor.Worker{
		Name: "orders", Region: store.Region{Entity: "order"},
		ExternalPosition: func(_ context.Context, at cursor.ResumeState) (store.Position, error) {
			return max(database.position, at.Start), nil
		},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			database.orders += len(b.Events)
			database.position = b.Events[len(b.Events)-1].Position
			return cursor.Continue, nil
		},
	}
	for range 2 { // a backup of the database is restored in between
		r, err := cursor.NewRunner(ctx, st, worker)
		if err != nil {
			log.Fatal(err)
		}
		if err := steps(ctx, r); err != nil {
			log.Fatal(err)
		}
		fmt.Println(database.orders, "orders up to", database.position)
		database.orders, database.position = 1, 1
	}
	// Output:
	// 4 orders up to 4
	// 4 orders up to 4
}
