package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A decision that rests on events of many entities is committed on the condition that no event of
// their region came after the last one that was looked at. Exactly does that for one entity.
func ExampleCondition() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	shop := store.Region{Entity: "order", Scope: "shop"}
	seen := st.Head() // before reading: a bound of what the decision knows
	open := 0
	for _, err := range st.Read(ctx, shop, store.Beginning()) {
		if err != nil {
			panic(err)
		}
		open++
	}
	if _, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, Placed{SKU: "lamp"}); err != nil { // meanwhile
		panic(err)
	}

	_, err = st.Commit(ctx, store.Batch{
		Events:     []store.Proposal{{At: store.At("day:1", "shop"), Payload: store.Raw{Type: "day.closed"}}},
		Conditions: []store.Condition{{Region: shop, After: seen}},
	})
	var conflict *store.ConflictError
	fmt.Println(open, "open orders; broken by event:", errors.As(err, &conflict), conflict.Position)
	// Output:
	// 0 open orders; broken by event: true 1
}
