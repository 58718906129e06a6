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
		fresh := false
		for _, b := range c.batches(scope) {
			added, err := appendNew(ctx, st, b)
			if err != nil {
				return fmt.Errorf("append commit %s: %w", c.hash, err)
			}
			fresh = fresh || added
		}
		p.appended(fresh)
	}
	return nil
}

// appendNew commits a batch unless its key is known. One that git tells differently today than at first is known as well:
// the key names a commit, and a commit never changes, only how git counts it.
func appendNew(ctx context.Context, st *store.Store, b store.Batch) (added bool, err error) {
	receipt, err := st.Commit(ctx, b)
	if errors.Is(err, store.ErrKeyConflict) {
		return false, nil
	}
	return err == nil && !receipt.Duplicate, err
}
