package storetest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Counted is a store that counts its commits: a wrapper as a program may have one.
type Counted struct {
	*store.Store

	Commits atomic.Int64
}

func (c *Counted) Append(
	ctx context.Context, at store.Coordinate, expect store.Expect, p store.Payload,
) (store.Receipt, error) {
	return c.Commit(ctx, store.Batch{Events: []store.Proposal{{At: at, Expect: expect, Payload: p}}})
}

func (c *Counted) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	r, err := c.Store.Commit(ctx, b)
	if err == nil && !r.Duplicate {
		c.Commits.Add(1)
	}
	return r, err
}

func TestCountedKeepsTheLawsOverCrashes(t *testing.T) {
	storetest.Run(t, storetest.OnDisk(store.Options{SegmentBytes: smallest}, func(st *store.Store) storetest.Subject {
		s := storetest.Of(st)
		s.Writer = &Counted{Store: st}
		return s
	}))
}

// The test of a wrapper is an opener that puts it around a store. Run is called by a test, which
// has a subtest for each law then.
func ExampleRun() {
	_ = func(t *testing.T) {
		storetest.Run(t, storetest.OnDisk(store.Options{}, func(st *store.Store) storetest.Subject {
			s := storetest.Of(st)
			s.Writer = &Counted{Store: st}
			return s
		}))
	}
	fmt.Println("go test")
	// Output: go test
}
