package main

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// credited and debited are entries of an account, which is the entity. A transfer is one of each.
type credited struct{ Cents int64 }

func (credited) Kind() string { return "account.credited" }

type debited struct{ Cents int64 }

func (debited) Kind() string { return "account.debited" }

const (
	accounts       = 20
	transfersBatch = 500
)

// transfer moves money about until the log has enough entries. Both entries of a transfer are in
// one commit, so no crash leaves half of one.
func transfer(ctx context.Context, st *store.Store, entries store.Position) error {
	for st.Head() < entries {
		var b store.Batch
		for n := st.Head(); len(b.Events) < 2*transfersBatch && n < entries; n += 2 {
			cents := int64(n*7919%10_000) + 1
			b.Events = append(b.Events,
				store.Proposal{At: account(n * 31 % accounts), Payload: debited{Cents: cents}},
				store.Proposal{At: account((n*17 + 1) % accounts), Payload: credited{Cents: cents}})
		}
		if _, err := st.Commit(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func account(n store.Position) store.Coordinate {
	return store.At(fmt.Sprintf("account:%02d", n), "bank")
}
