package cursor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A reaction says which build of which worker made it, and at which attempt.
func ExampleWorker_WithBuild() {
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

	down := true
	r, err := cursor.NewRunner(ctx, st, cursor.Worker{
		Name:   "reserve",
		Region: store.Region{Entity: "order"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			if down {
				down = false
				return cursor.Continue, errors.New("the warehouse is down")
			}
			b.React(0, store.At("stock:lamp", "shop"), reserved{For: b.Events[0].Position})
			return cursor.Continue, nil
		},
	}.WithBuild("v1.4.2")) // package actors does it, see actors.Options.Build
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		if _, err := r.Step(ctx, 0, 0); err != nil {
			fmt.Println(err)
		}
	}
	reaction, err := st.GetAt(ctx, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	by, _ := reaction.Emitter()
	fmt.Printf("%s of build %s, epoch %d, attempt %d\n", by.Worker, by.Build, by.Epoch, by.Attempt)
	// Output:
	// cursor: worker "reserve": handler failed at event 1: the warehouse is down
	// reserve of build v1.4.2, epoch 1, attempt 2
}
