package cursor_test

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func Example() {
	ctx := context.Background()
	st, err := store.Open("", store.Options{InMemory: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer st.Close()
	for n := range 3 {
		if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Any, placed{N: n}); err != nil {
			fmt.Println(err)
			return
		}
	}

	c, err := cursor.Open(ctx, st, store.Region{Entity: "order"}, cursor.Options{ID: "report"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range c.All(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Position, e.Coordinate, e.Kind)
	}
	fmt.Println(c.Commit(ctx)) // the next cursor with this ID goes on from here
	// Output:
	// 1 order:42@shop order.placed
	// 2 order:42@shop order.placed
	// 3 order:42@shop order.placed
	// <nil>
}

func ExampleRunner() {
	ctx := context.Background()
	st, err := store.Open("", store.Options{InMemory: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer st.Close()
	if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Any, placed{}); err != nil {
		fmt.Println(err)
		return
	}

	r, err := cursor.NewRunner(ctx, st, cursor.Worker{
		Name:   "reserve",
		Region: store.Region{Entity: "order"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.React(i, store.At("stock:lamp", "shop"), reserved{For: e.Position})
			}
			return cursor.Continue, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := r.Step(ctx, 0, 0)
	fmt.Printf("%+v %v\n", out, err)
	fmt.Println("head", st.Head(), "checkpoint", r.Stored())
	// Output:
	// {Handled:1 Committed:1 Action:continue CaughtUp:true} <nil>
	// head 2 checkpoint 1
}
