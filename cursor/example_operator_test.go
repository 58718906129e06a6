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

// The program of a worker is stopped, and another one has opened its log: what was parked in an
// outage is handled again by the next start, a slice at first.
func ExampleOperatorOf() {
	ctx := context.Background()
	st := shopWith(ctx, 4) // order:0 has events 1 and 3, order:1 has 2 and 4
	defer st.Close()

	answer := errors.New("connection refused")
	ship := cursor.Worker{
		Name: "ship", Region: store.Region{Entity: "order"}, BatchSize: 1,
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			if answer == nil {
				fmt.Println("shipped", b.Events[0].Position)
			}
			return cursor.Continue, answer
		},
	}
	r, err := cursor.NewRunner(ctx, st, ship)
	if err != nil {
		log.Fatal(err)
	}
	var failure *cursor.HandlerError
	for errors.As(steps(ctx, r), &failure) {
		v := supervision.Verdict{Action: supervision.ActionPark, Attempt: 1, Reason: failure.Err}
		if err := r.Settle(failure.First, v); err != nil {
			log.Fatal(err)
		}
	}

	absent := cursor.OperatorOf(st, "ship")
	which := cursor.ParkedFilter{Error: "refused", Max: 1}
	for _, dry := range []bool{true, false} {
		chosen, err := absent.Replay(ctx, which, checkpoint.Request{Reason: "the line is mended", By: "ada", DryRun: dry})
		if err != nil {
			log.Fatal(err)
		}
		for _, p := range chosen {
			fmt.Printf("dry run: %t, event %d, held: %t\n", dry, p.Position, p.Held)
		}
	}

	answer = nil
	if r, err = cursor.NewRunner(ctx, st, ship); err != nil {
		log.Fatal(err)
	}
	fmt.Println(steps(ctx, r), r.Progress().Parked, "still parked")
	// Output:
	// dry run: true, event 1, held: false
	// dry run: true, event 3, held: true
	// dry run: false, event 1, held: false
	// dry run: false, event 3, held: true
	// shipped 1
	// shipped 3
	// <nil> 2 still parked
}
