package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/penstock-io/penstock/store"
)

// appendHistory appends the commits that the log does not know yet, in order.
func appendHistory(
	ctx context.Context, st *store.Store, scope string, history iter.Seq2[commit, error], p *progress,
) error {
	for c, err := range history {
		if err != nil {
			return err
		}
		fresh, err := appendNew(ctx, st, c.batches(scope)...)
		if err != nil {
			return fmt.Errorf("append commit %s: %w", c.hash, err)
		}
		p.appended(fresh)
	}
	return nil
}

// appendNew commits the batches of a commit whose keys are not known. Where git counts a commit
// differently today than at first, it stops: the key names a commit, and a commit never changes,
// only how git counts it. What was appended first stands, and the rest of today's count would mix
// with it.
func appendNew(ctx context.Context, st *store.Store, batches ...store.Batch) (added bool, err error) {
	for _, b := range batches {
		receipt, err := st.Commit(ctx, b)
		if errors.Is(err, store.ErrIdempotencyKeyReused) {
			return added, nil
		}
		if err != nil {
			return added, err
		}
		added = added || !receipt.Duplicate
	}
	return added, nil
}
