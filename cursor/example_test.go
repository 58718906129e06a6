package cursor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func Example() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
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
	fmt.Println(c.Commit(ctx)) // the next cursor with this ID resumes here
	// Output:
	// 1 order:42@shop order.placed
	// 2 order:42@shop order.placed
	// 3 order:42@shop order.placed
	// <nil>
}

func ExampleRunner() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
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
	fmt.Println("head", st.Head(), "checkpoint", r.Progress().Stored)
	// Output:
	// {Handled:1 Committed:1 Action:continue CaughtUp:true} <nil>
	// head 2 checkpoint 1
}

// Totals is a projection outside the store: a file, or tables of a database.
type Totals struct {
	Orders map[string]int
	UpTo   store.Position // saved in the same transaction as Orders
}

// Apply is one transaction. An event that was saved before the process died, or before a later one
// failed, comes again: its position tells.
func (t *Totals) Apply(events []store.Event) {
	for _, e := range events {
		if e.Position > t.UpTo {
			t.Orders[e.Coordinate.Entity]++
			t.UpTo = e.Position
		}
	}
}

// A worker keeps a projection up to date. What it saves and its checkpoint are two writes, so it
// may be given again what it has saved.
func ExampleWorker() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer st.Close()
	for n, order := range []string{"order:1", "order:2", "order:1"} {
		if _, err := st.Append(ctx, store.At(order, "shop"), store.Any, placed{N: n}); err != nil {
			fmt.Println(err)
			return
		}
	}

	totals := Totals{Orders: make(map[string]int)}
	broken := true
	worker := cursor.Worker{
		Name:   "totals",
		Region: store.Region{Entity: "order"},
		Kinds:  []string{"order.placed"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			totals.Apply(b.Events)
			if broken {
				broken = false
				return cursor.Continue, errors.New("connection lost after the save")
			}
			return cursor.Continue, nil
		},
	}
	r, err := cursor.NewRunner(ctx, st, worker) // in a program, package actors makes it and repeats its steps
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		out, err := r.Step(ctx, 0, 0)
		fmt.Println(out.Committed, "committed:", err)
	}
	fmt.Println(totals.Orders, "up to", totals.UpTo)
	// Output:
	// 0 committed: cursor: worker "totals": handler failed in a batch of 3: connection lost after the save
	// 1 committed: <nil>
	// 2 committed: <nil>
	// map[order:1:2 order:2:1] up to 3
}
