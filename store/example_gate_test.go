package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A gate refuses overdrafts of any caller. What it decides by is what it requires: so two
// payments at the same time cannot both pass. Neither can two of one batch: the earlier one counts.
func ExampleGate() {
	ctx := context.Background()
	balance := store.Gate{
		Name:   "balance",
		Region: store.Region{Entity: "account", Kinds: []string{"money.moved"}},
		Judge: func(_ context.Context, c *store.Case) error {
			account := store.Region{Entity: c.Proposal.At.Entity}
			c.Require(account)
			var m moved
			if err := c.Proposal.Decode(&m); err != nil {
				return err
			}
			cents := m.Cents
			for _, p := range c.Earlier {
				if p.At.Entity == account.Entity {
					if err := p.Decode(&m); err != nil {
						return err
					}
					cents += m.Cents
				}
			}
			for e, err := range c.Read(account) {
				if err = errors.Join(err, e.Decode(&m)); err != nil {
					return err
				}
				cents += m.Cents
			}
			if cents < 0 {
				return fmt.Errorf("%d cents are missing", -cents)
			}
			return nil
		},
	}
	st, err := storetest.Open(store.Options{Gates: []store.Gate{balance}})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	at := store.At("account:7", "bank")
	for _, cents := range []int{100, -80, -30} {
		r, err := st.Append(ctx, at, store.Any, moved{Cents: cents})
		fmt.Println(r.Position(), err)
	}
	_, err = st.Commit(ctx, store.Batch{Events: []store.Proposal{
		{At: at, Payload: moved{Cents: -30}, Bypass: "agreed with the branch"},
	}})
	e, _ := st.GetAt(ctx, st.Head())
	fmt.Println(err, e.Bypass())
	_, err = st.Commit(ctx, store.Batch{Events: []store.Proposal{
		{At: store.At("account:8", "bank"), Payload: moved{Cents: 100}},
		{At: store.At("account:8", "bank"), Payload: moved{Cents: -80}},
		{At: store.At("account:8", "bank"), Payload: moved{Cents: -80}},
	}})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 0 store: event at "account:7" is denied by gate "balance": 10 cents are missing
	// <nil> agreed with the branch
	// store: event at "account:8" is denied by gate "balance": 60 cents are missing
}
