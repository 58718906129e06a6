package saga_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type booked struct{ Trip string }

func (booked) Kind() string { return "trip.booked" }

type trip struct{ ID string }

// What cannot be undone waits for a person, who is told of it, and decides.
func ExampleInstances_Watch() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "penstock")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	full := func(context.Context, saga.Step[trip]) (string, error) {
		return "", saga.Refuse(errors.New("the hotel is full"))
	}
	fly := func(context.Context, saga.Step[trip]) (string, error) { return "seat 7A", nil }
	cancel := func(context.Context, saga.Step[trip], saga.Done[string]) error {
		return saga.Refuse(errors.New("this fare cannot be cancelled"))
	}
	trips := saga.Steps("trips",
		saga.Starts(func(b booked) string { return b.Trip }, func(t *trip, b booked) { t.ID = b.Trip }),
		saga.Do("flight", fly, cancel), saga.Do("hotel", full, nil))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "agency", Children: []supervision.Child{trips}})
	if err != nil {
		panic(err)
	}
	if _, err := st.Append(ctx, store.At("trip:7", "agency"), store.Any, booked{Trip: "7"}); err != nil {
		panic(err)
	}

	in := trips.In(st)
	for trouble, err := range in.Watch(ctx, 0) {
		if err != nil {
			panic(err)
		}
		var stuck *saga.StuckError
		if errors.As(trouble.Err, &stuck) {
			fmt.Printf("trip %s: undo of %s: %s\n", trouble.Key, stuck.Step, stuck.Text)
			break // trouble.Position says where to continue
		}
	}
	if _, err := in.SkipUndo(ctx, "7", checkpoint.Request{By: "ana", Reason: "the customer flies anyway"}); err != nil {
		panic(err)
	}
	for {
		head := st.Head()
		o, err := in.Get("7")
		if err != nil {
			panic(err)
		}
		if o.Life.Ended() {
			fmt.Println(o.Life, o.Skipped)
			break
		}
		if _, err := st.Wait(ctx, head); err != nil {
			panic(err)
		}
	}
	if err := sys.Stop(ctx); err != nil {
		panic(err)
	}
	// Output:
	// trip 7: undo of flight: this fare cannot be cancelled
	// failed [flight]
}
